"""The envelope of all two-candidate cascades (arXiv 2605.06350): a cheap answer is kept when it scores well.

Pair and threshold are chosen on the training part for each objective; single candidates are among the pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emafusion.evaluation.baselines.chains import Chain, limits, run_chains
from emafusion.evaluation.baselines.fold import Fold, Part
from emafusion.evaluation.points import Array, Points

__all__ = ["pairwise_cascade"]

THRESHOLDS = 25


def pairwise_cascade(fold: Fold) -> Points:
    """The best pair (first, second) and threshold at each value of a good answer; single candidates are among them."""
    train = fold.train
    m = train.score.shape[1]
    held_out, on_test = fold.answer_scores
    best_worth = np.full(len(fold.values), -np.inf)
    best = [Chain((0,))] * len(fold.values)
    quality_alone, mean_cost = train.means()
    for first in range(m):
        for second in range(m):
            both = train.available[:, first] & train.available[:, second]
            if not both.any() or (second != first and mean_cost[second] <= mean_cost[first]):
                continue
            single = second == first
            tried = np.array([-np.inf]) if single else limits(held_out[both, first], THRESHOLDS)
            quality, cost = _outcomes(train, both, first, second, held_out[:, first], tried)
            worth = fold.values[:, None] * quality - cost
            for k, t in enumerate(worth.argmax(1)):
                if worth[k, t] > best_worth[k]:
                    best_worth[k] = worth[k, t]
                    best[k] = Chain((first,)) if single else Chain((first, second), (float(tried[t]),))
    return run_chains(fold.test, best, on_test, quality_alone)


def _outcomes(
    train: Part, both: NDArray[np.bool_], first: int, second: int, scores: Array, limits: Array
) -> tuple[Array, Array]:
    """(t,) mean quality and cost on the training part for each threshold."""
    kept = scores[both] >= limits[:, None]
    quality = np.where(kept, train.score[both, first], train.score[both, second]).mean(1)
    cost = train.cost[both, first].mean() + np.where(kept, 0.0, train.cost[both, second]).mean(1)
    return quality, cost
