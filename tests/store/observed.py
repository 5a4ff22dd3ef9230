"""Observations with a contribution that is easy to check: what was said, times what was known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.online.observation import Observation

__all__ = ["DIM", "Counted", "observed", "words"]

DIM = 6


@dataclass(frozen=True, slots=True)
class Counted(Observation):
    """Adds the weighted words times the features, and counts."""

    def contribution(self) -> NDArray[np.float64]:
        judged = 0.0 if self.judge is None else self.weight * (1.0 + self.judge)
        told = 0.0 if self.truth is None else (1.0 + self.truth) / self.propensity
        spoken = float(self.judge is not None or self.truth is not None)
        known = judged * self.features, told * self.features, spoken * np.outer(self.features, self.features).ravel()
        return np.concatenate([*known, [spoken]])


def observed(number: int, judge: float | None = None, truth: float | None = None) -> Counted:
    """The observation of that number: one of three candidates, seven ticks after the one before."""
    rng = np.random.default_rng(number)
    return Counted(
        decision_id=f"d{number // 3}",
        candidate=("small", "large", "other")[number % 3],
        tick=float(number * 7),
        features=rng.normal(size=DIM),
        forecast=float(rng.uniform()),
        judge=judge,
        truth=truth,
        weight=float(rng.uniform(0.1, 1.0)),
        propensity=float(rng.uniform(0.1, 1.0)),
    )


def words(number: int) -> tuple[list[float], list[float]]:
    """What a judge says of an observation, and what a user does, each revised up to twice."""
    rng = np.random.default_rng([number, 1])
    judged, told = rng.uniform(size=rng.integers(1, 4)), rng.uniform(size=rng.integers(0, 4))
    return judged.tolist(), told.tolist()
