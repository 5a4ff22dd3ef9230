"""Threshold cascade (FrugalGPT, arXiv 2305.05176): the best chain of up to three candidates, and thresholds.

FrugalGPT learns a score of an answer, and then searches for the list of models and the thresholds of most quality
within a budget. Here the search is for the most value less cost, once for each operating point, over all chains in
order of mean cost; scores on the training part are out of fold.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from emafusion.evaluation.baselines.chains import Chain, limits, run_chains
from emafusion.evaluation.baselines.fold import Fold
from emafusion.evaluation.points import Array, Points

__all__ = ["threshold_cascade"]

THRESHOLDS = 12
LONGEST = 3
ENOUGH = 0.2
"""Share of the training part that must hold all of a chain: chains are compared over the queries that each has."""


def threshold_cascade(fold: Fold) -> Points:
    """The chain and thresholds of most value less cost on the training part, for each value of a good answer."""
    train = fold.train
    held_out, on_test = fold.answer_scores
    quality_alone, mean_cost = train.means()
    order = [int(j) for j in np.argsort(mean_cost, kind="stable") if np.isfinite(mean_cost[j])]
    best_worth = np.full(len(fold.values), -np.inf)
    best = [Chain((order[0],))] * len(fold.values)
    for length in range(1, LONGEST + 1):
        for candidates in combinations(order, length):
            rows = train.available[:, candidates].all(1)
            if length > 1 and rows.mean() < ENOUGH:
                continue
            stages = [limits(held_out[rows, j], THRESHOLDS) for j in candidates[:-1]]
            kept = [(held_out[rows, j] >= stage[:, None]).astype(np.float64) for j, stage in zip(candidates, stages)]
            score, spent = (x[rows][:, candidates].T for x in (train.score, train.cost))
            quality, cost = _expected(score, np.zeros_like(score), kept), _expected(score * 0.0, spent, kept)
            worth = fold.values.reshape(-1, *[1] * (length - 1)) * quality - cost
            flat = worth.reshape(len(fold.values), -1)
            for k, at in enumerate(flat.argmax(1)):
                if flat[k, at] > best_worth[k]:
                    best_worth[k] = flat[k, at]
                    where = np.unravel_index(int(at), quality.shape)
                    best[k] = Chain(candidates, tuple(float(stage[t]) for stage, t in zip(stages, where)))
    return run_chains(fold.test, best, on_test, quality_alone)


def _expected(final: Array, each: Array, kept: list[Array]) -> Array:
    """Mean over queries, for each combination of thresholds (t, ...), of what is earned by a chain.

    Parameters
    ----------
    final, each : (stages, n)
        What the answer that is kept is worth, and what every answer that is asked for costs.
    kept : a (t, n) of zeros and ones for each stage but the last
    """
    if not kept:
        return np.asarray((final[0] + each[0]).mean())
    keep, n = kept[0], len(final[0])
    now = keep @ final[0] + each[0].sum()
    if len(kept) == 1:
        return np.asarray((now + (1.0 - keep) @ (final[1] + each[1])) / n)
    second = kept[1]
    later = second * final[1] + (1.0 - second) * (final[2] + each[2]) + each[1]
    return np.asarray((now[:, None] + (1.0 - keep) @ later.T) / n)
