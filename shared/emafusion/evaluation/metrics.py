"""Metrics of a cost-quality trade-off (USD a query, mean scores in [0, 1]) and of a confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "area_under_frontier",
    "brier_score",
    "cost_at_quality",
    "expected_calibration_error",
    "frontier",
    "mixture_at_cost",
    "oracle_gap_recovered",
    "quality_at_cost",
    "reliability",
]

Array = NDArray[np.float64]


def frontier(cost: ArrayLike, quality: ArrayLike) -> NDArray[np.int64]:
    """Points on the non-decreasing convex hull, by ascending cost.

    A router may mix two of its own points at random query by query, which reaches every point of the line between them
    (RouterBench, arXiv 2403.12031, section 3: linear interpolation and the non-decreasing convex hull).

    Parameters
    ----------
    cost, quality : (k,)

    Returns
    -------
    (h,) indices into the given points; costs and qualities of the selection increase, slopes decrease.

    Examples
    --------
    >>> frontier([1.0, 2.0, 3.0, 4.0], [0.5, 0.4, 0.9, 0.8]).tolist()
    [0, 2]
    """
    c, q = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    hull: list[int] = []
    for i in np.lexsort((-q, c)):
        if hull and q[i] <= q[hull[-1]]:
            continue
        while len(hull) >= 2 and _bends_up(c, q, hull[-2], hull[-1], i):
            hull.pop()
        hull.append(int(i))
    return np.array(hull, dtype=np.int64)


def _bends_up(c: Array, q: Array, a: int, b: int, new: int) -> bool:
    """Whether ``b`` lies on or under the line from ``a`` to ``new``."""
    return bool((q[b] - q[a]) * (c[new] - c[a]) <= (q[new] - q[a]) * (c[b] - c[a]))


def quality_at_cost(cost: ArrayLike, quality: ArrayLike, at: ArrayLike) -> Array:
    """Quality of the frontier at given costs.

    Below the cheapest point it is mixed with the null router (no answer, no cost, quality 0), above the dearest it
    stays what it is: both as RouterBench defines it, so that all routers can be compared over one range of costs.

    Examples
    --------
    >>> quality_at_cost([1.0, 3.0], [0.5, 0.9], [0.5, 1.0, 2.0, 9.0]).tolist()
    [0.25, 0.5, 0.7, 0.9]
    """
    c, q = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    c, q = np.append(c, 0.0), np.append(q, 0.0)
    on = frontier(c, q)
    return np.asarray(np.interp(np.asarray(at, dtype=np.float64), c[on], q[on]))


def cost_at_quality(cost: ArrayLike, quality: ArrayLike, target: float) -> float | None:
    """Least cost at which the frontier reaches a quality; None where it never does.

    Unlike :func:`quality_at_cost` this does not mix with the null router: at or below the quality of the cheapest point
    that is on the frontier, the answer is that point's cost.

    Examples
    --------
    >>> cost_at_quality([1.0, 3.0], [0.5, 1.0], 0.75)
    2.0
    """
    c, q = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    on = frontier(c, q)
    if not len(on) or target > q[on[-1]]:
        return None
    return float(np.interp(target, q[on], c[on]))


def area_under_frontier(
    cost: ArrayLike, quality: ArrayLike, cheapest: float, dearest: float, *, log: bool = False
) -> float:
    """Mean quality of the frontier over a range of costs: AIQ (RouterBench, arXiv 2403.12031, section 3.2).

    Parameters
    ----------
    cheapest, dearest
        The range, USD a query: here the mean cost of the cheapest and of the dearest candidate alone.
    log
        Average over the logarithm of the cost instead, so that each factor of cost counts alike. The frontier is the
        same one, convex in the cost itself.

    Examples
    --------
    >>> round(area_under_frontier([1.0, 3.0], [0.5, 0.9], 1.0, 3.0), 6)
    0.7
    """
    if not 0 < cheapest <= dearest:
        raise ValueError(f"the range of costs must be positive and ascending, got {cheapest!r} to {dearest!r}")
    c, q = np.append(np.asarray(cost, dtype=np.float64), 0.0), np.append(np.asarray(quality, dtype=np.float64), 0.0)
    on = frontier(c, q)
    c, q = c[on], q[on]
    if cheapest == dearest:
        return float(np.interp(cheapest, c, q))
    inner = c[(c > cheapest) & (c < dearest)]
    x = np.concatenate([[cheapest], inner, [dearest]])
    y = np.interp(x, c, q)
    if not log:
        return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (dearest - cheapest))
    # On each segment quality is a + b * cost; over the logarithm that integrates to a * log ratio + b * difference.
    slope = np.diff(y) / np.diff(x)
    start = y[:-1] - slope * x[:-1]
    return float((start * np.diff(np.log(x)) + slope * np.diff(x)).sum() / np.log(dearest / cheapest))


def mixture_at_cost(cost: ArrayLike, quality: ArrayLike, at: float) -> tuple[int, int, float]:
    """Two points of the frontier and the share of the second that together cost ``at``.

    Outside the frontier's range the nearer end alone is given, so what it costs is then less or more than ``at``.
    """
    c, q = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    on = frontier(c, q)
    right = int(np.searchsorted(c[on], at))
    if right == 0:
        return int(on[0]), int(on[0]), 0.0
    if right == len(on):
        return int(on[-1]), int(on[-1]), 0.0
    low, high = int(on[right - 1]), int(on[right])
    return low, high, float((at - c[low]) / (c[high] - c[low]))


def oracle_gap_recovered(quality: float, best_single: float, oracle: float) -> float | None:
    """Share of the distance from the best single candidate to the oracle; None where there is no distance."""
    return (quality - best_single) / (oracle - best_single) if oracle > best_single else None


def reliability(confidence: ArrayLike, score: ArrayLike, bins: int = 10) -> list[dict[str, float]]:
    """Bins of equal width over the confidence: how many fell in, their mean confidence and mean score."""
    p, s = np.asarray(confidence, dtype=np.float64), np.asarray(score, dtype=np.float64)
    which = np.minimum((p * bins).astype(np.int64), bins - 1)
    return [
        {"count": float(mine.sum()), "confidence": float(p[mine].mean()), "quality": float(s[mine].mean())}
        for mine in (which == b for b in range(bins))
        if mine.any()
    ]


def expected_calibration_error(confidence: ArrayLike, score: ArrayLike, bins: int = 10) -> float:
    """Mean distance of confidence and quality over bins of equal width, weighted by their counts (Naeini et al. 2015).

    Examples
    --------
    >>> round(expected_calibration_error([0.8, 0.8, 0.8, 0.8], [1.0, 1.0, 1.0, 0.0]), 6)
    0.05
    """
    found = reliability(confidence, score, bins)
    total = sum(b["count"] for b in found)
    return sum(b["count"] * abs(b["confidence"] - b["quality"]) for b in found) / total if total else 0.0


def brier_score(confidence: ArrayLike, score: ArrayLike) -> float:
    """Mean squared distance of confidence and score (Brier 1950)."""
    p, s = np.asarray(confidence, dtype=np.float64), np.asarray(score, dtype=np.float64)
    return float(((p - s) ** 2).mean())
