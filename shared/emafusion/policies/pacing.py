"""A pacer that holds an average budget, request by request, for a stream whose length nobody knows.

What was spent over or under the budget so far is worked off over a few dozen queries, whatever comes after: so the
average holds wherever the stream ends, but for the last dear calls.
"""

from __future__ import annotations

import math
import threading

__all__ = ["Pacer"]

DEBT = 10.0
"""Budgets of debt from which calls may be confined: 0.3 % of 3,000 queries."""
SAVING = 20.0
"""Budgets that the pacer aims to have left over: 0.7 % of 3,000 queries. A single answer can cost ten times its
forecast, thirty budgets and more; with this, one of those at the very end overdraws 3,000 queries by 0.3 %. Quality was
the same at 15 and at 25."""
SAVED_UP = 0.0067
"""Share of the budget that is saved until :data:`SAVING` is reached: a short run does not leave more than that."""
REPAYING = 30.0
"""Queries over which a debt is paid off. Debts come in one piece, by one dear answer; half as many queries would pay
it off in half the time, at values so low that quality falls by a tenth of a point."""
SPENDING = 15.0
"""Queries over which a saving is spent. Savings come little by little, so there is no harm in being quick."""
MOST_HASTE = 1.5
"""Log of the factor by which spending may be steered off the budget for the sake of what is left over: a debt of 100
budgets is paid off at three quarters of a budget a query."""
WINDOW = 60.0
"""Queries over which the spending at the present value is averaged: few enough to follow the next kind of query, enough
that costs which differ a hundredfold do not make the value jump about."""
LUMP = 20.0
"""Budgets that one query counts for at most in that average: one answer says nothing about the next sixty. As a debt it
counts whole."""
MOST_CORRECTED = 5.0
"""Log of the factor by which the value may be corrected. Where no value spends the budget it must not run away, or the
next kind of query is answered at any price."""
RECENT = 20.0
"""Queries by which it is judged whether a debt is still growing."""
RECENT_LUMP = 4.0
"""Budgets that one query counts for at most there: a debt grows by many dear queries, not by one."""
PATIENCE = 200
"""Queries for which a great debt may last before calls are confined all the same: the value pays off a single call of
150 budgets in that time, unless it has no say, as where only one candidate is asked."""
DELAYS = 2.0
"""Delays, in queries, that the horizons have at least and the window has more: feedback that is late by d queries
swings ever wider unless it acts over more than 2 d / pi."""
MOST_UNDER_WAY = 4096
"""Requests of which it is remembered when they began; those that fail never end."""


class Pacer:
    """Holds an average budget: raises or lowers the value of a good answer as spending runs under or over.

    Two terms make the log of the factor. One follows the traffic: from what the last queries cost on average, and from
    the factors at which they were served, it has the factor that spends one budget a query. A change of the kind of
    query shifts it at once and for good. The other works off what is left over, a debt over a longer horizon than a
    saving. The value is steered to a small saving, not to zero.

    While the debt is greater than ``debt`` budgets and most queries add to it, calls are confined to those that are
    expected to cost no more than one. A debt that one dear answer made is left to the value at first, which pays it off
    at less loss of quality.

    Where requests overlap, what they cost is known late. How many others were settled while one was under way is
    measured, and the horizons grow with it.
    """

    def __init__(self, budget: float, *, debt: float = DEBT, saving: float = SAVING) -> None:
        self.budget, self.debt, self.saving = budget, debt, saving
        self.spent, self.queries, self.delay, self.indebted = 0.0, 0, 0.0, 0
        self._spending, self._log_factor, self._recent = 1.0, 0.0, 0.0
        self._began: dict[int | None, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def factor(self) -> float:
        """By what to multiply the value now."""
        with self._lock:
            return math.exp(self._next())

    def allowance(self) -> float:
        """USD that a call may be expected to cost now; infinite unless the debt is great, and growing or lasting."""
        with self._lock:
            confined = self.indebted > 0 and (self._recent > 1.0 or self.indebted > PATIENCE)
            return self.budget if confined else math.inf

    def begin(self, key: int) -> None:
        """A request began; ``key`` is what :meth:`settle` will know it by. One that is never settled does no harm."""
        with self._lock:
            self._began[key] = self.queries, self._next()
            if len(self._began) > MOST_UNDER_WAY:
                del self._began[next(iter(self._began))]

    def settle(self, cost_usd: float, key: int | None = None) -> None:
        """A request ended, and cost so much. One that never began is taken to have been the only one under way."""
        with self._lock:
            cost = cost_usd / self.budget
            began, served = self._began.pop(key, (self.queries, self._next()))
            self.delay += (self.queries - began - self.delay) / RECENT
            share = 1.0 / (WINDOW + DELAYS * self.delay)
            self._spending += (min(cost, LUMP) - self._spending) * share
            self._log_factor += (served - self._log_factor) * share
            self._recent += (min(cost, RECENT_LUMP) - self._recent) / RECENT
            self.spent += cost_usd
            self.queries += 1
            self.indebted = self.indebted + 1 if self._left() < -self.debt else 0

    def _next(self) -> float:
        """Log of the factor."""
        left = self._left() - min(self.saving, SAVED_UP * self.queries)
        haste = left / max(REPAYING if left < 0.0 else SPENDING, DELAYS * self.delay)
        haste = min(max(haste, -MOST_HASTE), MOST_HASTE)
        steady = self._log_factor - math.log(max(self._spending, 1e-3))
        return min(max(steady + haste, -MOST_CORRECTED), MOST_CORRECTED)

    def _left(self) -> float:
        """What is left over so far, in budgets of one query."""
        return self.queries - self.spent / self.budget
