"""Turns of a conversation: LlamaIndex's messages to the core's and back, and copies that any candidate can read.

Blocks are told by their ``block_type``, not their class: older versions of LlamaIndex lack some of the classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from emafusion.types import Message, Role, ToolCall
from llamaindex_emafusion.asked import Filled

__all__ = [
    "STAMP",
    "FilledMessages",
    "author_of",
    "from_turns",
    "normal_block",
    "parsed_arguments",
    "portable",
    "to_turns",
    "tool_calls_of",
]

STAMP = "emafusion"
"""Key in ``additional_kwargs`` under which a decision (or at least who answered) is found."""

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
_MEDIA = frozenset({"image", "audio", "video", "document"})


def to_turns(messages: Iterable[ChatMessage]) -> tuple[Message, ...]:
    """The core's view of a conversation."""
    turns: list[Message] = []
    for message in messages:
        role = _ROLES.get(message.role.value, "user")
        text = _text_of(message.blocks)
        if role == "user" and turns and _is_observation(text, turns[-1]):
            role = "tool"  # text-driven agents send a tool's result in the user's name
        turns.append(Message(role, text, tool_calls_of(message), _media_of(message.blocks)))
    return tuple(turns)


def _is_observation(text: str, before: Message) -> bool:
    return text.startswith("Observation:") and before.role == "assistant" and "Action:" in before.text


def _text_of(blocks: Iterable[Any]) -> str:
    """Text of the blocks, that of citable documents included."""
    parts = []
    for block in blocks:
        if block.block_type == "text":
            parts.append(block.text)
        elif block.block_type == "citable":
            parts.append(_text_of(block.content))
    return "\n".join(parts)


def _media_of(blocks: Iterable[Any]) -> frozenset[str]:
    kinds: set[str] = set()
    for block in blocks:
        if block.block_type in _MEDIA:
            kinds.add(block.block_type)
        elif block.block_type == "citable":
            kinds |= _media_of(block.content)
    return frozenset(kinds)


def tool_calls_of(message: ChatMessage) -> tuple[ToolCall, ...]:
    """The function calls that a message asks for."""
    calls = []
    blocks: list[Any] = message.blocks
    for block in blocks:
        if block.block_type == "tool_call":
            arguments = parsed_arguments(block.tool_kwargs)
            calls.append(ToolCall(block.tool_name, arguments or {}, block.tool_call_id, valid=arguments is not None))
    return tuple(calls)


def parsed_arguments(given: Any) -> dict[str, Any] | None:
    """Arguments of a call as a dict; None where they are not a JSON object."""
    if isinstance(given, Mapping):
        return dict(given)
    try:
        parsed = json.loads(given or "{}")
    except (TypeError, ValueError):
        return None
    return parsed if isinstance(parsed, dict) else None


def from_turns(turns: Sequence[Message], system_role: MessageRole = MessageRole.SYSTEM) -> list[ChatMessage]:
    """Messages of a prompt that the core wrote."""
    roles = {"system": system_role, "user": MessageRole.USER, "assistant": MessageRole.ASSISTANT}
    return [ChatMessage(role=roles.get(t.role, MessageRole.USER), content=t.text) for t in turns]


def author_of(message: ChatMessage) -> str | None:
    """Candidate that wrote a message, where the message remembers."""
    stamp = message.additional_kwargs.get(STAMP)
    return stamp.get("answered_by") if isinstance(stamp, Mapping) else None


def portable(messages: Iterable[ChatMessage], candidate: str, system_role: MessageRole) -> list[ChatMessage]:
    """Copies of the caller's messages for ``candidate``; the originals are never handed to a provider's code.

    Arguments of calls become dicts, since some providers take nothing else. Where another candidate wrote a message,
    its reasoning (with signatures that only its provider accepts) and its raw tool calls are left out.
    """
    return [_portable(m, candidate, system_role) for m in messages]


def _portable(message: ChatMessage, candidate: str, system_role: MessageRole) -> ChatMessage:
    extra = {k: v for k, v in message.additional_kwargs.items() if k != STAMP}
    blocks = [normal_block(b) for b in message.blocks]
    if message.role == MessageRole.ASSISTANT and author_of(message) != candidate:
        blocks = [b for b in blocks if b.block_type != "thinking"]
        if any(b.block_type == "tool_call" for b in blocks):
            extra.pop("tool_calls", None)
    role = system_role if message.role == MessageRole.SYSTEM else message.role
    return message.model_copy(update={"role": role, "blocks": blocks, "additional_kwargs": extra})


def normal_block(block: Any) -> Any:
    """A tool call with its arguments as a dict; any other block as it is."""
    if block.block_type == "tool_call" and isinstance(block.tool_kwargs, str):
        arguments = parsed_arguments(block.tool_kwargs)
        if arguments is not None:  # what is not JSON stays as the model wrote it
            return block.model_copy(update={"tool_kwargs": arguments})
    return block


class FilledMessages(list[ChatMessage]):
    """Messages of a template, with what its variables said."""

    def __init__(self, messages: Iterable[ChatMessage], filled: Filled | None) -> None:
        super().__init__(messages)
        self.filled = filled
