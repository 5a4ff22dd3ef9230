"""Budget adherence: the engine itself, pacing on, over queries that its router was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emafusion.config import Candidate, Objective
from emafusion.evaluation.processes import EncoderSource
from emafusion.evaluation.replay import replay
from emafusion.fusion import Fusion
from emafusion.log import LoggedQuery
from emafusion.routers.artefact import RoutingModel

__all__ = ["BUDGETS", "Adherence", "BudgetRun", "adherence"]

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
    """What was allowed and what was spent, USD a query on average.

    Attributes
    ----------
    quality
        Mean score of the accepted answers that have one.
    least
        Mean cost of always asking the cheapest candidate: below it no router can go.
    """

    budget: float
    spent: float
    quality: float | None
    queries: int
    least: float

    def as_dict(self) -> dict[str, float | None]:
        return {**{n: getattr(self, n) for n in self.__dataclass_fields__}, "off_by": self.spent / self.budget - 1.0}


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
    return Adherence(
        budget=run.usd_per_query,
        spent=sum(one.result.decision.cost_usd for one in done) / len(done),
        quality=sum(scores) / len(scores) if scores else None,
        queries=len(done),
        least=min((sum(c) / len(c) for c in costs.values()), default=0.0),
    )
