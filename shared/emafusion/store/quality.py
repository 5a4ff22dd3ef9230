"""How good the accepted answers were, overall and by candidate. Intervals are at 95 %.

The mean of the scores that users gave, made more certain by the judges' confidence in all answers as far as it goes
along with the scores (prediction-powered inference with its power tuned, arXiv 2311.01453). Without any score it is the
judges' confidence alone, and said to be. Whoever gives feedback is taken to do so without regard to quality.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from emafusion.store import sums

__all__ = ["Quality", "qualities"]

FEWEST = 30
"""Scores from which the judges' confidence can be weighed against them."""
DOUBT = 2.0
"""Pseudo-observations of the greatest variance, so that few scores that are all alike prove little."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Share of good answers, with its 95 % interval.

    Attributes
    ----------
    candidate
        That answered; None: all.
    known
        Decisions whose true quality somebody told.
    basis
        "feedback" (the judges add nothing), "feedback and judges", or "judges alone", which nobody has checked.
    """

    candidate: str | None
    decisions: int
    known: int
    estimate: float
    low: float | None
    high: float | None
    basis: Literal["feedback", "feedback and judges", "judges alone"]


def qualities(told: list[sums.Told]) -> list[Quality]:
    if not told:
        return []
    names = sorted({t.candidate for t in told}, key=lambda n: -sum(t.decisions for t in told if t.candidate == n))
    return [_quality(None, told), *(_quality(n, [t for t in told if t.candidate == n]) for n in names)]


def _quality(candidate: str | None, told: list[sums.Told]) -> Quality:
    n, known = sum(t.decisions for t in told), sum(t.known for t in told)
    judged = sum(t.judged for t in told) / n
    if not known:
        return Quality(candidate, n, 0, judged, None, None, "judges alone")
    truth, heard = sum(t.truth for t in told) / known, sum(t.known_judged for t in told) / known
    spread_all = max(sum(t.judged_squared for t in told) / n - judged**2, 0.0)
    spread_truth = max(sum(t.truth_squared for t in told) / known - truth**2, 0.0)
    spread_heard = max(sum(t.known_judged_squared for t in told) / known - heard**2, 0.0)
    together = sum(t.product for t in told) / known - truth * heard
    trust = 0.0
    if known >= FEWEST and n > known and spread_all > 0:
        trust = min(max(together / ((1 + known / n) * spread_all), 0.0), 1.0)
    estimate = truth + trust * (judged - heard)
    residual = max(spread_truth - 2 * trust * together + trust**2 * spread_heard, 0.0)
    residual = (residual * known + 0.25 * DOUBT) / (known + DOUBT - 1)
    off = _quantile(known + DOUBT - 1) * float(np.sqrt(residual / known + trust**2 * spread_all / n))
    basis: Literal["feedback", "feedback and judges"] = "feedback and judges" if trust > 0 else "feedback"
    low, high = max(estimate - off, 0.0), min(estimate + off, 1.0)
    return Quality(candidate, n, known, min(max(estimate, 0.0), 1.0), low, high, basis)


def _quantile(freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))
