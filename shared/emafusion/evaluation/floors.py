"""Does a quality floor hold as often as it promises? Many random calibrations, judged on queries they did not see.

A floor is served at the least value of a good answer whose quality was certified on a calibration sample
(:meth:`emafusion.policies.trade_off.Curve.value_for_floor`); where nothing is certified, the reference itself answers.
The promise is that the quality stays at or above the floor in nine of ten calibrations.

Every held-out query was simulated once at every value, so a calibration is a choice of rows. Two verdicts are given:

* *Population*: calibrate on a small draw with replacement, and compare with the quality over all rows, which then is
  the truth. This is what the promise is about.
* *Half*: calibrate on a random half, and compare with the quality of the other half. That half is itself a sample, so
  a floor that is just kept in truth is missed there about every second time: a lower share is no broken promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emafusion.estimators.certificate import certified_share
from emafusion.evaluation.points import Array, IntArray, Points
from emafusion.policies.trade_off import Curve

__all__ = ["FLOORS", "PROMISED", "FloorCheck", "check_floors"]

FLOORS = (0.9, 0.95, 0.98, 1.0)
"""Shares of the reference's quality."""
PROMISED = 0.9
DRAW = 500
"""Queries that calibrate, where the population judges."""
ENOUGH = 0.8
"""Share of the queries that a reference must have answered."""


@dataclass(frozen=True)
class FloorCheck:
    """How one floor fared over many calibrations.

    Attributes
    ----------
    role
        "best single" or "dearest": what the reference is among the candidates.
    held, held_on_half
        Share of the calibrations in which the floor held, judged by the population and by the other half.
    fell_back
        Share of the calibrations (those that the population judges) that certified nothing, and so served the
        reference.
    quality, cost
        Mean share of the reference's quality and cost over the population.
    """

    floor: float
    reference: str
    role: str
    held: float
    held_on_half: float
    fell_back: float
    quality: float
    cost: float
    calibrations: int

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def check_floors(
    mine: Points,
    values: Array,
    score: Array,
    cost: Array,
    candidates: Sequence[str],
    *,
    calibrations: int = 200,
    seed: int = 0,
    floors: Sequence[float] = FLOORS,
    draw: int = DRAW,
) -> list[FloorCheck]:
    """Check each floor against the best single candidate and the dearest one.

    Parameters
    ----------
    mine
        The policy on held-out queries, one point for each of ``values`` (k,).
    score, cost : (n, m)
        Of all candidates, NaN where unknown.
    """
    out = []
    for role, j in _references(score, cost).items():
        known = np.nonzero(~np.isnan(score[:, j]))[0]
        trial = _Trial(mine, values, score[:, j], cost[:, j], candidates[j], known, tuple(sorted(floors)))
        rng = np.random.default_rng(seed)
        drawn = [rng.choice(known, min(draw, len(known))) for _ in range(calibrations)]
        halves = [np.array_split(rng.permutation(known), 2) for _ in range(calibrations)]
        small, large = [trial.curve(rows) for rows in drawn], [trial.curve(rows) for rows, _ in halves]
        for floor in floors:
            served = [trial.served(curve, floor) for curve in small]
            truth = [trial.outcome(k, known) for k in served]
            on_half = [trial.outcome(trial.served(curve, floor), rest)[0] for curve, (_, rest) in zip(large, halves)]
            out.append(
                FloorCheck(
                    floor,
                    candidates[j],
                    role,
                    held=float(np.mean([quality >= floor for quality, _ in truth])),
                    held_on_half=float(np.mean([quality >= floor for quality in on_half])),
                    fell_back=float(np.mean([k is None for k in served])),
                    quality=float(np.mean([quality for quality, _ in truth])),
                    cost=float(np.mean([spent for _, spent in truth])),
                    calibrations=calibrations,
                )
            )
    return out


def _references(score: Array, cost: Array) -> dict[str, int]:
    """The best single candidate and the dearest, among those that answered nearly everything; one may be both."""
    known = ~np.isnan(score)
    enough = known.mean(0) >= min(ENOUGH, known.mean(0).max())
    count = np.maximum(known.sum(0), 1)
    quality, spent = (np.where(enough, np.where(known, x, 0.0).sum(0) / count, -1.0) for x in (score, cost))
    best, dearest = int(quality.argmax()), int(spent.argmax())
    return {"best single and dearest": best} if best == dearest else {"best single": best, "dearest": dearest}


@dataclass(frozen=True)
class _Trial:
    """The policy and one reference on the same queries."""

    mine: Points
    values: Array
    score: Array
    cost: Array
    reference: str
    known: IntArray
    floors: tuple[float, ...]

    def curve(self, rows: IntArray) -> Curve:
        """What :func:`emafusion.learning.fitting.measure_curve` measures, on runs that were simulated before."""
        mine, reference = self.mine, self.score[rows]
        return Curve(
            value=tuple(self.values.tolist()),
            cost=tuple(np.maximum.accumulate(mine.cost[:, rows].mean(1)).tolist()),
            quality=tuple(mine.score[:, rows].mean(1).tolist()),
            advantage=(0.0,) * len(self.values),
            certified={
                self.reference: tuple(certified_share(score, reference, self.floors) for score in mine.score[:, rows])
            },
            alone={self.reference: (_mean(self.cost[rows]), _mean(reference))},
        )

    def served(self, curve: Curve, floor: float) -> int | None:
        """The point that is served under a floor; None where the reference is."""
        value = curve.value_for_floor(floor, self.reference)
        return None if value is None else int(np.abs(self.values - value).argmin())

    def outcome(self, point: int | None, rows: IntArray) -> tuple[float, float]:
        """Quality and cost over the reference's."""
        if point is None:
            return 1.0, 1.0
        quality, cost = _mean(self.score[rows]), _mean(self.cost[rows])
        mine, spent = _mean(self.mine.score[point, rows]), _mean(self.mine.cost[point, rows])
        return mine / quality if quality > 0 else 1.0, spent / cost if cost > 0 else 1.0


def _mean(outcome: Array) -> float:
    """Mean of what is known; 0 where nothing is."""
    known = outcome[~np.isnan(outcome)]
    return float(known.mean()) if len(known) else 0.0
