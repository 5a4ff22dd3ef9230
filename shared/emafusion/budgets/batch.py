"""A batch of requests under one budget: who answers what, and what is left for those that are not answered yet.

The batch goes in rounds. Before each, all that is not answered is assigned anew, by what is really left: answers that
were longer than forecast leave less for the rest, shorter ones more. Every call is reserved at the most that it may
cost, so the budget is never exceeded; a call that no longer fits goes to the cheapest candidate.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from emafusion.budgets.budget import Budget, Budgets, dollars
from emafusion.budgets.ledger import Claim, Ledger
from emafusion.budgets.purse import Allowance, RequestPurse
from emafusion.config import Candidate, Pool
from emafusion.errors import BudgetExceeded, NoCandidateFits
from emafusion.policies.assignment import NOBODY, assign
from emafusion.types import Call, Query

__all__ = ["Batch"]

T = TypeVar("T")

ROUNDS = 8
FOR_EVER = 1e9
"""Seconds that a call waits for others of the batch to settle."""


class Forecasting(Protocol):
    """What a batch asks of a :class:`~emafusion.fusion.Fusion`."""

    pool: Pool
    router: Any

    def model(self, name: str) -> Candidate: ...


class Batch:
    """Assigns the queries of a batch, round by round.

    Parameters
    ----------
    fusion
        Forecasts.
    queries
    usd
        For all together.
    rounds
        How often what is left is assigned anew.

    Attributes
    ----------
    allowance
        To be given to :meth:`Fusion.steps` with each request, as ``within``.
    """

    def __init__(self, fusion: Forecasting, queries: Sequence[Query], usd: float, *, rounds: int = ROUNDS) -> None:
        self.queries = tuple(queries)
        self.names = fusion.pool.names
        self.rounds = max(1, rounds)
        self._budget = Budget(usd, per="total", at_limit="queue", name="this batch", max_wait=FOR_EVER)
        self.allowance = Allowance(Budgets([self._budget]), Ledger())
        n, m = len(self.queries), len(self.names)
        self._quality, self._cost = np.zeros((n, m)), np.full((n, m), np.inf)
        self._most = np.full((n, m), np.inf)
        for i, query in enumerate(self.queries):
            self._read(fusion, i, query)

    def _read(self, fusion: Forecasting, i: int, query: Query) -> None:
        try:
            allowed = fusion.pool.fitting(query)
        except NoCandidateFits:  # the request itself says so
            return
        forecast = fusion.router.forecast(query)
        purse = RequestPurse(None, Ledger(), fusion.model, query, within=self.allowance)
        for j, name in enumerate(self.names):
            if name in allowed and name in forecast.candidates:
                row = forecast.of(name)
                self._quality[i, j], self._cost[i, j] = row["p_good"], row["cost_usd"]
                self._most[i, j] = purse.priced(query, Call("draft", name)).max_usd or 0.0

    @property
    def left(self) -> float:
        """USD neither spent nor reserved."""
        spent, reserved = self.allowance.ledger.seen(self._claim())
        return dollars(self._budget.limit - spent - reserved)

    @property
    def spent(self) -> float:
        return dollars(self.allowance.ledger.seen(self._claim())[0])

    def _claim(self) -> Claim:
        return Claim.on(self._budget, "", 0.0)

    def assignment(self, which: Sequence[int]) -> tuple[str | None, ...]:
        """The candidates of these queries, by what is left now; None where that does not reach."""
        rows = np.array(which, dtype=np.int64)
        if not len(rows):
            return ()
        left = self.left
        chosen = assign(self._quality[rows], self._cost[rows], left, self._most[rows] <= left)
        return tuple(None if j == NOBODY else self.names[j] for j in chosen)

    def __iter__(self) -> Iterator[list[tuple[int, str | None]]]:
        """The rounds: (number of the query, its candidate), to be answered before the next round is asked for.

        Each round has its share of all kinds of queries, those first whose calls need most to be set aside: towards the
        end of a budget only small calls find room.
        """
        left = list(range(len(self.queries)))
        for number in range(self.rounds, 0, -1):
            if not left:
                return
            names = self.assignment(left)
            round_ = [(i, name) for i, name in zip(left[::number], names[::number])]
            left = [i for at, i in enumerate(left) if at % number]
            yield sorted(round_, key=lambda one: self._needs(*one), reverse=True)

    def _needs(self, i: int, name: str | None) -> float:
        return 0.0 if name is None else float(self._most[i, self.names.index(name)])

    def _instead(self, i: int, but: set[str]) -> str | None:
        """The cheapest candidate, if its call still fits; other than those that were refused."""
        spent, _ = self.allowance.ledger.seen(self._claim())
        most = dollars(self._budget.limit - spent)
        fits = [j for j, name in enumerate(self.names) if name not in but and self._most[i, j] <= most]
        return self.names[min(fits, key=lambda j: self._most[i, j])] if fits else None

    def answer(self, i: int, name: str | None, ask: Callable[[str], T]) -> T:
        """What ``ask`` makes of its candidate, or of the cheapest where that is refused.

        Raises
        ------
        BudgetExceeded
            If no candidate fits what is left.
        """
        refused: set[str] = set()
        while True:
            chosen = self._chosen(i, name, refused)
            try:
                return ask(chosen)
            except BudgetExceeded as error:
                if error.budget != self._budget.label:
                    raise
                refused.add(chosen)

    async def aanswer(self, i: int, name: str | None, ask: Callable[[str], Awaitable[T]]) -> T:
        """:meth:`answer` for asyncio."""
        refused: set[str] = set()
        while True:
            chosen = self._chosen(i, name, refused)
            try:
                return await ask(chosen)
            except BudgetExceeded as error:
                if error.budget != self._budget.label:
                    raise
                refused.add(chosen)

    def _chosen(self, i: int, name: str | None, refused: set[str]) -> str:
        found = name if name is not None and name not in refused else self._instead(i, refused)
        if found is not None:
            return found
        spent, reserved = self.allowance.ledger.seen(self._claim())
        needed = float(self._most[i].min())
        if not np.isfinite(needed):  # nobody can take this query at all: let the request say so
            return self.names[0]
        raise BudgetExceeded(
            self._budget.label, "", self._budget.usd, dollars(spent), dollars(reserved), needed, at_limit="queue"
        )
