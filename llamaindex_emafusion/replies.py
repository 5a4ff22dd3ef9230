"""Answers: from a candidate's ChatResponse to the core's Reply, and to what the caller of EMAFusion receives.

Integrations keep token counts and the finish reason where their provider had them; what is read here is read
tolerantly, and None means that the provider did not say.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import (
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.llms.llm import LLM, ToolSelection

from emafusion.types import Reply, Result, ToolCall, Usage
from llamaindex_emafusion.messages import STAMP, call_blocks, normal_block, tool_calls_of, value_of

__all__ = [
    "acompletions",
    "answered",
    "as_completion",
    "closing",
    "completions",
    "finish_reason_of",
    "reply_from",
    "says",
    "stamped",
    "usage_of",
]

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "safety": "content_filter",
}
"""Providers' words for why a model stopped, in OpenAI's."""
_CACHE_READ = ("cache_read_input_tokens", "cacheReadInputTokens")
_CACHE_WRITTEN = ("cache_creation_input_tokens", "cacheWriteInputTokens")


def reply_from(response: ChatResponse, model: LLM, *, usage: Usage | None = None, finish: str | None = None) -> Reply:
    """What the core reads of an answer; ``usage`` and ``finish`` where a stream told them before its last chunk."""
    written = _written(response)
    return Reply(
        text=response.message.content or "",
        tool_calls=tool_calls_of(response.message) or _called(response, model),
        finish_reason=finish_reason_of(response.raw) or finish,
        usage=usage_of(response) or usage,
        logprobs=tuple(logprob for _, logprob in written) or None,
        tokens=tuple(token for token, _ in written) or None,
        native=response,
    )


def _called(response: ChatResponse, model: LLM) -> tuple[ToolCall, ...]:
    """Calls of integrations that do not write them as blocks yet."""
    read = getattr(model, "get_tool_calls_from_response", None)
    if read is None or not response.message.additional_kwargs.get("tool_calls"):
        return ()
    try:
        selected: list[ToolSelection] = read(response, error_on_no_tool_call=False)
    except (NotImplementedError, ValueError):
        return ()
    return tuple(ToolCall(s.tool_name, s.tool_kwargs, s.tool_id) for s in selected)


def finish_reason_of(raw: Any) -> str | None:
    """Why the model stopped: "stop", "length", "tool_calls", "content_filter", or the provider's own word."""
    choices = value_of(raw, "choices")
    holder = choices[0] if isinstance(choices, (list, tuple)) and choices else raw
    for name in ("finish_reason", "stop_reason", "done_reason"):
        value = value_of(holder, name)
        word = getattr(value, "name", value)  # some providers give an enumeration
        if isinstance(word, str) and word:
            return _FINISH.get(word.lower(), word.lower())
    return None


def usage_of(response: ChatResponse) -> Usage | None:
    """Tokens of a call as its provider counted them."""
    usage = value_of(response.raw, "usage") or value_of(response.raw, "usage_metadata") or response.additional_kwargs
    read = _first(usage, "prompt_tokens", "input_tokens", "prompt_token_count", "inputTokens")
    written = _first(usage, "completion_tokens", "output_tokens", "candidates_token_count", "outputTokens")
    if read is None and written is None:
        return None
    apart = sum(_first(usage, *names) or 0 for names in (_CACHE_READ, _CACHE_WRITTEN))
    details = value_of(usage, "prompt_tokens_details")
    cached = _first(details, "cached_tokens") or _first(usage, *_CACHE_READ, "cached_content_token_count")
    # Anthropic and Bedrock count what they had cached apart from their input tokens, OpenAI and Google among them.
    return Usage((read or 0) + apart, written or 0, cached or 0)


def _first(holder: Any, *names: str) -> int | None:
    return next((v for name in names if isinstance(v := value_of(holder, name), int)), None)


def _written(response: ChatResponse) -> list[tuple[str, float]]:
    """The tokens that were written and their log-probabilities, where the provider told."""
    choices = value_of(response.raw, "choices")
    content = (
        value_of(value_of(choices[0], "logprobs"), "content")
        if isinstance(choices, (list, tuple)) and choices
        else None
    )
    if content:
        return [(str(value_of(token, "token") or ""), float(value_of(token, "logprob"))) for token in content]
    if response.logprobs and all(response.logprobs):
        return [(alternatives[0].token, alternatives[0].logprob) for alternatives in response.logprobs]
    return []


def says(chunk: ChatResponse) -> bool:
    """Whether a chunk of a stream tells anything yet: text, a thought, a call. Many begin with a role alone."""
    if chunk.delta or chunk.additional_kwargs.get("thinking_delta"):
        return True
    blocks: list[Any] = chunk.message.blocks
    return any(b.block_type != "text" or b.text for b in blocks) or bool(call_blocks(chunk.message))


def stamped(chunk: ChatResponse, candidate: str) -> ChatResponse:
    """A chunk of a live answer that remembers whose it is; the candidate's own object is left alone."""
    return chunk.model_copy(
        update={"additional_kwargs": {**chunk.additional_kwargs, STAMP: {"answered_by": candidate}}}
    )


def answered(result: Result) -> ChatResponse:
    """The accepted answer with the decision beside it. ``raw`` is what the answering model's client gave."""
    response: ChatResponse = result.reply.native
    name = result.decision.answered_by
    message = response.message
    blocks = [normal_block(b) for b in message.blocks]
    extra = dict(message.additional_kwargs)
    if extra or any(b.block_type in ("tool_call", "thinking") for b in blocks):
        extra[STAMP] = {"answered_by": name}  # histories keep messages only, and such are not portable as they are
    return response.model_copy(
        update={
            "message": message.model_copy(update={"blocks": blocks, "additional_kwargs": extra}),
            "additional_kwargs": {**response.additional_kwargs, STAMP: result.decision.as_dict()},
        }
    )


def closing(result: Result) -> ChatResponse:
    """Last chunk of a stream. After a live one it adds no text, only the decision; else it is the whole answer."""
    response = answered(result)
    if not result.streamed:
        return response.model_copy(update={"delta": response.message.content or ""})
    extra = {k: v for k, v in response.additional_kwargs.items() if k != "thinking_delta"}
    return response.model_copy(update={"delta": "", "additional_kwargs": extra})


def as_completion(response: ChatResponse) -> CompletionResponse:
    """The same answer, for callers of the completion methods."""
    return CompletionResponse(
        text=response.message.content or "",
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
        raw=response.raw,
        logprobs=response.logprobs,
        delta=response.delta,
    )


def completions(chunks: ChatResponseGen) -> CompletionResponseGen:
    """A stream of the same answer."""
    try:
        for chunk in chunks:
            yield as_completion(chunk)
    finally:
        chunks.close()


async def acompletions(chunks: ChatResponseAsyncGen) -> CompletionResponseAsyncGen:
    """:func:`completions` for asyncio."""
    try:
        async for chunk in chunks:
            yield as_completion(chunk)
    finally:
        await chunks.aclose()
