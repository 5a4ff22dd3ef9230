"""The purse: what one request may spend of all the budgets that it falls under."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from emafusion.budgets.budget import Budget, Budgets, dollars, units
from emafusion.budgets.ledger import Claim, Ledger, Reservation, exceeded
from emafusion.config import Candidate
from emafusion.engine.retries import may_have_cost
from emafusion.errors import BudgetExceeded
from emafusion.tokens import count_bytes
from emafusion.types import Call, Query, Reply, Usage

__all__ = ["Allowance", "PursePayment", "RequestPurse"]

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""Seconds between two looks of a call that waits."""
SESSIONLESS = "no conversation"

log = logging.getLogger("emafusion")


@dataclass(frozen=True, slots=True)
class Allowance:
    """A budget that several requests of one process share for a while, such as those of a batch."""

    budgets: Budgets
    ledger: Ledger


class RequestPurse:
    """Pays for the calls of one request.

    Parameters
    ----------
    budgets
    ledger
        Of all budgets but those per request, which are kept here.
    model
        A candidate, or a judge's model, by name.
    query, key
        Whose conversation, and whose key, the request is.
    within
        An allowance that has to grant every call, too.
    pause, apause
        What waits; tests replace them.
    """

    def __init__(
        self,
        budgets: Budgets | None,
        ledger: Ledger,
        model: Callable[[str], Candidate],
        query: Query,
        key: str | None = None,
        *,
        within: Allowance | None = None,
        pause: Callable[[float], None] = time.sleep,
        apause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        options = budgets if budgets is not None else within.budgets if within is not None else None
        assert options is not None  # without any budget there is no purse
        self.options, self.ledger, self.model = options, ledger, model
        self.warnings: list[str] = []
        given = tuple(budgets or ())
        own, shared = ([b for b in given if (b.per == "request") == mine] for mine in (True, False))
        self._parts: list[tuple[Ledger, list[Budget]]] = [(Ledger(ledger.clock), own)]
        if within is not None:
            self._parts.append((within.ledger, list(within.budgets)))
        self._parts.append((ledger, shared))  # last, for it alone may have to wait for a database
        self._keys = {"session": query.conversation or SESSIONLESS, "key": "" if key is None else str(key)}
        self._pause, self._apause = pause, apause
        self._warned = False

    # -- what the engine asks ----------------------------------------------------------------------------------

    def open(self) -> None:
        self.ledger.look(self._claims()[-1][1])

    async def aopen(self) -> None:
        if self.ledger.waits:
            await asyncio.to_thread(self.open)

    def priced(self, query: Query, call: Call) -> Call:
        if call.function is not None:  # the judge knows what its function may cost, if anything
            return call
        candidate = self.model(call.candidate)
        limit = told = call.max_output_tokens
        if limit is None and call.prompt is None:
            limit = query.max_output_tokens  # not told to the model again: it is sent with the caller's request
        if limit is None:
            limit = told = min(self.options.output_tokens, candidate.max_output_tokens or self.options.output_tokens)
        sent = query.prompt_bytes if call.prompt is None else count_bytes(call.prompt)
        read = max(math.ceil(sent / self.options.bytes_per_token), query.prompt_tokens if call.prompt is None else 0)
        assert candidate.price is not None  # Pool has seen to it
        most = candidate.price.cost(Usage(read, limit))
        return replace(call, max_usd=most, max_output_tokens=told)

    def lacking(self, call: Call) -> BudgetExceeded | None:
        """Why a plan had better do without this call, by what is known.

        A budget that raises is none of a plan's business. One that queues excludes only what no window could pay for.
        """
        amount = units(call.max_usd or 0.0)
        for ledger, claims in self._claims():
            for claim in claims:
                spent, reserved = ledger.seen(claim)
                if claim.budget.at_limit == "queue":
                    spent, reserved = (0, 0) if claim.end is not None else (spent, 0)
                if claim.budget.at_limit != "raise" and spent + reserved + amount > claim.budget.limit:
                    return exceeded(claim, spent, reserved, amount)
        return None

    # -- what the driver asks ----------------------------------------------------------------------------------

    def reserve(self, call: Call) -> PursePayment:
        amount, wait = units(call.max_usd or 0.0), _Wait(call, self.ledger.clock)
        while True:
            try:
                payment = self._reserved(call, amount)
                assert payment is not None  # only a quick look may find nothing
                return payment
            except BudgetExceeded as error:
                self._pause(wait.seconds(error, self._budget(error)))

    async def areserve(self, call: Call) -> PursePayment:
        amount, wait = units(call.max_usd or 0.0), _Wait(call, self.ledger.clock)
        while True:
            try:
                payment = self._reserved(call, amount, quick=self.ledger.waits)
                return payment if payment is not None else await self._in_a_thread(call, amount)
            except BudgetExceeded as error:
                seconds = wait.seconds(error, self._budget(error))
            await self._apause(seconds)

    async def _in_a_thread(self, call: Call, amount: int) -> PursePayment:
        """Where the ledger may wait for its database, the loop must not. A cancellation must not leave a reservation
        behind for a call that is never made."""
        reserving = asyncio.ensure_future(asyncio.to_thread(self._reserved, call, amount))
        try:
            payment = await asyncio.shield(reserving)
        except asyncio.CancelledError:
            reserving.add_done_callback(_give_back)
            raise
        assert payment is not None
        return payment

    def _reserved(self, call: Call, amount: int, *, quick: bool = False) -> PursePayment | None:
        """The payment; with ``quick``, None where the ledger would have to wait. Raises BudgetExceeded."""
        payment = PursePayment(self, call, [])
        try:
            for ledger, claims in self._claims():
                quickly = quick and ledger.waits
                part = ledger.take(claims, amount) if quickly else ledger.reserve(claims, amount)
                if part is None:
                    payment.give_back()
                    return None
                payment.parts.append((ledger, part))
        except BaseException:
            payment.give_back()
            raise
        return payment

    # -- inside ------------------------------------------------------------------------------------------------

    def _claims(self) -> list[tuple[Ledger, Sequence[Claim]]]:
        """On this request's own budgets, on those it shares for a while, and on those of all."""
        now = self.ledger.clock()
        return [(ledger, [Claim.on(b, self._keys.get(b.per, ""), now) for b in part]) for ledger, part in self._parts]

    def _budget(self, error: BudgetExceeded) -> Budget:
        return next(b for _, part in self._parts for b in part if b.label == error.budget)

    def cost(self, call: Call, reply: Reply) -> int | None:
        """What an answered call cost; None where nobody said."""
        if call.function is not None:
            return units(getattr(reply.native, "cost_usd", None) or 0.0)
        if reply.cost_usd is not None:
            return units(reply.cost_usd)
        if reply.usage is None or reply.usage.estimated:
            return None
        price = self.model(call.candidate).price
        assert price is not None
        return units(price.cost(reply.usage))

    def warn_of_excess(self, call: Call, cost: int, amount: int) -> None:
        message = (
            f"a call of {call.candidate!r} cost {dollars(cost):.6g} USD, more than the {dollars(amount):.6g} that were "
            "reserved for it: set max_output_tokens, in the call or on the candidate, so that the most that a call may "
            "cost is known"
        )
        self.warnings.append(message)
        if not self._warned:
            self._warned = True
            log.warning("emafusion: %s", message)


@dataclass(frozen=True, slots=True)
class PursePayment:
    """What was set aside for one attempt at a call, in each ledger."""

    purse: RequestPurse
    call: Call
    parts: list[tuple[Ledger, Reservation]]

    def settle(self, reply: Reply) -> None:
        cost = self.purse.cost(self.call, reply)
        amount = self.parts[0][1].amount
        if cost is not None and cost > amount:
            self.purse.warn_of_excess(self.call, cost, amount)
        self._enter(amount if cost is None else cost)

    def fail(self, error: BaseException) -> None:
        self._enter(self.parts[0][1].amount if may_have_cost(error) else 0)

    def give_back(self) -> None:
        """The call was never made."""
        self._enter(0)

    def _enter(self, cost: int) -> None:
        for ledger, reservation in self.parts:
            ledger.settle(reservation, cost)


def _give_back(reserving: asyncio.Task[PursePayment | None]) -> None:
    payment = None if reserving.cancelled() or reserving.exception() is not None else reserving.result()
    if payment is not None:
        payment.give_back()


class _Wait:
    """How long a call waits at its limit."""

    def __init__(self, call: Call, clock: Callable[[], float]) -> None:
        # A judge's verdict is not worth waiting for: it abstains.
        self._waits, self._clock, self._begin, self._pause = call.purpose == "draft", clock, clock(), FIRST_PAUSE

    def seconds(self, error: BudgetExceeded, budget: Budget) -> float:
        """Until the next try. Raises ``error`` where waiting is not wanted, is over, or cannot help in time."""
        now = self._clock()
        until = self._begin + budget.max_wait
        turns = error.resets_at.timestamp() if error.resets_at is not None else math.inf
        too_much = error.needed > error.limit
        in_time = turns <= until or error.reserved > 0
        if budget.at_limit != "queue" or not self._waits or too_much or now >= until or not in_time:
            raise error
        self._pause = min(self._pause * 1.5, LONGEST_PAUSE)
        # Calls under way may leave something before the window ends; without any, only its end helps.
        pause = self._pause if error.reserved > 0 else turns - now
        return max(0.001, min(pause, turns - now + 0.001, until - now))
