"""Histories that any provider accepts: another provider's reasoning blocks and signatures are left out.

A provider refuses, or is confused by, reasoning that it did not sign. The author of a message is what its
``response_metadata["model_provider"]`` says; where that is missing, the kind of block gives it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage

__all__ = ["portable", "provider_of"]

REASONING_BLOCKS = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
REASONING_KEYS = frozenset(
    {"reasoning", "reasoning_content", "thinking", "__gemini_function_call_thought_signatures__"}
)
FAMILIES = {
    "azure": "openai",
    "azure_openai": "openai",
    "google_vertexai": "google",
    "google_genai": "google",
    "amazon_bedrock": "bedrock",
    "bedrock_converse": "bedrock",
}


def provider_of(model: BaseChatModel) -> str | None:
    """Provider of ``model`` as its traces name it."""
    try:
        return _family(model._get_ls_params().get("ls_provider"))
    except Exception:  # a client that cannot describe itself is of no known provider
        return None


def _family(provider: Any) -> str | None:
    return FAMILIES.get(str(provider), str(provider)) if provider else None


def portable(messages: Sequence[BaseMessage], provider: str | None) -> list[BaseMessage]:
    """``messages`` as ``provider`` may be sent them; those that need no change are the same objects."""
    return [_without_reasoning(m) if _foreign(m, provider) else m for m in messages]


def _foreign(message: BaseMessage, provider: str | None) -> bool:
    if not isinstance(message, AIMessage):
        return False
    author = _family(message.response_metadata.get("model_provider"))
    return author is None or provider is None or author != provider


def _without_reasoning(message: BaseMessage) -> BaseMessage:
    changes: dict[str, Any] = {}
    if isinstance(message.content, list):
        kept = [b for b in message.content if not _is_reasoning(b)]
        if len(kept) < len(message.content):
            changes["content"] = kept or ""
    if REASONING_KEYS & message.additional_kwargs.keys():
        changes["additional_kwargs"] = {k: v for k, v in message.additional_kwargs.items() if k not in REASONING_KEYS}
    return message.model_copy(update=changes) if changes else message


def _is_reasoning(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "non_standard":
        return _is_reasoning(block.get("value"))
    return block.get("type") in REASONING_BLOCKS
