"""The ledger: what is reserved and spent in each window of each budget, in one process.

    reserve(most) -> a call is made -> settle(cost)

* A reservation is granted by all its accounts or by none.
* ``spent + reserved <= held`` after every grant; only a settlement for more than was reserved can exceed it.
* A reservation that is never settled goes on counting: nothing is freed by forgetting.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from emafusion.budgets.budget import Budget, dollars
from emafusion.errors import BudgetExceeded

__all__ = ["Account", "Claim", "Ledger", "Reservation", "exceeded"]

REMEMBERED = 100_000
"""Accounts kept in memory. Beyond it those that were longest unused go, if nothing is reserved on them."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The part of a budget that a request draws on: one key's, in one window."""

    budget: Budget
    key: str
    start: int
    end: int | None

    @classmethod
    def on(cls, budget: Budget, key: str, now: float) -> Claim:
        span = budget.span(now)
        return cls(budget, key, span.start, span.end)

    @property
    def account(self) -> tuple[str, str, int]:
        return (self.budget.label, self.key, self.start)


@dataclass(slots=True)
class Account:
    """Amounts of one window, in the ledger's units."""

    claim: Claim
    held: int
    """What may be used here: the whole limit, or what was leased of it."""
    spent: int = 0
    reserved: int = 0

    @property
    def free(self) -> int:
        return self.held - self.spent - self.reserved


@dataclass(eq=False, slots=True)
class Reservation:
    """An amount set aside on some accounts, until it is settled."""

    accounts: tuple[Account, ...]
    amount: int
    open: bool = True


class Ledger:
    """Accounts of one process. All methods may be called from any thread.

    Parameters
    ----------
    clock
        Seconds since 1970.
    """

    waits = False
    """Whether :meth:`reserve` may wait for a database, so that an event loop must not call it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._accounts: OrderedDict[tuple[str, str, int], Account] = OrderedDict()

    # -- reserving and settling --------------------------------------------------------------------------------

    def take(self, claims: Sequence[Claim], amount: int) -> Reservation | None:
        """Reserve from what is at hand, without waiting for anything; None where that does not suffice."""
        with self._lock:
            accounts = tuple(self._account(claim) for claim in claims)
            if any(account.free < amount for account in accounts):
                return None
            for account in accounts:
                account.reserved += amount
            return Reservation(accounts, amount)

    def reserve(self, claims: Sequence[Claim], amount: int) -> Reservation:
        """Reserve ``amount`` on every account.

        Raises
        ------
        BudgetExceeded
            If one of them does not grant it; then none is changed.
        """
        found = self.take(claims, amount)
        if found is None:
            raise self._refusal(claims, amount)
        return found

    def settle(self, reservation: Reservation, cost: int) -> None:
        """Enter what the call cost, in place of what was reserved for it. Once; the second time does nothing."""
        with self._lock:
            if not reservation.open:
                return
            reservation.open = False
            for account in reservation.accounts:
                account.reserved -= reservation.amount
                account.spent += cost

    # -- reading -----------------------------------------------------------------------------------------------

    def look(self, claims: Sequence[Claim]) -> None:
        """Find out what is left, where that is not known here."""

    def seen(self, claim: Claim) -> tuple[int, int]:
        """``(spent, reserved)`` of an account, as far as is known here. Never waits."""
        with self._lock:
            account = self._accounts.get(claim.account)
            return (0, 0) if account is None else (account.spent, account.reserved)

    def standing(self, budgets: Sequence[Budget]) -> list[dict[str, Any]]:
        """What is spent and reserved in the windows that are open now, in USD."""
        now = self.clock()
        with self._lock:
            rows = [(a.claim, a.spent, a.reserved) for a in self._accounts.values()]
        current = {b.label: b.span(now).start for b in budgets}
        return [
            standing(claim.budget, claim.key, now, spent, reserved)
            for claim, spent, reserved in rows
            if current.get(claim.budget.label) == claim.start
        ]

    # -- inside ------------------------------------------------------------------------------------------------

    def _account(self, claim: Claim) -> Account:
        """The account of a claim, opened where there is none. Under the lock."""
        account = self._accounts.get(claim.account)
        if account is None:
            account = self._accounts[claim.account] = self._opened(claim)
            self._forget()
        self._accounts.move_to_end(claim.account)
        return account

    def _opened(self, claim: Claim) -> Account:
        return Account(claim, claim.budget.limit)

    def _forget(self) -> None:
        """Windows that are over first, then whoever was away longest."""
        if len(self._accounts) <= REMEMBERED:
            return
        now = self.clock()
        idle = [a for a in self._accounts.values() if not a.reserved]
        over = [a for a in idle if a.claim.end is not None and a.claim.end <= now]
        for account in over or idle[: max(1, REMEMBERED // 100)]:
            del self._accounts[account.claim.account]

    def _refusal(self, claims: Sequence[Claim], amount: int) -> BudgetExceeded:
        seen = [(claim, *self.seen(claim)) for claim in claims]
        claim, spent, reserved = min(seen, key=lambda s: s[0].budget.limit - s[1] - s[2])
        return exceeded(claim, spent, reserved, amount)


def standing(budget: Budget, key: str, now: float, spent: int, reserved: int) -> dict[str, Any]:
    """One line of a status, for people and programs."""
    return {
        "name": budget.label,
        "key": key,
        "window": budget.window,
        "limit": budget.usd,
        "spent": dollars(spent),
        "reserved": dollars(reserved),
        "resets_at": _moment(budget.span(now).end),
    }


def exceeded(claim: Claim, spent: int, reserved: int, amount: int, why: str = "") -> BudgetExceeded:
    """The error that says what a budget has and what was asked of it."""
    b = claim.budget
    return BudgetExceeded(
        b.label,
        claim.key,
        b.usd,
        dollars(spent),
        dollars(reserved),
        dollars(amount),
        resets_at=_moment(claim.end),
        at_limit=b.at_limit,
        why=why,
    )


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
