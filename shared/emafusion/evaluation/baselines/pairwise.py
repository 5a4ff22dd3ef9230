"""The envelope of all two-candidate cascades (FrugalGPT, arXiv 2305.05176): a cheap answer is kept when it scores well.

The score is a logistic regression on what the first answer and the query show: findings of the rules, form and length
of the answer, length and meaning of the query. Pair and threshold are chosen on the training part for each objective.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emafusion.evaluation.baselines.fold import Fold, Part
from emafusion.evaluation.points import Array, Points

__all__ = ["pairwise_cascade"]

THRESHOLDS = 25
MEANINGS = 16
"""Principal components of the query's embedding that the scorer reads."""
FOLDS = 4


def pairwise_cascade(fold: Fold) -> Points:
    """The best pair (first, second) and threshold at each value of a good answer; single candidates are among them."""
    train, test = fold.train, fold.test
    m = train.score.shape[1]
    components = _components(train.vectors)
    best_worth = np.full(len(fold.values), -np.inf)
    best: list[tuple[int, int, float]] = [(0, 0, -np.inf)] * len(fold.values)
    scores_test = np.zeros(test.score.shape)
    mean_cost = train.means()[1]
    for first in range(m):
        if not train.available[:, first].any():
            continue
        held_out, scores_test[:, first] = _scored(train, test, first, components, fold.seed)
        for second in range(m):
            both = train.available[:, first] & train.available[:, second]
            if not both.any() or (second != first and mean_cost[second] <= mean_cost[first]):
                continue
            limits = [-np.inf] if second == first else _limits(held_out[both])
            quality, cost = _outcomes(train, both, first, second, held_out, np.array(limits))
            worth = fold.values[:, None] * quality - cost
            for k, t in enumerate(worth.argmax(1)):
                if worth[k, t] > best_worth[k]:
                    best_worth[k], best[k] = worth[k, t], (first, second, float(limits[t]))
    runs = [_run(test, *pair, scores_test, fold.train.means()[0]) for pair in best]
    score, cost, answered, calls = (np.stack(x) for x in zip(*runs))
    return Points(score, cost, answered.astype(np.int64), None, calls)


def _limits(scores: Array) -> list[float]:
    """Thresholds at quantiles of the score, from never to always keeping the first answer."""
    inner = np.quantile(scores, np.linspace(0.0, 1.0, THRESHOLDS)[1:-1])
    return [-np.inf, *inner.tolist(), np.inf]


def _outcomes(
    train: Part, both: NDArray[np.bool_], first: int, second: int, scores: Array, limits: Array
) -> tuple[Array, Array]:
    """(t,) mean quality and cost on the training part for each threshold."""
    kept = scores[both] >= limits[:, None]
    quality = np.where(kept, train.score[both, first], train.score[both, second]).mean(1)
    cost = train.cost[both, first].mean() + np.where(kept, 0.0, train.cost[both, second]).mean(1)
    return quality, cost


def _run(
    test: Part, first: int, second: int, limit: float, scores: Array, quality: Array
) -> tuple[Array, Array, Array, Array]:
    """Score, cost, who answered and calls of a pair on the test part; a missing candidate is passed over."""
    rows = np.arange(len(test))
    has_first, has_second = test.available[:, first], test.available[:, second]
    neither = ~has_first & ~has_second
    spare = np.where(test.available, quality, -np.inf).argmax(1)
    start = np.where(neither, spare, np.where(has_first, first, second))
    kept = (scores[:, first] >= limit) | ~has_first | ~has_second | neither
    answered = np.where(kept, start, second)
    cost = test.cost[rows, start] + np.where(kept, 0.0, test.cost[rows, answered])
    return test.score[rows, answered], cost, answered, np.where(kept, 1.0, 2.0)


def _components(vectors: Array) -> Array:
    """(d, MEANINGS) leading directions of the training queries."""
    centred = vectors - vectors.mean(0)
    _, _, directions = np.linalg.svd(centred.T @ centred)
    return np.asarray(directions[:MEANINGS].T)


def _design(part: Part, first: int, components: Array) -> Array:
    length = np.log1p(part.table.out_tok[:, first])
    typical = np.nanmean(length) if np.isfinite(length).any() else 0.0
    length = np.where(np.isfinite(length), length, typical)
    prompt = np.log1p(part.table.prompt_tokens)
    return np.column_stack(
        [
            part.answers.rules[:, first],
            part.answers.usable[:, first],
            length,
            length**2,
            prompt,
            part.vectors @ components,
        ]
    )


def _scored(train: Part, test: Part, first: int, components: Array, seed: int) -> tuple[Array, Array]:
    """Probability that the first answer is good: out of fold on the training part, and on the test part."""
    known = train.available[:, first]
    design, target = _design(train, first, components), np.where(known, train.score[:, first], 0.0)
    fold = np.random.default_rng(seed).permutation(len(train)) % FOLDS
    held_out = np.zeros(len(train))
    for f in range(FOLDS):
        held_out[fold == f] = _logistic(design[known & (fold != f)], target[known & (fold != f)], design[fold == f])
    return held_out, _logistic(design[known], target[known], _design(test, first, components))


def _logistic(design: Array, target: Array, queried: Array) -> Array:
    """Logistic regression on scores in [0, 1], each counted as that share of a good answer."""
    from sklearn.linear_model import LogisticRegression

    if len(target) < 10 or target.min() == target.max():
        return np.full(len(queried), target.mean() if len(target) else 0.5)
    mean, spread = design.mean(0), np.maximum(design.std(0), 1e-9)
    design, queried = (design - mean) / spread, np.clip((queried - mean) / spread, -8.0, 8.0)
    twice, side = np.vstack([design, design]), np.repeat([1, 0], len(target))
    weight = np.concatenate([target, 1.0 - target])
    used = weight > 0
    model = LogisticRegression(C=0.3, max_iter=500).fit(twice[used], side[used], sample_weight=weight[used])
    return np.asarray(model.predict_proba(queried)[:, 1])
