"""How the core's calls reach LangChain models from inside a run that LangChain itself opened (``generate``, v3 events).

Such a run counts the answer's usage, so the candidates' own runs must not: they are called below their callbacks.
The trace then shows the router alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from emafusion.engine.retries import NEVER, Retries
from emafusion.engine.windows import Windows
from emafusion.fusion import Fusion
from emafusion.types import Call, Reply
from langchain_emafusion.client_retries import client_retries
from langchain_emafusion.messages import reply_of
from langchain_emafusion.rendering import added_up, as_chunk, says
from langchain_emafusion.replay import bound_model, draft_input, flattened, judge_arguments, judge_input, quiet
from langchain_emafusion.request import Request

__all__ = ["FlatTransport"]


class FlatTransport:
    """One request's calls, with no runs of their own."""

    def __init__(self, fusion: Fusion, request: Request, retries: Retries = NEVER) -> None:
        self.fusion = fusion
        self.request = request
        self.retries = retries
        self._windows = Windows(fusion.model)

    def retries_of(self, call: Call) -> Retries:
        return self.retries.beside(client_retries(self.fusion.model(call.candidate).model))

    def call(self, call: Call) -> Reply:
        model, messages, arguments = self._prepare(call)
        with self._windows.noted(call):
            return reply_of(_message(quiet(model)._generate_with_cache(messages, **arguments)))

    async def acall(self, call: Call) -> Reply:
        model, messages, arguments = self._prepare(call)
        with self._windows.noted(call):
            return reply_of(_message(await quiet(model)._agenerate_with_cache(messages, **arguments)))

    def stream(self, call: Call) -> Iterator[Any]:
        model, messages, arguments = self._prepare(call)
        if not model._should_stream(async_api=False, **{**arguments, "stream": True}):
            yield from _whole(self.call(call))
            return
        if model.rate_limiter:
            model.rate_limiter.acquire(blocking=True)
        chunks: list[AIMessageChunk] = []
        with self._windows.noted(call):
            for generated in model._stream(messages, **arguments):
                chunks.append(_chunk(generated))
                yield chunks[-1]
        yield reply_of(added_up(chunks))

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        model, messages, arguments = self._prepare(call)
        if not model._should_stream(async_api=True, **{**arguments, "stream": True}):
            for item in _whole(await self.acall(call)):
                yield item
            return
        if model.rate_limiter:
            await model.rate_limiter.aacquire(blocking=True)
        chunks: list[AIMessageChunk] = []
        with self._windows.noted(call):
            async with aclosing(model._astream(messages, **arguments)) as stream:  # type: ignore[type-var]
                async for generated in stream:
                    chunks.append(_chunk(generated))
                    yield chunks[-1]
        yield reply_of(added_up(chunks))

    def says(self, chunk: AIMessageChunk) -> bool:
        return says(chunk)

    def _prepare(self, call: Call) -> tuple[BaseChatModel, list[Any], dict[str, Any]]:
        self._windows.check(call)
        model = self.fusion.model(call.candidate).model
        if call.prompt is not None:
            return model, judge_input(call), judge_arguments(model, call)
        bound, arguments = flattened(*bound_model(self.request, model, call))
        return bound, draft_input(self.request, model), arguments


def _message(result: ChatResult) -> AIMessage:
    message = result.generations[0].message
    assert isinstance(message, AIMessage)
    return message


def _chunk(generated: ChatGenerationChunk) -> AIMessageChunk:
    """The chunk, with what LangChain keeps beside it folded in."""
    chunk = as_chunk(generated.message)  # type: ignore[arg-type]
    told = {**(generated.generation_info or {}), **chunk.response_metadata}
    return chunk.model_copy(update={"response_metadata": told})


def _whole(reply: Reply) -> Iterator[Any]:
    yield as_chunk(reply.native)
    yield reply
