"""How much each member of the ensemble counts for each candidate: a non-negative logistic stack.

Weights are fitted on out-of-fold logits (Wolpert, 1992; Breiman, 1996) and shared: a candidate leaves the pool's
weights only as far as its own labels pull it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.scales import sigmoid

if TYPE_CHECKING:
    from typing_extensions import Self

ROWS: Final = 10_000  # a few dozen weights do not need more
_POOL_PULL: Final = 200.0  # strength, in the units of summed log loss, that ties a candidate to the pool's weights
_START_PULL: Final = 2.0  # ties the pool's weights to plain averaging, for logs of a few dozen rows
_BIAS_PULL: Final = 50.0


class Stack:
    """Weights (k members, m candidates) and a bias for each candidate, on logits.

    Parameters
    ----------
    seed : int
        Seed of the subsample on a large log.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, logits: NDArray[Any], scores: NDArray[Any]) -> Self:
        """Fit on out-of-fold logits (k, n, m) and scores (n, m), NaN where unknown."""
        from scipy.optimize import minimize

        if logits.shape[1] > ROWS:
            rows = np.random.default_rng(self.seed).permutation(logits.shape[1])[:ROWS]
            logits, scores = logits[:, rows], scores[rows]
        k, _, m = logits.shape
        known = ~np.isnan(scores)
        y = np.where(known, scores, 0.0)
        average = np.full(k, 1.0 / k)

        def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            pool, own, bias = flat[:k], flat[k : k + k * m].reshape(k, m), flat[k + k * m :]
            z = np.einsum("knm,km->nm", logits, own) + bias
            gap = np.where(known, sigmoid(z) - y, 0.0)
            total = np.where(known, np.logaddexp(0.0, z) - y * z, 0.0).sum()
            apart, moved = own - pool[:, None], pool - average
            total += _POOL_PULL * (apart**2).sum() + _START_PULL * (moved**2).sum() + _BIAS_PULL * (bias**2).sum()
            slope_own = np.einsum("knm,nm->km", logits, gap) + 2.0 * _POOL_PULL * apart
            slope_pool = -2.0 * _POOL_PULL * apart.sum(axis=1) + 2.0 * _START_PULL * moved
            slope_bias = gap.sum(axis=0) + 2.0 * _BIAS_PULL * bias
            return float(total), np.concatenate([slope_pool, slope_own.ravel(), slope_bias])

        start = np.concatenate([average, np.repeat(average, m), np.zeros(m)])
        bounds = [(0.0, None)] * (k + k * m) + [(None, None)] * m
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300})
        self.weights_ = np.asarray(found.x[k : k + k * m].reshape(k, m))
        self.pool_ = np.asarray(found.x[:k])
        self.bias_ = np.asarray(found.x[k + k * m :])
        return self

    def predict(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Combine logits (k, n, m) into (n, m)."""
        return np.asarray((logits * self.weights_[:, None]).sum(axis=0) + self.bias_)
