"""Ridge regressions on the query's embedding, one a candidate, each on the queries whose outcome is known."""

from __future__ import annotations

import numpy as np

from emafusion.evaluation.baselines.fold import Part
from emafusion.evaluation.points import Array

__all__ = ["expected_costs", "ridge"]

PENALTY = 3.0


def ridge(train: Part, outcome: Array, queried: Array, penalty: float = PENALTY) -> Array:
    """Expected outcome (q, m) of each candidate for queried vectors (q, d); its intercept is not penalised.

    Parameters
    ----------
    outcome : (n, m)
        Read where the training part's outcome is available. A candidate that has none there gets zeros.
    """
    known = train.available
    out = np.zeros((len(queried), outcome.shape[1]))
    solved: dict[bytes, Array] = {}
    for j in np.nonzero(known.any(0))[0]:
        own, at = known[:, j], known[:, j].tobytes()
        middle = train.vectors[own].mean(0)
        design = train.vectors[own] - middle
        if at not in solved:  # candidates that answered the same queries share this
            solved[at] = np.linalg.inv(design.T @ design + penalty * np.eye(design.shape[1]))
        mean = outcome[own, j].mean()
        weights = solved[at] @ (design.T @ (outcome[own, j] - mean))
        out[:, j] = mean + (queried - middle) @ weights
    return out


def expected_costs(train: Part, queried: Array) -> Array:
    """(q, m) USD: ridge on the cost, held within what the candidate was seen to cost; infinity for a stranger."""
    known, cost = train.available, train.cost
    low = np.where(known, cost, np.inf).min(0)
    high = np.where(known, cost, 0.0).max(0)
    expected = np.clip(ridge(train, cost, queried), np.where(known.any(0), low, 0.0), high)
    return np.where(known.any(0), expected, np.inf)
