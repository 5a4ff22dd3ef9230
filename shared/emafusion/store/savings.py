"""What was saved, against one candidate that would have answered everything. Intervals are at 95 %.

Its cost is what it would have cost to ask it alone: the forecast made for its call at the time, scaled by how this
candidate's forecasts turned out; only decisions that forecast it count. The dearest is the candidate that would have
cost the most, the best single one that with the highest quality if it answered everything: its forecasts, corrected by
how its own accepted answers turned out against them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np

from emafusion.store import sums

__all__ = ["Saving", "savings"]

Z = 1.959964
FEWEST = 30
"""Accepted answers from which a candidate's own outcomes correct its forecasts."""


@dataclass(frozen=True, slots=True)
class Saving:
    """USD that were not spent because one candidate did not answer everything, with its 95 % interval.

    Attributes
    ----------
    against
        "dearest" or "best single".
    share
        Of what that candidate would have cost.
    measured
        Whether calls of that candidate were seen, so that its forecasts could be scaled.
    """

    against: str
    candidate: str
    window: str
    decisions: int
    usd: float
    low: float | None
    high: float | None
    share: float | None
    measured: bool


@dataclass(frozen=True, slots=True)
class _Scale:
    """What a USD of forecast cost turned out to be, and the variance of that."""

    ratio: float
    variance: float
    measured: bool

    @classmethod
    def of(cls, calls: sums.Calls | None) -> _Scale:
        if calls is None or calls.expected <= 0:
            return cls(1.0, 0.0, False)
        ratio = calls.usd / calls.expected
        residual = calls.usd_squared - 2 * ratio * calls.product + ratio**2 * calls.expected_squared
        return cls(ratio, max(residual, 0.0) / calls.expected**2, True)


def savings(
    windows: Iterable[tuple[str, date]],
    expected: list[sums.Expected],
    calls: Iterable[sums.Calls],
    told: list[sums.Told],
) -> list[Saving]:
    by_name = {c.candidate: c for c in calls}
    scales = {e.candidate: _Scale.of(by_name.get(e.candidate)) for e in expected}
    alone = {name: [e for e in expected if e.candidate == name] for name in scales}
    if not alone:
        return []

    def per_query(name: str) -> float:
        return scales[name].ratio * sum(e.usd for e in alone[name]) / sum(e.decisions for e in alone[name])

    quality = {name: _alone(alone[name], [t for t in told if t.candidate == name]) for name in alone}
    dearest = max(alone, key=per_query)
    best = max(alone, key=lambda name: (quality[name], -per_query(name)))
    return [
        found
        for against, name in (("best single", best), ("dearest", dearest))
        for window, start in windows
        if (found := _saving(against, name, window, [e for e in alone[name] if e.day >= start], scales[name]))
    ]


def _alone(expected: list[sums.Expected], told: list[sums.Told]) -> float:
    """Quality of a candidate if it answered everything."""
    forecast = sum(e.p_good for e in expected) / sum(e.decisions for e in expected)
    known, judged = sum(t.known_forecast for t in told), sum(t.forecast for t in told)
    if known >= FEWEST:
        forecast += sum(t.truth_residual for t in told) / known
    elif judged >= FEWEST:
        forecast += sum(t.judged_residual for t in told) / judged
    return min(max(forecast, 0.0), 1.0)


def _saving(against: str, name: str, window: str, here: list[sums.Expected], scale: _Scale) -> Saving | None:
    n = sum(e.decisions for e in here)
    if not n:
        return None
    usd, spent = sum(e.usd for e in here), sum(e.spent for e in here)
    squares = (
        scale.ratio**2 * sum(e.usd_squared for e in here)
        - 2 * scale.ratio * sum(e.product for e in here)
        + sum(e.spent_squared for e in here)
    )
    saved = scale.ratio * usd - spent
    would = scale.ratio * usd
    share = saved / would if would > 0 else None
    if n < 2:
        return Saving(against, name, window, n, saved, None, None, share, scale.measured)
    variance = max(squares - saved**2 / n, 0.0) * n / (n - 1) + usd**2 * scale.variance
    off = Z * float(np.sqrt(variance))
    return Saving(against, name, window, n, saved, saved - off, saved + off, share, scale.measured)
