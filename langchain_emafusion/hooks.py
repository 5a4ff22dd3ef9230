"""What ``generate`` and v3 events call: the answer with no runs of its own, below the run that LangChain opened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from emafusion.engine import drivers
from emafusion.engine.retries import Retries
from emafusion.fusion import Fusion
from emafusion.types import Query, Result
from langchain_emafusion.flat import FlatTransport
from langchain_emafusion.rendering import LastChunk, as_chunk, with_decision
from langchain_emafusion.request import Request

__all__ = ["agenerate", "astream", "generate", "stream"]


def generate(fusion: Fusion, request: Request, retries: Retries) -> ChatResult:
    query = request.query()
    steps = fusion.steps(query, request.objective(), request.only, **request.purse)
    return _generated(_finished(fusion, query, drivers.run(steps, FlatTransport(fusion, request, retries))))


async def agenerate(fusion: Fusion, request: Request, retries: Retries) -> ChatResult:
    query = request.query()
    steps = fusion.steps(query, request.objective(), request.only, **request.purse)
    return _generated(_finished(fusion, query, await drivers.arun(steps, FlatTransport(fusion, request, retries))))


def stream(fusion: Fusion, request: Request, retries: Retries) -> Iterator[ChatGenerationChunk]:
    query, last = request.query(), LastChunk()
    steps = fusion.steps(query, request.objective(), request.only, **request.purse)
    with closing(cast(Any, drivers.stream(steps, FlatTransport(fusion, request, retries)))) as items:
        for item in items:
            if isinstance(item, Result):
                yield _ending(fusion, query, item, last)
            else:
                for chunk in last.passed(item):
                    yield ChatGenerationChunk(message=chunk)


async def astream(fusion: Fusion, request: Request, retries: Retries) -> AsyncIterator[ChatGenerationChunk]:
    query, last = request.query(), LastChunk()
    steps = fusion.steps(query, request.objective(), request.only, **request.purse)
    async with aclosing(cast(Any, drivers.astream(steps, FlatTransport(fusion, request, retries)))) as items:
        async for item in items:
            if isinstance(item, Result):
                yield _ending(fusion, query, item, last)
            else:
                for chunk in last.passed(item):
                    yield ChatGenerationChunk(message=chunk)


def _finished(fusion: Fusion, query: Query, result: Result) -> AIMessage:
    fusion.finish(query, result)
    return with_decision(cast(AIMessage, result.reply.native), result.decision.as_dict())


def _generated(answer: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=answer)])


def _ending(fusion: Fusion, query: Query, result: Result, last: LastChunk) -> ChatGenerationChunk:
    answer = _finished(fusion, query, result)
    if result.streamed:
        return ChatGenerationChunk(message=last.ending(result.reply.native, answer))
    return ChatGenerationChunk(message=as_chunk(answer))
