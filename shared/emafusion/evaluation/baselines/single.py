"""One candidate for every query: the best, the cheapest, the dearest; and the hull of all of them."""

from __future__ import annotations

import numpy as np

from emafusion.evaluation.baselines.fold import Fold, in_order
from emafusion.evaluation.points import Points

__all__ = ["best_single", "cheapest", "dearest", "zero_router"]


def best_single(fold: Fold) -> Points:
    """The candidate of the highest mean score on the training part, always; of equals the cheaper.

    A query without an outcome of it gets the next best. Candidates with outcomes on under a fifth of the training part
    are not considered, for their mean is over other queries.
    """
    quality, cost = fold.train.means()
    enough = fold.train.available.mean(0) >= 0.2
    order = np.lexsort((cost, -np.where(enough, quality, -1.0)))
    return in_order(fold.test, -order.argsort()[None].astype(np.float64))


def cheapest(fold: Fold) -> Points:
    """The candidate of the lowest mean cost on the training part, always."""
    return in_order(fold.test, -fold.train.means()[1][None])


def dearest(fold: Fold) -> Points:
    """The candidate of the highest mean cost on the training part, always."""
    cost = fold.train.means()[1]
    return in_order(fold.test, np.where(np.isfinite(cost), cost, 0.0)[None])


def zero_router(fold: Fold) -> Points:
    """The hull of the single candidates: whichever is best alone at each objective, mixed at random in between.

    RouterBench's zero router (arXiv 2403.12031, section 3): it reads no query at all.
    """
    quality, cost = fold.train.means()
    return in_order(fold.test, fold.values[:, None] * quality - cost)
