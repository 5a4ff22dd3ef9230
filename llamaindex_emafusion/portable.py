"""Histories that any candidate's client accepts, whoever wrote them: copies, the caller's messages stay as they are.

Of what another candidate wrote, its reasoning (with signatures that only its provider accepts), its raw calls and its
provider's own role are left out or put in common terms; markers of a prompt cache and cited material go only to the
clients that read them, for the others raise; ids of tool calls are spelled as the provider wants them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from emafusion.call_ids import CallIds
from llamaindex_emafusion.messages import STAMP, author_of, call_blocks, normal_block

__all__ = ["Reader", "portable"]

_PROVIDERS: Mapping[str, str] = {
    "anthropic": "anthropic",
    "azure_openai": "openai",
    "bedrock_converse": "bedrock",
    "mistralai": "mistral",
    "openai": "openai",
}
"""Integrations (modules under ``llama_index.llms``) whose providers are particular about ids."""
_CACHES: Mapping[str, str] = {"anthropic": "ephemeral", "bedrock": "default"}
"""Providers whose clients read cache points, and the one kind that they know."""
_CITES = frozenset({"anthropic"})
_DEVELOPERS = frozenset({"openai"})

_PRIVATE = frozenset(
    {
        "annotations",
        "audio",
        "built_in_tool_calls",
        "citations",
        "function_call",
        "reasoning_content",
        "reasoning_details",
        "reference_audio_id",
        "refusal",
        "thinking",
        "thinking_signature",
        "thought_signatures",
        "tool_calls",
    }
)
"""What clients keep beside a message for their own provider alone."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who will read a history."""

    candidate: str
    system_role: MessageRole = MessageRole.SYSTEM
    provider: str | None = None
    """"openai", "anthropic", "bedrock", "mistral"; None where nothing particular is known."""

    @classmethod
    def of(cls, candidate: str, model: Any, system_role: MessageRole) -> Reader:
        kind: type = type(model)
        return cls(candidate, system_role, _provider_of(kind))


@lru_cache(maxsize=256)
def _provider_of(kind: type) -> str | None:
    """By the integration that a model's class comes from, or that it extends."""
    for cls in kind.__mro__:
        parts = cls.__module__.split(".")
        if parts[:2] == ["llama_index", "llms"] and parts[2] in _PROVIDERS:
            return _PROVIDERS[parts[2]]
    return None


def portable(messages: Iterable[ChatMessage], reader: Reader) -> list[ChatMessage]:
    """Copies of the caller's messages for ``reader``; the originals are never handed to a provider's code."""
    ids = CallIds(reader.provider)
    return [copy for message in messages for copy in _portable(message, reader, ids)]


def _portable(message: ChatMessage, reader: Reader, ids: CallIds) -> Iterator[ChatMessage]:
    extra = {k: v for k, v in message.additional_kwargs.items() if k != STAMP}
    blocks = [copy for block in message.blocks for copy in _readable(block, reader)]
    role = message.role
    if role in _WRITTEN_BY_MODELS:
        if author_of(message) != reader.candidate:
            role = MessageRole.ASSISTANT
            if not any(b.block_type == "tool_call" for b in blocks):
                blocks += call_blocks(message)
            written = {k for k in _PRIVATE & extra.keys() if k != "tool_calls" or _has_calls(blocks)}
            extra = {k: v for k, v in extra.items() if k not in written}
            said = [b for b in blocks if b.block_type != "thinking"]
            if blocks and not said:
                return  # a thought and nothing else: providers refuse empty messages
            blocks = said
        blocks = _with_ids(blocks, ids)
    elif role in (MessageRole.TOOL, MessageRole.FUNCTION):
        wanted = ids.of_result(extra.get("tool_call_id"))
        if wanted is not None:
            extra["tool_call_id"] = wanted
    elif role == MessageRole.SYSTEM or (role == MessageRole.DEVELOPER and reader.provider not in _DEVELOPERS):
        role = reader.system_role
    yield message.model_copy(update={"role": role, "blocks": blocks, "additional_kwargs": extra})


_WRITTEN_BY_MODELS = frozenset({MessageRole.ASSISTANT, MessageRole.MODEL, MessageRole.CHATBOT})


def _has_calls(blocks: Iterable[Any]) -> bool:
    return any(b.block_type == "tool_call" for b in blocks)


def _readable(block: Any, reader: Reader) -> Iterator[Any]:
    """The block as ``reader``'s client takes it, which may be nothing, or what it holds."""
    if block.block_type == "cache":
        kind = _CACHES.get(reader.provider or "")
        if kind is not None:  # a copy in any case: Bedrock's client writes into it
            yield block.model_copy(update={"cache_control": block.cache_control.model_copy(update={"type": kind})})
    elif block.block_type == "citable" and reader.provider not in _CITES:
        yield from block.content
    elif block.block_type == "citation":
        return  # where an answer's words came from; no client sends it back
    else:
        yield normal_block(block)


def _with_ids(blocks: list[Any], ids: CallIds) -> list[Any]:
    given = [b.tool_call_id for b in blocks if b.block_type == "tool_call"]
    spelled = ids.of_calls(given) if given else []
    if spelled == given:
        return blocks
    new = iter(spelled)
    return [b.model_copy(update={"tool_call_id": next(new)}) if b.block_type == "tool_call" else b for b in blocks]
