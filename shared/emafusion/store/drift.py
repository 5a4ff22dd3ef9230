"""Does a candidate still do as forecast? The newest decisions against those before.

What turned out to be true (or where few truths are known, what judges believed) less what was forecast is compared by
Welch's test, with an alarm where chance would show as much in one of a hundred looks at all candidates (Bonferroni).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from emafusion.store import sums

__all__ = ["Drift", "drifts"]

FEWEST = 30
"""Answers on either side without which nothing is tested."""
ALARM = 0.01
"""Probability of a false alarm, over all candidates."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How much better or worse than forecast a candidate's answers were, recently and before."""

    candidate: str
    basis: Literal["feedback", "judges"]
    recent: float
    earlier: float
    recent_answers: int
    earlier_answers: int
    p_value: float
    alarm: bool


def drifts(told: list[sums.Told]) -> list[Drift]:
    pairs: dict[str, dict[bool, sums.Told]] = defaultdict(dict)
    for t in told:
        pairs[t.candidate][t.recent] = t
    found = [d for name, pair in pairs.items() if len(pair) == 2 and (d := _drift(name, pair[True], pair[False]))]
    return sorted((replace(d, alarm=d.p_value < ALARM / len(found)) for d in found), key=lambda d: d.p_value)


def _drift(name: str, recent: sums.Told, earlier: sums.Told) -> Drift | None:
    from scipy.stats import ttest_ind_from_stats

    basis: Literal["feedback", "judges"]
    if min(recent.known_forecast, earlier.known_forecast) >= FEWEST:
        basis, counts = "feedback", (recent.known_forecast, earlier.known_forecast)
        total = recent.truth_residual, earlier.truth_residual
        squared = recent.truth_residual_squared, earlier.truth_residual_squared
    elif min(recent.forecast, earlier.forecast) >= FEWEST:
        basis, counts = "judges", (recent.forecast, earlier.forecast)
        total = recent.judged_residual, earlier.judged_residual
        squared = recent.judged_residual_squared, earlier.judged_residual_squared
    else:
        return None
    mean = [s / n for s, n in zip(total, counts)]
    spread = [float(np.sqrt(max(q - n * m**2, 1e-12) / (n - 1))) for q, n, m in zip(squared, counts, mean)]
    test = ttest_ind_from_stats(mean[0], spread[0], counts[0], mean[1], spread[1], counts[1], equal_var=False)
    return Drift(name, basis, mean[0], mean[1], counts[0], counts[1], float(test.pvalue), False)
