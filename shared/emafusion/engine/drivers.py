"""Drivers: the only code that performs calls, and the only code that knows threads or asyncio.

``run``, ``arun``, ``stream`` and ``astream`` push one generator of steps to its end. Their rules:

* ``Exception`` becomes a :class:`Failure` value; ``BaseException`` (cancellation, interrupt) passes through.
* The generator is closed on every path.
* Calls of one step run in parallel; worker threads see a copy of the caller's context.
* A call that carries the user's own function is run, not sent: awaited where there is a loop, else in a thread.
* A call that met a transient error is made anew (:mod:`emafusion.engine.retries`) where the transport says how often.
* Where the steps come with a purse (:mod:`emafusion.engine.paying`), every attempt is paid for out of it.
* A call is streamed to the consumer only when the engine marked it ``live``; there is at most one, in a step alone.
* After the first streamed token there is neither retry nor fallback: a later error is raised. Chunks that say nothing
  yet (a role, an id) are held back until one does, and dropped with a call that fails before.
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

from emafusion.engine.paying import Payment, Purse, apaid, paid, purse_of
from emafusion.engine.retries import NEVER, Retries
from emafusion.types import Call, Failure, Reply, Result

__all__ = ["AsyncTransport", "Outcome", "Steps", "Transport", "arun", "astream", "run", "stream"]

Outcome: TypeAlias = Reply | Failure
Steps: TypeAlias = Generator[tuple[Call, ...], tuple[Outcome, ...], Result]


class Transport(Protocol):
    """How one request's calls reach the models; an adapter makes one for each request.

    It may have, besides: ``retries`` (:class:`~emafusion.engine.retries.Retries`; without it there are none), or
    ``retries_of(call)`` where they differ by candidate;
    ``says(chunk)``, whether a chunk tells a consumer anything (without it, every chunk does); ``broken``, an error
    that must not be retried, for a consumer has seen part of that answer.
    """

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
    purse = _opened(steps)
    try:
        calls = next(steps)
        while True:
            calls = steps.send(_perform(calls, transport, purse))
    except StopIteration as stop:
        return _result(stop)
    finally:
        steps.close()


async def arun(steps: Steps, transport: AsyncTransport) -> Result:
    """Drive ``steps`` to the end on the running event loop."""
    purse = await _aopened(steps)
    try:
        calls = next(steps)
        while True:
            calls = steps.send(await _aperform(calls, transport, purse))
    except StopIteration as stop:
        return _result(stop)
    finally:
        steps.close()


def stream(steps: Steps, transport: Transport) -> Iterator[Any]:
    """Yield the native chunks of the live call, if there is one, and lastly the :class:`Result`.

    When no call was live, the result comes alone, with ``streamed`` False: the consumer renders its reply.
    """
    streamed = False
    purse = _opened(steps)
    try:
        calls = next(steps)
        while True:
            if len(calls) == 1 and calls[0].live:
                live = _Live(calls[0], transport, purse)
                items: Iterator[Any] = iter(())
                try:
                    items = _retries(transport, calls[0]).call(live.open, _final(transport))
                    yield from live.pieces()
                    for item in items:
                        live.take(item)
                        yield from live.pieces()
                except Exception as error:
                    live.fail(error)
                finally:
                    getattr(items, "close", lambda: None)()
                    live.pay()
                streamed = streamed or live.began
                outcomes: tuple[Outcome, ...] = (live.outcome(),)
            else:
                outcomes = _perform(calls, transport, purse)
            calls = steps.send(outcomes)
    except StopIteration as stop:
        yield replace(_result(stop), streamed=streamed)
    finally:
        steps.close()


async def astream(steps: Steps, transport: AsyncTransport) -> AsyncIterator[Any]:
    """:func:`stream` for asyncio."""
    streamed = False
    purse = await _aopened(steps)
    try:
        calls = next(steps)
        while True:
            if len(calls) == 1 and calls[0].live:
                live = _Live(calls[0], transport, purse)
                try:
                    retries = _retries(transport, calls[0])
                    # Closed here, not by the garbage collector: a consumer that leaves ends the call at once.
                    async with aclosing(await retries.acall(live.aopen, _final(transport))) as items:
                        for piece in live.pieces():
                            yield piece
                        async for item in items:
                            live.take(item)
                            for piece in live.pieces():
                                yield piece
                except Exception as error:
                    live.fail(error)
                finally:
                    live.pay()
                streamed = streamed or live.began
                outcomes: tuple[Outcome, ...] = (live.outcome(),)
            else:
                outcomes = await _aperform(calls, transport, purse)
            calls = steps.send(outcomes)
    except StopIteration as stop:
        yield replace(_result(stop), streamed=streamed)
    finally:
        steps.close()


class _Live:
    """A live call: opened, anew if need be, until it says something; from then on every chunk goes to the consumer."""

    def __init__(self, call: Call, transport: Any, purse: Purse | None) -> None:
        self.call = call
        self.began = False
        self._purse, self._payment = purse, cast("Payment | None", None)
        self._error: BaseException = GeneratorExit("the consumer left")
        self._transport = transport
        self._says: Callable[[Any], bool] = getattr(transport, "says", lambda chunk: True)
        self._start = time.perf_counter()
        self._held: list[Any] = []
        self._outcome: Outcome | None = None

    def open(self) -> Iterator[Any]:
        """The stream, read up to its first word. Raises what the client raises before that."""
        self._held = []
        self._payment = None if self._purse is None else self._purse.reserve(self.call)
        try:
            items: Iterator[Any] = self._transport.stream(self.call)
            for item in items:
                self.take(item)
                if self.began:
                    break
        except BaseException as error:
            self.pay(error)
            raise
        return items

    async def aopen(self) -> Any:
        self._held = []
        self._payment = None if self._purse is None else await self._purse.areserve(self.call)
        items = self._transport.astream(self.call)
        try:
            async for item in items:
                self.take(item)
                if self.began:
                    break
        except BaseException as error:
            self.pay(error)
            await items.aclose()
            raise
        return items

    def take(self, item: Any) -> None:
        if isinstance(item, Reply):
            self._outcome = _timed(item, self._start)
        else:
            self._held.append(item)
            self.began = self.began or self._says(item)

    def pieces(self) -> list[Any]:
        """What may go on to the consumer now."""
        pieces = self._held if self.began else []
        self._held = [] if self.began else self._held
        return pieces

    def pay(self, error: BaseException | None = None) -> None:
        """Settle what was set aside, once: by the reply where there is one, else by what broke the stream off."""
        payment, self._payment = self._payment, None
        if payment is None:
            return
        if isinstance(self._outcome, Reply):
            payment.settle(self._outcome)
        else:
            payment.fail(error or self._error)

    def fail(self, error: Exception) -> None:
        self._error = error
        if self.began:
            raise error
        self._outcome = Failure(error, time.perf_counter() - self._start)

    def outcome(self) -> Outcome:
        """What the finished stream amounts to."""
        if self._outcome is None:
            self.fail(RuntimeError(f"the stream of {self.call.candidate!r} ended without a reply"))
        found = cast("Outcome", self._outcome)
        return replace(found, streamed=self.began) if isinstance(found, Reply) else found


def _retries(transport: Any, call: Call) -> Retries:
    of = getattr(transport, "retries_of", None)
    return cast(Retries, getattr(transport, "retries", NEVER) if of is None else of(call))


def _final(transport: Any) -> Callable[[Exception], bool]:
    return lambda error: getattr(transport, "broken", None) is error


def _opened(steps: Steps) -> Purse | None:
    purse = purse_of(steps)
    if purse is not None:
        purse.open()
    return purse


async def _aopened(steps: Steps) -> Purse | None:
    purse = purse_of(steps)
    if purse is not None:
        await purse.aopen()
    return purse


def _perform(calls: tuple[Call, ...], transport: Transport, purse: Purse | None) -> tuple[Outcome, ...]:
    if len(calls) == 1:
        return (_attempt(calls[0], transport, purse),)
    # One context copy a worker: a Context cannot be entered by two threads at once.
    with ThreadPoolExecutor(max_workers=len(calls), thread_name_prefix="emafusion") as workers:
        futures = [workers.submit(contextvars.copy_context().run, _attempt, call, transport, purse) for call in calls]
        return tuple(f.result() for f in futures)


async def _aperform(calls: tuple[Call, ...], transport: AsyncTransport, purse: Purse | None) -> tuple[Outcome, ...]:
    if len(calls) == 1:
        return (await _aattempt(calls[0], transport, purse),)
    return tuple(await asyncio.gather(*(_aattempt(call, transport, purse) for call in calls)))


def _attempt(call: Call, transport: Transport, purse: Purse | None) -> Outcome:
    start = time.perf_counter()
    function = call.function
    try:
        if function is not None:
            return _timed(paid(purse, call, lambda: _ran(function)), start)
        make = functools.partial(paid, purse, call, lambda: transport.call(call))
        return _timed(_retries(transport, call).call(make, _final(transport)), start)
    except Exception as error:
        return Failure(error, time.perf_counter() - start)


async def _aattempt(call: Call, transport: AsyncTransport, purse: Purse | None) -> Outcome:
    start = time.perf_counter()
    function = call.function
    try:
        if function is not None:
            return _timed(await apaid(purse, call, lambda: _aran(function)), start)
        make = functools.partial(apaid, purse, call, lambda: transport.acall(call))
        return _timed(await _retries(transport, call).acall(make, _final(transport)), start)
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


def _result(stop: StopIteration) -> Result:
    result = stop.value
    if not isinstance(result, Result):  # a generator that returns something else is a programming error
        raise TypeError(f"the steps ended with {type(result).__name__}, not a Result")
    return result
