"""Comparison: EMAFusion and every baseline over the same queries, out of fold, as numbers with intervals.

How the numbers are defined, once for all:

* Each method has one operating point for each of twelve values that a good answer may be worth, spread evenly in the
  logarithm from twice the cheapest candidate's mean cost to two hundred times the dearest's. A point is chosen by its
  value, fold by fold, on the training part; the points of all folds are pooled.
* Between points, and only there, a frontier is the non-decreasing convex hull of the pooled points: random mixing.
  Cost at parity, and quality at a given cost, are read off that hull.
* Best single is the candidate that was best on each fold's training part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from emafusion.evaluation.bootstrap import Interval, area_samples, mean_samples, percentile_interval
from emafusion.evaluation.folds import EMAFUSION
from emafusion.evaluation.metrics import (
    area_under_frontier,
    cost_at_quality,
    mixture_at_cost,
    oracle_gap_recovered,
    quality_at_cost,
)
from emafusion.evaluation.peer_figures import PeerFigures, peer_figures
from emafusion.evaluation.points import Array, Points

__all__ = ["AtOwnCost", "Comparison", "Standing", "compare"]

OWN_COST = ("best single", "taxonomy only", "learned only", "cascade only")


@dataclass(frozen=True)
class Standing:
    """One method in figures. Costs are USD a query.

    Attributes
    ----------
    quality, cost
        At the highest value of a good answer: an objective, not a choice by results.
    peak, peak_cost
        The top of the hull: the best of the operating points in hindsight.
    parity_cost
        Least cost at the best single's quality; None where it is never reached.
    at_quarter
        Quality at a quarter of the average candidate's cost.
    area, log_area
        AIQ, and the same over log cost.
    gap
        Share of the way from the best single to the oracle that ``peak`` goes.
    """

    quality: float
    cost: float
    peak: float
    peak_cost: float
    parity_cost: float | None
    at_quarter: float
    area: float
    log_area: float
    gap: float | None
    calls: float | None

    def as_dict(self) -> dict[str, float | None]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class AtOwnCost:
    """EMAFusion mixed to cost what one point of another method costs, and how much better it is there.

    Attributes
    ----------
    value
        USD that a good answer is worth at that point; None for a method that has but one.
    error
        Standard error of the paired difference over queries.
    """

    method: str
    value: float | None
    cost: float
    quality: float
    emafusion_cost: float
    emafusion: float
    difference: float
    error: float

    def as_dict(self) -> dict[str, float | str | None]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Comparison:
    """Every method on the same queries."""

    values: Array
    cheapest: float
    dearest: float
    average: float
    standings: Mapping[str, Standing]
    headline: Mapping[str, Interval]
    differences: Mapping[str, Interval]
    """EMAFusion's area over log cost less each method's."""
    own_cost: tuple[AtOwnCost, ...]
    peers: Mapping[str, PeerFigures]
    resamples: int = 1000
    frontiers: Mapping[str, tuple[list[float], list[float]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "values": self.values.tolist(),
            "cost_range": [self.cheapest, self.dearest],
            "average_candidate_cost": self.average,
            "methods": {
                name: {**standing.as_dict(), **self.peers[name].as_dict()} for name, standing in self.standings.items()
            },
            "headline": {name: interval.as_dict() for name, interval in self.headline.items()},
            "log_area_difference": {name: interval.as_dict() for name, interval in self.differences.items()},
            "at_own_cost": [row.as_dict() for row in self.own_cost],
            "resamples": self.resamples,
            "points": {name: {"cost": cost, "quality": quality} for name, (cost, quality) in self.frontiers.items()},
        }


def compare(
    points: Mapping[str, Points], values: Array, candidate_costs: Array, *, resamples: int = 1000, seed: int = 0
) -> Comparison:
    """Figures of each method, and EMAFusion's distance to it.

    Parameters
    ----------
    points
        By method, all over the same queries; must hold "EMAFusion", "cheapest", "best single" and "oracle".
    candidate_costs : (m,)
        Mean cost of each candidate, USD a query: their range is that of the areas.
    """
    cheapest, dearest = float(candidate_costs.min()), float(candidate_costs.max())
    average = float(candidate_costs.mean())
    single = float(points["best single"].quality[0])
    ceiling = float(points["oracle"].quality.max())
    standings = {name: _standing(mine, single, ceiling, cheapest, dearest, average) for name, mine in points.items()}
    samples = mean_samples(dict(points), count=resamples, seed=seed)
    areas = {name: area_samples(c, s, cheapest, dearest, log=True) for name, (c, s) in samples.items()}
    differences = {
        name: percentile_interval(
            areas[EMAFUSION] - areas[name], standings[EMAFUSION].log_area - standings[name].log_area
        )
        for name in points
        if name != EMAFUSION
    }
    rows = [row for name in OWN_COST if name in points for row in _at_own_cost(name, points, values)]
    return Comparison(
        values,
        cheapest,
        dearest,
        average,
        standings,
        _headline(samples, standings, points, average),
        differences,
        tuple(rows),
        peer_figures(points, values, average),
        resamples,
        {name: (mine.mean_cost.tolist(), mine.quality.tolist()) for name, mine in points.items()},
    )


def _standing(mine: Points, single: float, ceiling: float, cheapest: float, dearest: float, average: float) -> Standing:
    cost, quality = mine.mean_cost, mine.quality
    top = int(np.lexsort((cost, -quality))[0])
    return Standing(
        quality=float(quality[-1]),
        cost=float(cost[-1]),
        peak=float(quality[top]),
        peak_cost=float(cost[top]),
        parity_cost=cost_at_quality(cost, quality, single),
        at_quarter=float(quality_at_cost(cost, quality, average / 4)),
        area=area_under_frontier(cost, quality, cheapest, dearest),
        log_area=area_under_frontier(cost, quality, cheapest, dearest, log=True),
        gap=oracle_gap_recovered(float(quality[top]), single, ceiling),
        calls=None if mine.calls is None else float(mine.calls[-1].mean()),
    )


def _headline(
    samples: Mapping[str, tuple[Array, Array]],
    standings: Mapping[str, Standing],
    points: Mapping[str, Points],
    average: float,
) -> dict[str, Interval]:
    """EMAFusion against the best single, with both resampled together."""
    cost, quality = samples[EMAFUSION]
    single_cost, single = (x[:, 0] for x in samples["best single"])
    mine, its_cost = standings[EMAFUSION], float(points["best single"].mean_cost[0])
    its_quality = float(points["best single"].quality[0])
    share = [_reached(cost_at_quality(c, q, s)) / sc for c, q, s, sc in zip(cost, quality, single, single_cost)]
    quarter = np.array([float(quality_at_cost(c, q, average / 4)) for c, q in zip(cost, quality)]) - single
    return {
        "parity_share_of_best_single_cost": percentile_interval(np.array(share), _reached(mine.parity_cost) / its_cost),
        "gain_at_quarter_of_average_cost": percentile_interval(quarter, mine.at_quarter - its_quality),
        "gain_of_best_point": percentile_interval(quality.max(1) - single, mine.peak - its_quality),
        "gain_at_highest_value": percentile_interval(quality[:, -1] - single, mine.quality - its_quality),
    }


def _reached(cost: float | None) -> float:
    return np.inf if cost is None else cost


def _at_own_cost(name: str, points: Mapping[str, Points], values: Array) -> list[AtOwnCost]:
    mine, other = points[EMAFUSION], points[name]
    rows = []
    for k in range(len(other)):
        at = float(other.mean_cost[k])
        low, high, share = mixture_at_cost(mine.mean_cost, mine.quality, at)
        score = (1.0 - share) * mine.score[low] + share * mine.score[high]
        cost = (1.0 - share) * mine.mean_cost[low] + share * mine.mean_cost[high]
        gap = score - other.score[k]
        rows.append(
            AtOwnCost(
                method=name,
                value=float(values[k]) if len(other) == len(values) else None,
                cost=at,
                quality=float(other.quality[k]),
                emafusion_cost=float(cost),
                emafusion=float(score.mean()),
                difference=float(gap.mean()),
                error=float(gap.std(ddof=1) / np.sqrt(len(gap))),
            )
        )
    return rows
