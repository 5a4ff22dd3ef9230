"""Tool-call ids as a provider accepts them, the same in a call and in its result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

__all__ = ["CallIds"]

ACCEPTED: Mapping[str, re.Pattern[str]] = {
    "anthropic": re.compile(r"[a-zA-Z0-9_-]+"),
    "bedrock": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "mistral": re.compile(r"[a-zA-Z0-9]{9}"),
    "openai": re.compile(r".{1,40}"),
}
"""What providers check; those that are not named here accept any id."""
LENGTH: Mapping[str, int] = {"mistral": 9}


class CallIds:
    """Ids of one history, for one provider.

    An id that the provider accepts stays. Any other is replaced by a digest of itself, so that the call and its
    result, and the same history sent again (and found in a prompt cache), agree on it. A call without an id is given
    one, which the next results without one take over in their order.
    """

    def __init__(self, provider: str | None) -> None:
        self._accepted = ACCEPTED.get(provider or "")
        self._length = LENGTH.get(provider or "", 24)
        self._given = 0
        self._waiting: list[str] = []

    def of_calls(self, message: AIMessage) -> AIMessage:
        """``message`` with ids that the provider accepts; the same object if it has them."""
        if self._accepted is None or not (message.tool_calls or message.invalid_tool_calls):
            return message
        self._waiting = []
        renamed: dict[str, str] = {}
        changes: dict[str, Any] = {}
        for field in ("tool_calls", "invalid_tool_calls"):
            calls = [{**c, "id": self._of_call(c.get("id"), renamed)} for c in getattr(message, field)]
            if calls != getattr(message, field):
                changes[field] = calls
        if not changes:
            return message
        changes["content"] = _renamed(message.content, renamed)
        written = message.additional_kwargs.get("tool_calls")
        if written:
            changes["additional_kwargs"] = {**message.additional_kwargs, "tool_calls": _renamed(written, renamed)}
        return message.model_copy(update=changes)

    def of_result(self, message: ToolMessage) -> ToolMessage:
        """``message`` with the id of its call."""
        if self._accepted is None:
            return message
        wanted = self._spelled(message.tool_call_id) if message.tool_call_id else self._next()
        if wanted in self._waiting:
            self._waiting.remove(wanted)
        return message if wanted == message.tool_call_id else message.model_copy(update={"tool_call_id": wanted})

    def _of_call(self, given: str | None, renamed: dict[str, str]) -> str:
        if not given:
            self._given += 1
            spelled = self._digest(f"call {self._given}")
            self._waiting.append(spelled)
            return spelled
        renamed[given] = self._spelled(given)
        return renamed[given]

    def _next(self) -> str:
        return self._waiting[0] if self._waiting else self._digest("no call")

    def _spelled(self, given: str) -> str:
        assert self._accepted is not None
        return given if self._accepted.fullmatch(given) else self._digest(given)

    def _digest(self, given: str) -> str:
        # Hexadecimal: letters and digits, which every provider accepts.
        return hashlib.blake2b(given.encode(), digest_size=16).hexdigest()[: self._length]


def _renamed(content: Any, renamed: Mapping[str, str]) -> Any:
    """Blocks that spell the calls out once more, with the same ids."""
    if not isinstance(content, list):
        return content
    return [
        {**block, **{k: renamed[block[k]] for k in ("id", "call_id", "tool_use_id") if block.get(k) in renamed}}
        if isinstance(block, dict)
        else block
        for block in content
    ]
