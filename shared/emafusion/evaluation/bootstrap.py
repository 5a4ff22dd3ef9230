"""Paired bootstrap over queries: how far a statistic of several methods on the same queries may be off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emafusion.evaluation.metrics import area_under_frontier
from emafusion.evaluation.points import Points

__all__ = ["Interval", "area_samples", "mean_samples", "percentile_interval", "resamples"]

Array = NDArray[np.float64]
BATCH = 200


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % percentile interval (Efron 1979)."""

    estimate: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float | None]:
        return {name: v if np.isfinite(v := getattr(self, name)) else None for name in ("estimate", "low", "high")}


def resamples(n: int, count: int, seed: int) -> Iterator[Array]:
    """Batches (b, n) of how often each of n queries is drawn, divided by n; ``count`` rows in all."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        rows = min(BATCH, count - start)
        drawn = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n) / n


def mean_samples(points: dict[str, Points], *, count: int = 1000, seed: int = 0) -> dict[str, tuple[Array, Array]]:
    """Mean cost and mean score (count, k) of every method under the same resamples: all of them paired.

    Examples
    --------
    >>> one = Points(np.array([[1.0, 0.0]]), np.array([[2.0, 4.0]]), np.zeros((1, 2), dtype=np.int64))
    >>> cost, score = mean_samples({"a": one}, count=3)["a"]
    >>> cost.shape, bool(np.allclose(cost, 4.0 - 2.0 * score))
    ((3, 1), True)
    """
    n = next(iter(points.values())).score.shape[1]
    found: dict[str, list[tuple[Array, Array]]] = {name: [] for name in points}
    for weights in resamples(n, count, seed):
        for name, mine in points.items():
            found[name].append((weights @ mine.cost.T, weights @ mine.score.T))
    return {
        name: (np.concatenate([c for c, _ in parts]), np.concatenate([s for _, s in parts]))
        for name, parts in found.items()
    }


def area_samples(cost: Array, score: Array, cheapest: float, dearest: float, *, log: bool) -> Array:
    """(count,) area under the frontier of each resample, over a fixed range of costs."""
    return np.array([area_under_frontier(c, q, cheapest, dearest, log=log) for c, q in zip(cost, score)])


def percentile_interval(samples: Array, estimate: float, level: float = 0.95) -> Interval:
    """The middle ``level`` of the samples; infinite samples (a quality never reached) are counted as such."""
    tail = (1.0 - level) / 2.0
    ordered = np.sort(samples)
    last = len(ordered) - 1
    low, high = ordered[int(np.floor(tail * last))], ordered[int(np.ceil((1.0 - tail) * last))]
    return Interval(float(estimate), float(low), float(high))


def interval(statistic: Callable[[Array], float], values: Array, *, count: int = 1000, seed: int = 0) -> Interval:
    """Bootstrap interval of a statistic of one value a query."""
    rng = np.random.default_rng(seed)
    samples = np.array([statistic(values[rng.integers(0, len(values), len(values))]) for _ in range(count)])
    return percentile_interval(samples, statistic(values))
