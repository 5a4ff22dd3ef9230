"""Messages across the border: LangChain's to the core's, the core's to LangChain's, an answer to a ``Reply``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from emafusion.types import Message, Reply, Role, ToolCall, Usage

__all__ = ["core_messages", "langchain_messages", "reply_of"]

ROLES: Mapping[str, Role] = {
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
MEDIA = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "file": "document",
    "document": "document",
    "text-plain": "document",
}


def core_messages(messages: Iterable[BaseMessage]) -> tuple[Message, ...]:
    """The core's view of a conversation."""
    return tuple(_core_message(m) for m in messages)


def _core_message(message: BaseMessage) -> Message:
    calls = _tool_calls(message) if isinstance(message, AIMessage) else ()
    role = ROLES.get(message.type)
    if role is None:  # ChatMessage carries a role of its own
        role = ROLES.get(str(getattr(message, "role", "")), "user")
    return Message(role, str(message.text), calls, _media(message.content))


def _media(content: str | Sequence[Any]) -> frozenset[str]:
    if isinstance(content, str):
        return frozenset()
    kinds = (block.get("type") for block in content if isinstance(block, dict))
    return frozenset(MEDIA[kind] for kind in kinds if kind in MEDIA)


def _tool_calls(message: AIMessage) -> tuple[ToolCall, ...]:
    good = tuple(ToolCall(c["name"], c["args"], c.get("id")) for c in message.tool_calls)
    broken = tuple(
        ToolCall(c.get("name") or "", {}, c.get("id"), valid=False) for c in getattr(message, "invalid_tool_calls", ())
    )
    return good + broken


def langchain_messages(prompt: Iterable[Message]) -> list[BaseMessage]:
    """A prompt that the core wrote (for a judge, a classifier) as LangChain messages."""
    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return [ToolMessage(m.text, tool_call_id="") if m.role == "tool" else kinds[m.role](content=m.text) for m in prompt]


def reply_of(message: AIMessage, *, native: Any = None) -> Reply:
    """An answer as the engine and the judges read it; ``native`` is what the consumer will be handed."""
    told = message.response_metadata
    written = _written(told.get("logprobs"))
    return Reply(
        text=str(message.text),
        tool_calls=_tool_calls(message),
        finish_reason=_finish_reason(told),
        usage=_usage(message.usage_metadata),
        native=message if native is None else native,
        logprobs=tuple(logprob for _, logprob in written) or None,
        tokens=tuple(token for token, _ in written) or None,
    )


def _finish_reason(told: Mapping[str, Any]) -> str | None:
    for key in ("finish_reason", "stop_reason", "done_reason"):
        if told.get(key):
            return str(told[key])
    reason = (told.get("incomplete_details") or {}).get("reason")
    return str(reason) if reason else None


def _usage(told: Mapping[str, Any] | None) -> Usage | None:
    if not told:
        return None
    cached = (told.get("input_token_details") or {}).get("cache_read") or 0
    return Usage(int(told.get("input_tokens") or 0), int(told.get("output_tokens") or 0), int(cached))


def _written(told: Any) -> list[tuple[str, float]]:
    """The tokens that were written and their log-probabilities, as OpenAI-wire clients report them."""
    tokens = told.get("content") if isinstance(told, dict) else None
    return [
        (str(t.get("token") or ""), float(t["logprob"]))
        for t in tokens or ()
        if isinstance(t, dict) and t.get("logprob") is not None
    ]
