"""Turns of a conversation: LlamaIndex's messages to the core's and back.

Blocks are told by their ``block_type``, not their class: older versions of LlamaIndex lack some of the classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock

from emafusion.types import Message, Role, ToolCall
from llamaindex_emafusion.asked import Filled

__all__ = [
    "STAMP",
    "FilledMessages",
    "author_of",
    "call_blocks",
    "from_turns",
    "normal_block",
    "parsed_arguments",
    "to_turns",
    "tool_calls_of",
    "value_of",
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
    for block in [b for b in message.blocks if b.block_type == "tool_call"] or call_blocks(message):
        arguments = parsed_arguments(block.tool_kwargs)
        calls.append(ToolCall(block.tool_name, arguments or {}, block.tool_call_id, valid=arguments is not None))
    return tuple(calls)


def call_blocks(message: ChatMessage) -> list[Any]:
    """Calls that a client kept only in ``additional_kwargs``, as older ones do, in the common form.

    Read are the forms of OpenAI (``function``: ``name``, ``arguments``), of its Responses API (``call_id``), of
    Anthropic (``input``), Bedrock (``toolUseId``) and Google (``args``), as mappings or objects.
    """
    raw = message.additional_kwargs.get("tool_calls")
    if not isinstance(raw, (list, tuple)):
        return []
    return [block for call in raw if (block := _call_block(call)) is not None]


def _call_block(call: Any) -> ToolCallBlock | None:
    function = value_of(call, "function") or call
    name = value_of(function, "name")
    if not isinstance(name, str) or not name:
        return None
    given: Any = next((v for key in ("arguments", "input", "args") if (v := value_of(function, key)) is not None), {})
    arguments = parsed_arguments(given)
    id = next((v for key in ("call_id", "id", "toolUseId") if isinstance(v := value_of(call, key), str)), None)
    return ToolCallBlock(tool_call_id=id, tool_name=name, tool_kwargs=str(given) if arguments is None else arguments)


def value_of(holder: Any, name: str) -> Any:
    """An item of a mapping or an attribute of an object; None where it has none."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


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
