"""Drivers: the only code that performs calls, and the only code that knows threads or asyncio.

``run``, ``arun``, ``stream`` and ``astream`` push one generator of steps to its end. Their rules:

* ``Exception`` becomes a :class:`Failure` value; ``BaseException`` (cancellation, interrupt) passes through.
* The generator is closed on every path.
* Calls of one step run in parallel; worker threads see a copy of the caller's context.
* A call that carries the user's own function is run, not sent: awaited where there is a loop, else in a thread.
* A call is streamed to the consumer only when the engine marked it ``live``; there is at most one, in a step alone.
* After the first streamed token there is no fallback: a later error is raised.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol, TypeAlias, cast

from emafusion.types import Call, Failure, Reply, Result

__all__ = ["AsyncTransport", "Outcome", "Steps", "Transport", "arun", "astream", "run", "stream"]

Outcome: TypeAlias = Reply | Failure
Steps: TypeAlias = Generator[tuple[Call, ...], tuple[Outcome, ...], Result]


class Transport(Protocol):
    """How one request's calls reach the models; an adapter makes one for each request."""

    def call(self, call: Call) -> Reply:
        """Make the call. Raises whatever the model's client raises."""

    def stream(self, call: Call) -> Iterator[Any]:
        """Yield native chunks, then, as the last item, the whole :class:`Reply`."""


class AsyncTransport(Protocol):
    """The same for asyncio."""

    async def acall(self, call: Call) -> Reply: ...

    def astream(self, call: Call) -> AsyncIterator[Any]: ...


def run(steps: Steps, transport: Transport) -> Result:
    """Drive ``steps`` to the end, blocking."""
    try:
        calls = next(steps)
        while True:
            calls = steps.send(_perform(calls, transport))
    except StopIteration as stop:
        return _result(stop)
    finally:
        steps.close()


async def arun(steps: Steps, transport: AsyncTransport) -> Result:
    """Drive ``steps`` to the end on the running event loop."""
    try:
        calls = next(steps)
        while True:
            calls = steps.send(await _aperform(calls, transport))
    except StopIteration as stop:
        return _result(stop)
    finally:
        steps.close()


def stream(steps: Steps, transport: Transport) -> Iterator[Any]:
    """Yield the native chunks of the live call, if there is one, and lastly the :class:`Result`.

    When no call was live, the result comes alone, with ``streamed`` False: the consumer renders its reply.
    """
    streamed = False
    try:
        calls = next(steps)
        while True:
            if len(calls) == 1 and calls[0].live:
                outcome: Outcome | None = None
                began = False
                start = time.perf_counter()
                try:
                    for item in transport.stream(calls[0]):
                        if isinstance(item, Reply):
                            outcome = _timed(item, start)
                        else:
                            began = True
                            yield item
                except Exception as error:
                    if began:
                        raise
                    outcome = Failure(error, time.perf_counter() - start)
                streamed = streamed or began
                outcomes: tuple[Outcome, ...] = (_ended(outcome, calls[0], began),)
            else:
                outcomes = _perform(calls, transport)
            calls = steps.send(outcomes)
    except StopIteration as stop:
        yield replace(_result(stop), streamed=streamed)
    finally:
        steps.close()


async def astream(steps: Steps, transport: AsyncTransport) -> AsyncIterator[Any]:
    """:func:`stream` for asyncio."""
    streamed = False
    try:
        calls = next(steps)
        while True:
            if len(calls) == 1 and calls[0].live:
                outcome: Outcome | None = None
                began = False
                start = time.perf_counter()
                try:
                    # Closed here, not by the garbage collector: a consumer that leaves ends the call at once.
                    async with aclosing(cast(Any, transport.astream(calls[0]))) as items:
                        async for item in items:
                            if isinstance(item, Reply):
                                outcome = _timed(item, start)
                            else:
                                began = True
                                yield item
                except Exception as error:
                    if began:
                        raise
                    outcome = Failure(error, time.perf_counter() - start)
                streamed = streamed or began
                outcomes: tuple[Outcome, ...] = (_ended(outcome, calls[0], began),)
            else:
                outcomes = await _aperform(calls, transport)
            calls = steps.send(outcomes)
    except StopIteration as stop:
        yield replace(_result(stop), streamed=streamed)
    finally:
        steps.close()


def _perform(calls: tuple[Call, ...], transport: Transport) -> tuple[Outcome, ...]:
    if len(calls) == 1:
        return (_attempt(calls[0], transport),)
    # One context copy a worker: a Context cannot be entered by two threads at once.
    with ThreadPoolExecutor(max_workers=len(calls), thread_name_prefix="emafusion") as workers:
        futures = [workers.submit(contextvars.copy_context().run, _attempt, call, transport) for call in calls]
        return tuple(f.result() for f in futures)


async def _aperform(calls: tuple[Call, ...], transport: AsyncTransport) -> tuple[Outcome, ...]:
    if len(calls) == 1:
        return (await _aattempt(calls[0], transport),)
    return tuple(await asyncio.gather(*(_aattempt(call, transport) for call in calls)))


def _attempt(call: Call, transport: Transport) -> Outcome:
    start = time.perf_counter()
    try:
        return _timed(transport.call(call) if call.function is None else _ran(call.function), start)
    except Exception as error:
        return Failure(error, time.perf_counter() - start)


async def _aattempt(call: Call, transport: AsyncTransport) -> Outcome:
    start = time.perf_counter()
    try:
        return _timed(await (transport.acall(call) if call.function is None else _aran(call.function)), start)
    except Exception as error:
        return Failure(error, time.perf_counter() - start)


def _ran(function: Callable[[], Any]) -> Reply:
    """What the user's function returns. One that is asynchronous gets a thread with a loop of its own, for this thread
    may be running one already."""
    found = function()
    if inspect.isawaitable(found):
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="emafusion") as worker:
            found = worker.submit(contextvars.copy_context().run, asyncio.run, _awaited(found)).result()
    return Reply("", native=found)


async def _aran(function: Callable[[], Any]) -> Reply:
    """The same on the running loop: one that blocks gets a thread, with a copy of the context."""
    found = function() if _is_async(function) else await asyncio.to_thread(function)
    return Reply("", native=await found if inspect.isawaitable(found) else found)


async def _awaited(found: Awaitable[Any]) -> Any:
    return await found


def _is_async(function: Callable[[], Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _timed(reply: Reply, start: float) -> Reply:
    return reply if reply.latency_s is not None else replace(reply, latency_s=time.perf_counter() - start)


def _ended(outcome: Outcome | None, call: Call, began: bool) -> Outcome:
    """What a finished stream amounts to."""
    if outcome is None:
        error = RuntimeError(f"the stream of {call.candidate!r} ended without a reply")
        if began:
            raise error
        return Failure(error)
    return replace(outcome, streamed=began) if isinstance(outcome, Reply) else outcome


def _result(stop: StopIteration) -> Result:
    result = stop.value
    if not isinstance(result, Result):  # a generator that returns something else is a programming error
        raise TypeError(f"the steps ended with {type(result).__name__}, not a Result")
    return result
