"""Each method in the figures that other papers report, so that it can be held against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emafusion.evaluation.metrics import quality_at_cost
from emafusion.evaluation.peer_metrics import (
    arena_score,
    average_gap_recovered,
    call_threshold,
    cost_save,
    incremental_benefit_lift,
    performance_gain,
    regret,
)
from emafusion.evaluation.points import Array, Points

__all__ = ["PeerFigures", "peer_figures"]


@dataclass(frozen=True)
class PeerFigures:
    """One method under the metrics of :mod:`emafusion.evaluation.peer_metrics`; None where one is not defined.

    The weak candidate is the cheapest, the strong one the best single.

    Attributes
    ----------
    perf_gain, cost_save
        Per cent, against the best single.
    ibc_lift
        Per cent, at a quarter of the average candidate's cost.
    arena
        RouterArena's score of the best operating point in hindsight.
    regret
        USD a query behind the oracle, at each value of a good answer.
    regret_share
        The same as a share of the value, averaged over the values: good answers lost for each query.
    """

    apgr: float | None
    cpt_50: float | None
    cpt_80: float | None
    ibc_lift: float | None
    perf_gain: float | None
    cost_save: float | None
    arena: float
    regret: tuple[float, ...]
    regret_share: float

    def as_dict(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "regret": list(self.regret)}


def peer_figures(points: Mapping[str, Points], values: Array, average: float) -> dict[str, PeerFigures]:
    """Figures of each method; ``points`` must hold "cheapest", "best single" and "oracle"."""
    weak, strong = (_alone(points[name]) for name in ("cheapest", "best single"))
    best = points["oracle"]
    found = {}
    for name, mine in points.items():
        cost, quality = mine.mean_cost, mine.quality
        behind = regret(cost, quality, best.mean_cost, best.quality, values)
        at_quarter = float(quality_at_cost(cost, quality, average / 4))
        found[name] = PeerFigures(
            apgr=average_gap_recovered(cost, quality, weak, strong),
            cpt_50=call_threshold(cost, quality, weak, strong, 0.5),
            cpt_80=call_threshold(cost, quality, weak, strong, 0.8),
            ibc_lift=incremental_benefit_lift(average / 4, at_quarter, weak, strong),
            perf_gain=performance_gain(quality, strong[1]),
            cost_save=cost_save(cost, quality, strong),
            arena=max(arena_score(c, q) for c, q in zip(cost.tolist(), quality.tolist())),
            regret=tuple(behind.tolist()),
            regret_share=float((behind / values).mean()),
        )
    return found


def _alone(points: Points) -> tuple[float, float]:
    return float(points.mean_cost[0]), float(points.quality[0])
