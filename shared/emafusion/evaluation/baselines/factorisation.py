"""Matrix factorisation (RouteLLM, arXiv 2406.18665): a bilinear score of candidate and query.

P(candidate m answers query x well) = sigmoid(v_m . (W x) + b_m), with W and v learned together from outcomes. RouteLLM
learns from preferences between two models; a log that scores every answer lets the same model be fitted to outcomes.
"""

from __future__ import annotations

import numpy as np

from emafusion.evaluation.baselines.answer_scores import principal_directions
from emafusion.evaluation.baselines.fold import Fold, Part, direct
from emafusion.evaluation.baselines.neighbours import training_area
from emafusion.evaluation.baselines.ridge import expected_costs
from emafusion.evaluation.points import Array, Points

__all__ = ["matrix_factorisation"]

SETTINGS = [(rank, penalty) for rank in (2, 8) for penalty in (30.0, 100.0, 300.0)]
"""Length of a candidate's vector, and L2 penalty on both factors."""
DIRECTIONS = 96
"""Principal components of the embedding that W projects."""
HELD_OUT = 0.2
ROUNDS = 150


def matrix_factorisation(fold: Fold) -> Points:
    """Direct routing on a factorised probability of a good answer, and ridge costs.

    Rank and penalty are chosen on a fifth of the training part that was not fitted on, by the area under the frontier
    over log cost.
    """
    train, test = fold.train, fold.test
    order = np.random.default_rng(fold.seed).permutation(len(train))
    held_out, seen = np.split(order, [max(1, int(HELD_OUT * len(train)))])
    inner, judged = train.take(np.sort(seen)), train.take(np.sort(held_out))
    cost = expected_costs(inner, judged.vectors)
    areas = [
        training_area(judged, fold.values, _factorised(inner, judged.vectors, *setting, fold.seed), cost)
        for setting in SETTINGS
    ]
    quality = _factorised(train, test.vectors, *SETTINGS[int(np.argmax(areas))], fold.seed)
    return direct(test, fold.values, quality, expected_costs(train, test.vectors))


def _factorised(train: Part, queried: Array, rank: int, penalty: float, seed: int) -> Array:
    """(q, m) probabilities: cross-entropy on scores in [0, 1] where they are known, by L-BFGS."""
    from scipy.optimize import minimize

    directions = principal_directions(train.vectors, DIRECTIONS)
    middle = train.vectors.mean(0)
    design = (train.vectors - middle) @ directions
    scale = max(float(design.std()), 1e-9)
    design = design / scale
    known, score = train.available, np.nan_to_num(train.score)
    d, m = design.shape[1], score.shape[1]
    mean = np.clip(train.means()[0], 0.01, 0.99)
    rng = np.random.default_rng(seed)
    start = np.concatenate([rng.normal(0.0, 0.1, d * rank + m * rank), np.log(mean / (1.0 - mean))])

    def split(theta: Array) -> tuple[Array, Array, Array]:
        project, vectors = theta[: d * rank], theta[d * rank : (d + m) * rank]
        return project.reshape(d, rank), vectors.reshape(m, rank), theta[(d + m) * rank :]

    def loss(theta: Array) -> tuple[float, Array]:
        project, vectors, bias = split(theta)
        hidden = design @ project
        logit = hidden @ vectors.T + bias
        value = np.where(known, np.logaddexp(0.0, logit) - score * logit, 0.0).sum()
        error = np.where(known, 1.0 / (1.0 + np.exp(-logit)) - score, 0.0)
        gradient = [design.T @ (error @ vectors) + penalty * project, error.T @ hidden + penalty * vectors]
        value += 0.5 * penalty * ((project**2).sum() + (vectors**2).sum())
        return float(value), np.concatenate([*(g.ravel() for g in gradient), error.sum(0)])

    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ROUNDS})
    project, vectors, bias = split(found.x)
    logit = ((queried - middle) @ directions / scale) @ project @ vectors.T + bias
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0))))
