"""A table over k-means clusters of queries (Avengers-Pro, arXiv 2508.12631): mean score and cost by cluster."""

from __future__ import annotations

import numpy as np

from emafusion.evaluation.baselines.fold import Fold, Part, direct
from emafusion.evaluation.baselines.neighbours import training_area
from emafusion.evaluation.points import Array, IntArray, Points

__all__ = ["k_means_table"]

SIZES = (8, 16, 32, 64, 128)
NEAREST = (1, 2, 4)


def k_means_table(fold: Fold) -> Points:
    """Direct routing on the mean score and mean cost of the query's nearest clusters.

    The number of clusters, and how many of the nearest are averaged, are chosen on the training part with each query
    left out of its own cluster's means, by the area under the frontier over log cost.
    """
    from sklearn.cluster import KMeans

    train, test = fold.train, fold.test
    found: list[tuple[float, Array, Array]] = []
    for size in (s for s in SIZES if 4 * s <= len(train)):
        centres = KMeans(size, n_init=2, random_state=fold.seed).fit(train.vectors).cluster_centers_
        near_train, near_test = (_nearest(part.vectors, centres) for part in (train, test))
        for nearest in NEAREST:
            quality, cost = _averages(train, near_train[:, 0], near_train[:, :nearest], size, leave_out=True)
            area = training_area(train, fold.values, quality, cost)
            found.append((area, *_averages(train, near_train[:, 0], near_test[:, :nearest], size, leave_out=False)))
    _, quality, cost = max(found, key=lambda entry: entry[0])
    return direct(test, fold.values, quality, cost)


def _nearest(vectors: Array, centres: Array) -> IntArray:
    """(n, 4) nearest clusters, nearest first."""
    distance = (centres**2).sum(1) - 2.0 * vectors @ centres.T
    return np.asarray(distance.argsort(1)[:, : max(NEAREST)])


def _averages(train: Part, home: IntArray, near: IntArray, size: int, *, leave_out: bool) -> tuple[Array, Array]:
    """Expected quality and cost (n, m): means over clusters, averaged over the nearest of each query."""
    known = train.available
    member = np.eye(size)[home]
    count = member.T @ known
    overall = train.means()
    out = []
    for outcome, mean in zip((train.score, train.cost), overall):
        outcome = np.where(known, outcome, 0.0)
        total = member.T @ outcome
        sums, counts = total[near], count[near]
        if leave_out:
            own = (near == home[:, None])[:, :, None]
            sums, counts = sums - own * outcome[:, None, :], counts - own * known[:, None, :]
        usual = np.where(np.isfinite(mean), mean, 0.0)
        # One pseudo-count at the overall mean: a cluster of two queries must not count as certain.
        out.append(((sums + usual) / (counts + 1.0)).mean(1))
    return out[0], np.where(np.isfinite(overall[1]), out[1], np.inf)
