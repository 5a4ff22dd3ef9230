"""AutoMix's world with known noise: queries are simple, complex or unsolvable, and verifications see that dimly."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from emafusion.learning.automix_walk import Verified

SHARES = (0.4, 0.3, 0.3)
"""Of simple, complex and unsolvable queries."""
SAYS_CORRECT = (0.9, 0.45, 0.15)
"""Chance that one verdict of the small model calls its answer correct: it gives up on what nobody can solve."""
COST = (1e-4, 1e-3)
VERIFICATION = 2e-5


def simulated(
    n: int, seed: int, says_correct: Sequence[float] = SAYS_CORRECT, samples: int = 8, unverified: float = 0.0
) -> Verified:
    """A small and a large model; the small one's answers are verified, but for a share of them."""
    rng = np.random.default_rng(seed)
    state = rng.choice(3, n, p=SHARES)
    score = np.column_stack([state == 0, state <= 1]).astype(np.float64)
    verified = np.column_stack([rng.random(n) >= unverified, np.zeros(n, dtype=bool)])
    share = rng.binomial(samples, np.array(says_correct)[state]) / samples
    confidence = np.where(verified, share[:, None], np.nan)
    return Verified(
        score=score,
        cost=np.tile(COST, (n, 1)),
        confidence=confidence,
        verified=verified,
        verification_cost=np.where(verified, VERIFICATION, 0.0),
        usable=np.ones((n, 2), dtype=bool),
    )


def with_verifications(
    lines: list[dict[str, Any]], seed: int = 0, usd: float | None = 1e-5, yes: float = 0.8, no: float = 0.3
) -> list[dict[str, Any]]:
    """The lines of a log with eight verdicts on each answer: ``yes`` of those on good ones say correct, ``no`` else."""
    rng = random.Random(seed)
    for line in lines:
        for outcome in line["outcomes"].values():
            p = yes if outcome["score"] else no
            outcome["verification"] = [int(rng.random() < p) for _ in range(8)]
            if usd is not None:
                outcome["verification_usd"] = usd
    return lines
