"""AutoMix (arXiv 2310.12963): ask a small model, verify its answer, escalate to a large one where that is worth it.

AutoMix has the small model verify its own answer with eight samples, and fits a decision for each of eight bins of
the share that says "correct". Samples that a log recorded (field ``verification`` of an outcome, a share or a list of
verdicts) are read. Where it holds none, the confidence is the probability of :mod:`~.answer_scores`, which was trained
on scores: more than AutoMix has. What the verification would have cost is counted in neither case.

The paper's POMDP decides a single step, so it is what stands here: in each bin, the action of most expected value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emafusion.evaluation.baselines.fold import Fold, Part
from emafusion.evaluation.points import Array, IntArray, Points

__all__ = ["automix"]

BINS = 8
ENOUGH = 0.2
"""Share of the training part that must hold both of a pair."""
PRIOR = 5.0
"""Queries at the pair's overall means that each bin starts with: a bin of two must not count as certain."""


@dataclass(frozen=True)
class _Pair:
    """A pair, the inner edges of the bins, and in which of them a confidence escalates at each value (k, bins)."""

    small: int
    large: int
    edges: Array
    escalate: NDArray[np.bool_]


def automix(fold: Fold) -> Points:
    """The best pair (small, large) and decision over bins on the training part, for each value of a good answer."""
    train, test = fold.train, fold.test
    held_out, on_test = fold.answer_scores
    confidence, met = _confidence(train, held_out), _confidence(test, on_test)
    quality_alone, mean_cost = train.means()
    single = fold.values[:, None] * quality_alone - mean_cost
    best_worth, best_single = single.max(1), single.argmax(1)
    best: list[tuple[_Pair, int] | int] = [int(j) for j in best_single]
    for small in range(len(mean_cost)):
        for large in np.nonzero(np.isfinite(mean_cost) & (mean_cost > mean_cost[small]))[0]:
            both = train.available[:, small] & train.available[:, large]
            if both.mean() < ENOUGH:
                continue
            pair, worth = _fitted(train, np.nonzero(both)[0], confidence[:, small], small, int(large), fold.values)
            for k in np.nonzero(worth > best_worth)[0]:
                best_worth[k], best[k] = worth[k], (pair, int(k))
    runs = [_run(test, choice, met, quality_alone) for choice in best]
    score, cost, answered, calls = (np.stack(x) for x in zip(*runs))
    return Points(score, cost, answered, None, calls)


def _confidence(part: Part, scores: Array) -> Array:
    """(n, m) recorded verifications where there are any, else the scores of the answers."""
    return scores if part.verification is None else np.where(np.isnan(part.verification), scores, part.verification)


def _fitted(
    train: Part, rows: IntArray, confidence: Array, small: int, large: int, values: Array
) -> tuple[_Pair, Array]:
    """The decision of each bin at each value, and what it is worth (k,) on average over the training part."""
    edges = np.unique(np.quantile(confidence[rows], np.arange(1, BINS) / BINS))
    which = np.searchsorted(edges, confidence[rows], side="right")
    member = np.eye(len(edges) + 1)[which]
    count = member.sum(0)
    # (bins,) gain of score and extra cost by escalating.
    gain, extra = train.score[rows, large] - train.score[rows, small], train.cost[rows, large]
    mean_gain, mean_extra = ((x @ member + PRIOR * x.mean()) / (count + PRIOR) for x in (gain, extra))
    escalate = values[:, None] * mean_gain > mean_extra
    kept = values * train.score[rows, small].mean() - train.cost[rows, small].mean()
    escalated = (escalate * (values[:, None] * (gain @ member) - extra @ member)).sum(1) / len(rows)
    return _Pair(small, large, edges, escalate), kept + escalated


def _run(
    test: Part, choice: tuple[_Pair, int] | int, confidence: Array, quality: Array
) -> tuple[Array, Array, IntArray, Array]:
    """Score, cost, who answered and calls; the other of a pair answers what one lacks, else the best there is."""
    rows = np.arange(len(test))
    spare = np.where(test.available, quality, -np.inf).argmax(1)
    if isinstance(choice, int):
        answered = np.where(test.available[:, choice], choice, spare)
        return test.score[rows, answered], test.cost[rows, answered], answered, np.ones(len(test))
    pair, k = choice
    has_small, has_large = test.available[:, pair.small], test.available[:, pair.large]
    which = np.searchsorted(pair.edges, confidence[:, pair.small], side="right")
    first = np.where(has_small, pair.small, np.where(has_large, pair.large, spare))
    twice = has_small & has_large & pair.escalate[k][which]
    answered = np.where(twice, pair.large, first)
    cost = test.cost[rows, first] + np.where(twice, test.cost[rows, answered], 0.0)
    return test.score[rows, answered], cost, answered, np.where(twice, 2.0, 1.0)
