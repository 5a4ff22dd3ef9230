"""Budget adherence: the engine itself, pacing on, over the queries of each fold that its router was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emafusion.config import Candidate, Objective
from emafusion.evaluation.processes import EncoderSource
from emafusion.evaluation.replay import replay
from emafusion.fusion import Fusion
from emafusion.log import LoggedQuery
from emafusion.routers.artefact import RoutingModel

__all__ = ["BUDGETS", "Adherence", "BudgetRun", "adherence", "pooled"]

BUDGETS = (1e-4, 3e-4, 1e-3, 3e-3)
"""USD a query: 0.1 to 3 USD per 1,000 queries."""


@dataclass(frozen=True)
class BudgetRun:
    """One budget to keep, and what is needed to try."""

    model: RoutingModel
    encoder: EncoderSource
    entries: Sequence[LoggedQuery]
    usd_per_query: float


@dataclass(frozen=True)
class Adherence:
    """What was allowed and what was spent, USD a query on average, in one fold or over several.

    Attributes
    ----------
    quality
        Mean score of the accepted answers that have one.
    scored
        How many those are.
    least
        Mean cost of always asking the cheapest candidate: below it no router can go.
    by_fold
        Spent over allowed, less one, in each fold: every fold starts with a pacer that knows nothing.
    """

    budget: float
    spent: float
    quality: float | None
    queries: int
    scored: int
    least: float
    by_fold: tuple[float, ...]

    @property
    def off_by(self) -> float:
        """Spent over allowed, less one, over all queries together."""
        return self.spent / self.budget - 1.0

    @property
    def spread(self) -> float | None:
        """Standard deviation of :attr:`by_fold`; None for a single fold."""
        return float(np.std(self.by_fold, ddof=1)) if len(self.by_fold) > 1 else None

    def as_dict(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**named, "by_fold": list(self.by_fold), "off_by": self.off_by, "spread": self.spread}


def adherence(run: BudgetRun) -> Adherence:
    """Replay the engine under an average budget."""
    candidates = [Candidate(n, name=n, price=run.model.prices[n]) for n in run.model.candidates]
    fusion = Fusion(candidates, router=run.model, judges=(), encoder=run.encoder.open())
    done = list(replay(run.entries, fusion, Objective(usd_per_query=run.usd_per_query)))
    scores = [one.score for one in done if one.score is not None]
    costs: dict[str, list[float]] = {}
    for entry in run.entries:
        for name, outcome in entry.outcomes.items():
            if name in fusion.pool and outcome.cost_usd is not None:
                costs.setdefault(name, []).append(outcome.cost_usd)
    spent = sum(one.result.decision.cost_usd for one in done) / len(done)
    return Adherence(
        budget=run.usd_per_query,
        spent=spent,
        quality=sum(scores) / len(scores) if scores else None,
        queries=len(done),
        scored=len(scores),
        least=min((sum(c) / len(c) for c in costs.values()), default=0.0),
        by_fold=(spent / run.usd_per_query - 1.0,),
    )


def pooled(runs: Sequence[Adherence]) -> Adherence:
    """Folds of one budget together: all that was spent over all that was allowed."""
    queries, scored = sum(run.queries for run in runs), sum(run.scored for run in runs)
    return Adherence(
        budget=runs[0].budget,
        spent=sum(run.spent * run.queries for run in runs) / queries,
        quality=sum((run.quality or 0.0) * run.scored for run in runs) / scored if scored else None,
        queries=queries,
        scored=scored,
        least=sum(run.least * run.queries for run in runs) / queries,
        by_fold=tuple(error for run in runs for error in run.by_fold),
    )
