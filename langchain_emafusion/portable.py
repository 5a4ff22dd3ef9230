"""Histories that any provider accepts: what only their author understands is left out, ids are spelled as it wants.

A provider refuses, or is confused by, reasoning that it did not sign, tool-call ids of another's spelling and markers
of another's cache. The author of a message is what its ``response_metadata["model_provider"]`` says; where that is
missing, the kind of block gives it away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langchain_emafusion.call_ids import CallIds

__all__ = ["portable", "provider_of"]

REASONING_BLOCKS = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
CALL_BLOCKS = frozenset({"tool_use", "function_call", "tool_call"})
"""Calls as a provider writes them among its content; clients make their own from ``tool_calls``."""
SIGNATURE_KEYS = frozenset({"signature", "thought_signature", "thoughtSignature", "encrypted_content"})
FOREIGN_KEYS = frozenset(
    {
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "thinking",
        "function_call",
        "tool_calls",
        "__gemini_function_call_thought_signatures__",
        "__openai_function_call_ids__",
    }
)
CACHE_KEYS: Mapping[str, frozenset[str]] = {
    "cache_control": frozenset({"anthropic", "anthropic_bedrock", "openrouter"}),
    "cachePoint": frozenset({"bedrock"}),
}
"""Markers of a prompt cache, and the providers that know them."""
FAMILIES = {
    "azure": "openai",
    "azure_openai": "openai",
    "google_vertexai": "google",
    "google_genai": "google",
    "amazon_bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "mistralai": "mistral",
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
    ids = CallIds(provider)
    sent: list[BaseMessage] = []
    for message in messages:
        message = _with_content(message, _told_apart(_without_markers(message.content, provider)))
        if isinstance(message, AIMessage):
            message = _native_calls_left_out(message) if _foreign(message, provider) else message
            message = ids.of_calls(message)
        elif isinstance(message, ToolMessage):
            message = ids.of_result(message)
        sent.append(message)
    return sent


def _foreign(message: AIMessage, provider: str | None) -> bool:
    author = _family(message.response_metadata.get("model_provider"))
    return author is None or provider is None or author != provider


def _native_calls_left_out(message: AIMessage) -> AIMessage:
    """Without reasoning, signatures, and the provider's own spelling of its calls."""
    changes: dict[str, Any] = {}
    if isinstance(message.content, list):
        # Google's client leaves bare strings among the blocks of a stream, which OpenAI's would send as they are.
        blocks = ({"type": "text", "text": b} if isinstance(b, str) else b for b in message.content)
        kept = [_unsigned(b) for b in blocks if not _is_private(b, message)]
        if kept != message.content:
            changes["content"] = kept or ""
    private = set(FOREIGN_KEYS if message.tool_calls else FOREIGN_KEYS - {"tool_calls", "function_call"})
    if private & message.additional_kwargs.keys():
        changes["additional_kwargs"] = {k: v for k, v in message.additional_kwargs.items() if k not in private}
    # Content in OpenAI's Responses form or LangChain's own is marked so; what is left is plain blocks of text.
    return message.model_copy(update=changes) if changes else message


def _told_apart(content: Any) -> Any:
    """Content whose texts are texts and nothing else.

    A stream of OpenAI's client in LangChain's own blocks (``output_version="v1"``) adds up the first text and the first
    call to one block, for both are the first of their kind; the call is among the message's own, too.
    """
    if not isinstance(content, list) or not any(_is_mixed(b) for b in content):
        return content
    return [{"type": "text", "text": b["text"]} if _is_mixed(b) else b for b in content]


def _is_mixed(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "text" and "name" in block and "args" in block


def _is_private(block: Any, message: AIMessage) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "non_standard":
        return _is_private(block.get("value"), message)
    if block.get("type") in CALL_BLOCKS:
        return bool(message.tool_calls)
    return block.get("type") in REASONING_BLOCKS


def _unsigned(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    bare = {k: v for k, v in block.items() if k not in SIGNATURE_KEYS}
    extras = bare.get("extras")
    if isinstance(extras, dict) and SIGNATURE_KEYS & extras.keys():
        rest = {k: v for k, v in extras.items() if k not in SIGNATURE_KEYS}
        bare = {**bare, "extras": rest} if rest else {k: v for k, v in bare.items() if k != "extras"}
    return bare


def _without_markers(content: Any, provider: str | None) -> Any:
    """Content whose blocks carry only the cache markers that ``provider`` knows."""
    if not isinstance(content, list):
        return content
    unknown = {key for key, known in CACHE_KEYS.items() if provider not in known}
    kept = [_unmarked(b, unknown) for b in content if not (isinstance(b, dict) and b and b.keys() <= unknown)]
    return content if kept == content else kept


def _unmarked(block: Any, unknown: set[str]) -> Any:
    if not isinstance(block, dict):
        return block
    bare = {k: v for k, v in block.items() if k not in unknown}
    if isinstance(bare.get("content"), list):  # blocks within the result of a tool
        bare["content"] = [_unmarked(b, unknown) for b in bare["content"]]
    return bare


def _with_content(message: BaseMessage, content: Any) -> BaseMessage:
    return message if content is message.content else message.model_copy(update={"content": content})
