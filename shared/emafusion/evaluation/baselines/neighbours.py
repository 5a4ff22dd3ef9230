"""Tuned k nearest neighbours on the query's embedding (RouterBench's kNN router, arXiv 2403.12031, section 4)."""

from __future__ import annotations

import numpy as np

from emafusion.evaluation.baselines.fold import Fold, Part, direct
from emafusion.evaluation.metrics import area_under_frontier
from emafusion.evaluation.points import Array, Points

__all__ = ["k_nearest", "training_area"]

SIZES = (5, 10, 20, 40, 80, 160)
BLOCK = 512


def k_nearest(fold: Fold) -> Points:
    """Direct routing on the mean score and mean cost of the k most similar training queries.

    k, and whether neighbours count by their similarity, are chosen by leave-one-out on the training part, by the area
    under the frontier over log cost: the very measure on which it is compared.
    """
    train, test = fold.train, fold.test
    settings = [(size, power) for size in SIZES if size < len(train) for power in (0.0, 8.0)]
    held_out = _expected(train, train.vectors, settings, leave_out=True)
    areas = [training_area(train, fold.values, quality, cost) for quality, cost in held_out]
    best = settings[int(np.argmax(areas))]
    ((quality, cost),) = _expected(train, test.vectors, [best], leave_out=False)
    return direct(test, fold.values, quality, cost)


def training_area(train: Part, values: Array, quality: Array, cost: Array) -> float:
    """Area under the frontier (log cost) that direct routing on these expectations has on the training part."""
    rows = np.nonzero(train.available.any(1))[0]
    points = direct(train.take(rows), values, quality[rows], cost[rows])
    mean = train.means()[1]
    finite = mean[np.isfinite(mean)]
    return area_under_frontier(points.mean_cost, points.quality, finite.min(), finite.max(), log=True)


def _expected(
    train: Part, vectors: Array, settings: list[tuple[int, float]], *, leave_out: bool
) -> list[tuple[Array, Array]]:
    """Expected quality and cost (n, m) for each setting (k, power of the similarity)."""
    most = max(size for size, _ in settings)
    known = train.available
    score, cost = np.where(known, train.score, 0.0), np.where(known, train.cost, 0.0)
    mean_quality, mean_cost = train.means()
    out: list[list[tuple[Array, Array]]] = [[] for _ in settings]
    for start in range(0, len(vectors), BLOCK):
        similarity = vectors[start : start + BLOCK] @ train.vectors.T
        if leave_out:
            own = np.arange(len(similarity))
            similarity[own, start + own] = -np.inf
        near = np.argpartition(-similarity, most - 1, axis=1)[:, :most]
        near = np.take_along_axis(near, np.take_along_axis(-similarity, near, 1).argsort(1), 1)
        close = np.clip(np.take_along_axis(similarity, near, 1), 1e-6, 1.0)
        for found, (size, power) in zip(out, settings):
            mine = near[:, :size]
            weight = (close[:, :size] ** power)[:, :, None] * known[mine]
            total = weight.sum(1)
            safe = np.maximum(total, 1e-12)
            quality = np.where(total > 0, (weight * score[mine]).sum(1) / safe, mean_quality)
            expense = np.where(total > 0, (weight * cost[mine]).sum(1) / safe, mean_cost)
            found.append((quality, expense))
    return [(np.concatenate([q for q, _ in f]), np.concatenate([c for _, c in f])) for f in out]
