"""A score for an answer that has been seen: how probable it is to be good (FrugalGPT, arXiv 2305.05176).

One logistic regression a candidate on what its answer and the query show: findings of the rules, form and length of
the answer, length and meaning of the query. Every cascade that needs a score of an answer takes this one.
"""

from __future__ import annotations

import numpy as np

from emafusion.evaluation.baselines.fold import Part
from emafusion.evaluation.points import Array

__all__ = ["answer_scores", "principal_directions"]

MEANINGS = 16
"""Principal components of the query's embedding that the scorer reads."""
FOLDS = 4


def answer_scores(train: Part, test: Part, seed: int) -> tuple[Array, Array]:
    """Probability that each candidate's answer is good: out of fold on the training part (n, m), and on the test part.

    One half for a candidate without a scored answer in the training part.
    """
    directions = principal_directions(train.vectors, MEANINGS)
    held_out, on_test = np.full(train.score.shape, 0.5), np.full(test.score.shape, 0.5)
    for j in np.nonzero(train.available.any(0))[0]:
        held_out[:, j], on_test[:, j] = _scored(train, test, int(j), directions, seed)
    return held_out, on_test


def principal_directions(vectors: Array, count: int) -> Array:
    """(d, count) leading directions of the training queries; fewer where they have fewer dimensions."""
    centred = vectors - vectors.mean(0)
    _, _, directions = np.linalg.svd(centred.T @ centred)
    return np.asarray(directions[:count].T)


def _scored(train: Part, test: Part, candidate: int, directions: Array, seed: int) -> tuple[Array, Array]:
    known = train.available[:, candidate]
    design, target = _design(train, candidate, directions), np.where(known, train.score[:, candidate], 0.0)
    fold = np.random.default_rng(seed).permutation(len(train)) % FOLDS
    held_out = np.zeros(len(train))
    for f in range(FOLDS):
        held_out[fold == f] = _logistic(design[known & (fold != f)], target[known & (fold != f)], design[fold == f])
    return held_out, _logistic(design[known], target[known], _design(test, candidate, directions))


def _design(part: Part, candidate: int, directions: Array) -> Array:
    length = np.log1p(part.table.out_tok[:, candidate])
    typical = np.nanmean(length) if np.isfinite(length).any() else 0.0
    length = np.where(np.isfinite(length), length, typical)
    prompt = np.log1p(part.table.prompt_tokens)
    return np.column_stack(
        [
            part.answers.rules[:, candidate],
            part.answers.usable[:, candidate],
            length,
            length**2,
            prompt,
            part.vectors @ directions,
        ]
    )


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
