"""Tool-call ids in LangChain's messages, as a provider accepts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from emafusion import call_ids

__all__ = ["CallIds"]


class CallIds:
    """Ids of one history, for one provider: those of :class:`emafusion.call_ids.CallIds`."""

    def __init__(self, provider: str | None) -> None:
        self._ids = call_ids.CallIds(provider)

    def of_calls(self, message: AIMessage) -> AIMessage:
        """``message`` with ids that the provider accepts; the same object if it has them."""
        calls = {field: list(getattr(message, field)) for field in ("tool_calls", "invalid_tool_calls")}
        given = [c.get("id") for of_field in calls.values() for c in of_field]
        spelled = self._ids.of_calls(given) if given else []
        if spelled == given:
            return message
        ids = iter(spelled)
        changes: dict[str, Any] = {f: [{**c, "id": next(ids)} for c in of_field] for f, of_field in calls.items()}
        renamed = {old: new for old, new in zip(given, spelled) if old and new}
        changes["content"] = _renamed(message.content, renamed)
        written = message.additional_kwargs.get("tool_calls")
        if written:
            changes["additional_kwargs"] = {**message.additional_kwargs, "tool_calls": _renamed(written, renamed)}
        return message.model_copy(update=changes)

    def of_result(self, message: ToolMessage) -> ToolMessage:
        """``message`` with the id of its call."""
        wanted = self._ids.of_result(message.tool_call_id)
        return message if wanted == message.tool_call_id else message.model_copy(update={"tool_call_id": wanted})


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
