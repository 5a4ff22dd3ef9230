"""Logged bandits whose truth is known: queries with an ease, candidates of different quality, seeded exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emafusion.evaluation.logged_decisions import LoggedDecisions

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bandit:
    """A log, two policies over it, and the exact difference of their values on its queries."""

    logged: LoggedDecisions
    candidate: Array
    incumbent: Array
    difference: float


def make_bandit(
    n: int,
    *,
    seed: int,
    candidates: int = 4,
    explore: float = 0.1,
    gain: float = 0.1,
    differing: float = 0.3,
    known: float = 1.0,
    forecast: Literal["good", "biased", "absent"] = "good",
) -> Bandit:
    """The incumbent asks candidate 0; on some queries the other policy asks candidate 1, better by ``gain``."""
    rng = np.random.default_rng(seed)
    rows = np.arange(n)
    ease = rng.random(n)
    good = np.tile(0.55 + 0.3 * ease[:, None], (1, candidates))
    good[:, 1] += gain
    good[:, 2:] += np.linspace(-0.2, 0.05, candidates - 2)
    good = good.clip(0.0, 1.0)
    cost = np.tile(0.01 * np.arange(1, candidates + 1), (n, 1))
    incumbent = np.zeros(n, dtype=np.int64)
    candidate = np.where(rng.random(n) < differing, 1, 0)
    chances = np.full((n, candidates), explore / candidates)
    chances[rows, incumbent] += 1.0 - explore
    action = (chances.cumsum(1) > rng.random(n)[:, None]).argmax(1)
    quality = (rng.random(n) < good[rows, action]).astype(float)
    confidence = np.clip(0.2 + 0.5 * quality + 0.3 * rng.random(n), 0.0, 1.0)
    expected = {
        "good": np.clip(good + rng.normal(0.0, 0.05, good.shape), 0.0, 1.0),
        # Says the opposite of the truth about the two that matter.
        "biased": np.clip(good + 0.3 * np.eye(candidates)[0] - 0.3 * np.eye(candidates)[1], 0.0, 1.0),
        "absent": np.full_like(good, np.nan),
    }[forecast]
    logged = LoggedDecisions(
        action=action,
        propensity=chances,
        quality=np.where(rng.random(n) < known, quality, np.nan),
        confidence=confidence,
        cost=cost[rows, action],
        expected_quality=expected,
        expected_cost=cost,
    )
    worth = good - cost
    exact = float((worth[rows, candidate] - worth[rows, incumbent]).mean())
    return Bandit(logged, np.eye(candidates)[candidate], np.eye(candidates)[incumbent], exact)
