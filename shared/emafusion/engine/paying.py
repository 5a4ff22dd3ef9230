"""Paying for calls: set aside what a call may cost before it is made, enter what it did cost after.

Where a request has a purse, each attempt at a call goes through here, retries included. What a call cost that was
broken off, cancelled or not accounted for by its provider is not known: the whole of what was set aside is charged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol

from emafusion.types import Call, Query, Reply, Result

__all__ = ["Budgeted", "Payment", "Purse", "apaid", "paid", "purse_of"]


class Payment(Protocol):
    """What was set aside for one attempt at a call."""

    def settle(self, reply: Reply) -> None:
        """Enter what the answered call cost."""

    def fail(self, error: BaseException) -> None:
        """Enter what a call may have cost that ended with ``error``, which may be a cancellation."""


class Purse(Protocol):
    """What one request may spend. The driver pays out of it; the engine asks it what is affordable, without I/O."""

    warnings: list[str]
    """What happened that the decision should tell."""

    def open(self) -> None:
        """Find out what is left. Called by the driver before the first step; never raises."""

    async def aopen(self) -> None: ...

    def priced(self, query: Query, call: Call) -> Call:
        """The call with the most that it may cost and the limit of output that makes it so."""

    def lacking(self, call: Call) -> Exception | None:
        """Why a plan had better do without this call, or None if it is affordable by what is known."""

    def reserve(self, call: Call) -> Payment:
        """Set aside ``call.max_usd``. Raises :class:`~emafusion.errors.BudgetExceeded`."""

    async def areserve(self, call: Call) -> Payment: ...


class Budgeted(Generator[tuple[Call, ...], tuple[Any, ...], Result]):
    """Steps with the purse that pays for their calls."""

    def __init__(self, steps: Generator[tuple[Call, ...], tuple[Any, ...], Result], purse: Purse) -> None:
        self._steps, self.purse = steps, purse

    def send(self, outcomes: Any) -> tuple[Call, ...]:
        return self._steps.send(outcomes)

    def throw(self, *error: Any) -> tuple[Call, ...]:
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()


def purse_of(steps: object) -> Purse | None:
    return getattr(steps, "purse", None)


def paid(purse: Purse | None, call: Call, make: Callable[[], Reply]) -> Reply:
    """What ``make`` returns, paid for. Raises what it raises, and what the purse raises if it has too little."""
    if purse is None:
        return make()
    payment = purse.reserve(call)
    try:
        reply = make()
    except BaseException as error:
        payment.fail(error)
        raise
    payment.settle(reply)
    return reply


async def apaid(purse: Purse | None, call: Call, make: Callable[[], Awaitable[Reply]]) -> Reply:
    """:func:`paid` for asyncio."""
    if purse is None:
        return await make()
    payment = await purse.areserve(call)
    try:
        reply = await make()
    except BaseException as error:
        payment.fail(error)
        raise
    payment.settle(reply)
    return reply
