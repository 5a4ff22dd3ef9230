"""One request from beginning to end: open its run, drive the core, replay what consumers have not seen, close the run.

The four functions are the four ways in which LangChain calls a model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun

from emafusion.engine import drivers
from emafusion.types import Query, Result
from langchain_emafusion.cache import AnswerCache
from langchain_emafusion.request import Request
from langchain_emafusion.tracing import abegin, ashow, begin, show, tell
from langchain_emafusion.transport import TracedTransport

if TYPE_CHECKING:
    from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = ["aanswer", "answer", "astream", "stream"]


def answer(llm: ChatEMAFusion, request: Request, transport: TracedTransport) -> Any:
    """Answer whole; returns what ``transport`` makes of the result."""
    inside = llm.streams_inside(request)
    with _run(llm, request, transport) as run:
        cache = AnswerCache.of(llm, request) if transport.cacheable else None
        output = cache.lookup() if cache else None
        if output is None:
            if llm.rate_limiter:
                llm.rate_limiter.acquire(blocking=True)
            query = request.query()
            steps = llm.fusion.steps(query, request.objective(), request.only, **request.purse)
            if inside:
                result = _last(drivers.stream(steps, transport))
            else:
                result = drivers.run(steps, transport)
            output = _finished(llm, query, result, transport)
            if cache:
                cache.update(output)
        tell(run, transport.message(output))
        if not transport.seen:
            show(run, request, *transport.author(output), tokens=not transport.silent, streaming=inside)
        handed = transport.handed_over(output)
        run.on_chain_end(handed)
    return handed


async def aanswer(llm: ChatEMAFusion, request: Request, transport: TracedTransport) -> Any:
    """:func:`answer` for asyncio."""
    inside = llm.streams_inside(request)
    async with _arun(llm, request, transport) as run:
        cache = AnswerCache.of(llm, request) if transport.cacheable else None
        output = await cache.alookup() if cache else None
        if output is None:
            if llm.rate_limiter:
                await llm.rate_limiter.aacquire(blocking=True)
            query = request.query()
            steps = llm.fusion.steps(query, request.objective(), request.only, **request.purse)
            if inside:
                result = await _alast(drivers.astream(steps, transport))
            else:
                result = await drivers.arun(steps, transport)
            output = _finished(llm, query, result, transport)
            if cache:
                await cache.aupdate(output)
        tell(run, transport.message(output))
        if not transport.seen:
            await ashow(run, request, *transport.author(output), tokens=not transport.silent, streaming=inside)
        handed = transport.handed_over(output)
        await run.on_chain_end(handed)
    return handed


def stream(llm: ChatEMAFusion, request: Request, transport: TracedTransport) -> Iterator[Any]:
    """Answer in pieces: those of the live call as they arrive, or the whole at once."""
    with _run(llm, request, transport) as run:
        if llm.rate_limiter:
            llm.rate_limiter.acquire(blocking=True)
        query = request.query()
        steps = llm.fusion.steps(query, request.objective(), request.only, **request.purse)
        with closing(cast(Any, drivers.stream(steps, transport))) as items:
            for item in items:
                if isinstance(item, Result):
                    output = _finished(llm, query, item, transport)
                    break
                yield from transport.passed(item)
        tell(run, transport.message(output))
        if not transport.seen:
            show(run, request, *transport.author(output), tokens=True, streaming=True)
        yield from transport.ending(output)
        run.on_chain_end(output)


async def astream(llm: ChatEMAFusion, request: Request, transport: TracedTransport) -> AsyncIterator[Any]:
    """:func:`stream` for asyncio."""
    async with _arun(llm, request, transport) as run:
        if llm.rate_limiter:
            await llm.rate_limiter.aacquire(blocking=True)
        query = request.query()
        steps = llm.fusion.steps(query, request.objective(), request.only, **request.purse)
        async with aclosing(cast(Any, drivers.astream(steps, transport))) as items:
            async for item in items:
                if isinstance(item, Result):
                    output = _finished(llm, query, item, transport)
                    break
                for piece in transport.passed(item):
                    yield piece
        tell(run, transport.message(output))
        if not transport.seen:
            await ashow(run, request, *transport.author(output), tokens=True, streaming=True)
        for piece in transport.ending(output):
            yield piece
        await run.on_chain_end(output)


def _finished(llm: ChatEMAFusion, query: Query, result: Result, transport: TracedTransport) -> Any:
    if transport.broken is not None:
        raise transport.broken
    llm.fusion.finish(query, result)
    return transport.output(result)


@contextmanager
def _run(llm: ChatEMAFusion, request: Request, transport: TracedTransport) -> Iterator[CallbackManagerForChainRun]:
    """The request's chain run, closed with an error if there is one."""
    transport.run = run = begin(llm, request)
    try:
        yield run
    except BaseException as error:
        told = transport.explained(error)
        run.on_chain_error(told)
        if told is error:
            raise
        raise told from None


@asynccontextmanager
async def _arun(
    llm: ChatEMAFusion, request: Request, transport: TracedTransport
) -> AsyncIterator[AsyncCallbackManagerForChainRun]:
    """:func:`_run` for asyncio."""
    transport.run = run = await abegin(llm, request)
    try:
        yield run
    except BaseException as error:
        told = transport.explained(error)
        await run.on_chain_error(told)
        if told is error:
            raise
        raise told from None


def _last(items: Iterator[Any]) -> Result:
    *_, result = items
    return cast(Result, result)


async def _alast(items: AsyncIterator[Any]) -> Result:
    result: Any = None
    async for item in items:
        result = item
    return cast(Result, result)
