"""Shared difficulty: how candidates succeed and fail together.

Candidates are not independent: what defeats one tends to defeat the next (adverse selection), which is why naive
cascades disappoint. Given a query, one latent difficulty ``theta ~ N(0, 1)`` is shared by the pool:

    P(candidate j is right | x, theta) = sigmoid(slope_j * logit p_j(x) + intercept_j + loading_j * theta)

a one-factor item-response model (a copula with logistic links), with the router's forecast ``p_j(x)`` as its offset.
It is fitted by EM on outcomes alone, and integrated over a Gauss-Hermite grid, so serving needs a few array products.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray

__all__ = ["SharedDifficulty", "logit", "sigmoid"]

Array = NDArray[np.float64]

PROBIT_SCALE = 0.346
"""(16 sqrt(3) / (15 pi))^2: variance that a unit normal adds on the logistic scale, relative to its own."""


def sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.minimum(np.maximum(x, -30.0), 30.0))))


def logit(p: Array, eps: float = 1e-3) -> Array:
    p = np.minimum(np.maximum(p, eps), 1.0 - eps)  # for a few numbers several times as fast as clip
    return np.asarray(np.log(p) - np.log1p(-p))


@lru_cache(maxsize=8)
def _grid(nodes: int) -> tuple[Array, Array]:
    x, w = hermegauss(nodes)
    return x, w / w.sum()


class SharedDifficulty:
    """One-factor item-response model over a pool.

    Parameters
    ----------
    nodes
        Points of the quadrature over theta.
    loading
        Loading while there are no outcomes: how strongly candidates share their failures. 2.0 is a judgement, in the
        range that pools of current models show when fitted.
    iterations
        Of the EM algorithm.
    ridge
        Pull of each candidate's parameters towards the prior, in pseudo-observations.
    """

    def __init__(self, *, nodes: int = 9, loading: float = 2.0, iterations: int = 15, ridge: float = 4.0) -> None:
        self.nodes = nodes
        self.loading = loading
        self.iterations = iterations
        self.ridge = ridge

    def grid(self) -> tuple[Array, Array]:
        """Nodes of theta and their weights, each of shape (H,)."""
        return _grid(self.nodes)

    def start(self, m: int) -> SharedDifficulty:
        """The prior for ``m`` candidates: marginals equal to the forecast, failures shared."""
        prior = np.array([np.sqrt(1.0 + PROBIT_SCALE * self.loading**2), 0.0, self.loading])
        self.weights_ = np.tile(prior, (m, 1))
        return self

    def fit(self, p: Array, scores: Array, max_rows: int = 8000, seed: int = 0) -> SharedDifficulty:
        """Fit on out-of-fold forecasts ``p`` (n, m) and ``scores`` (n, m) in [0, 1], NaN where unknown."""
        n, m = scores.shape
        self.start(m)
        prior = self.weights_[0].copy()
        if n > max_rows:  # three parameters a candidate need no more
            rows = np.random.default_rng(seed).choice(n, max_rows, replace=False)
            p, scores = p[rows], scores[rows]
        theta, w = self.grid()
        offset, known, y = logit(p, 0.01), ~np.isnan(scores), np.nan_to_num(scores)
        for _ in range(self.iterations):
            joint = np.broadcast_to(np.log(w), (len(y), len(w))).copy()
            for j in range(m):
                eta = self._eta(offset[:, j], j, theta)
                fit = y[:, j, None] * -np.logaddexp(0, -eta) + (1 - y[:, j, None]) * -np.logaddexp(0, eta)
                joint += np.where(known[:, j, None], fit, 0.0)
            joint -= joint.max(1, keepdims=True)
            resp = np.exp(joint)
            resp /= resp.sum(1, keepdims=True)
            for j in range(m):
                rows = known[:, j]
                if rows.any():
                    self._newton(j, offset[rows, j], y[rows, j], resp[rows], theta, prior)
        return self

    def _eta(self, offset: Array, j: int, theta: Array) -> Array:
        slope, intercept, loading = self.weights_[j]
        return np.asarray(offset[:, None] * slope + intercept + loading * theta[None, :])

    def _newton(self, j: int, offset: Array, y: Array, resp: Array, theta: Array, prior: Array) -> None:
        """Two damped Newton steps of the expected penalised log-likelihood of candidate ``j``."""
        for _ in range(2):
            mu = sigmoid(self._eta(offset, j, theta))
            g, h = (y[:, None] - mu) * resp, mu * (1 - mu) * resp
            gs, hs = g.sum(1), h.sum(1)
            ht = h @ theta
            grad = np.array([offset @ gs, gs.sum(), g.sum(0) @ theta]) - self.ridge * (self.weights_[j] - prior)
            hess = np.array(
                [
                    [offset**2 @ hs, offset @ hs, offset @ ht],
                    [offset @ hs, hs.sum(), ht.sum()],
                    [offset @ ht, ht.sum(), h.sum(0) @ theta**2],
                ]
            )
            step = np.linalg.solve(hess + self.ridge * np.eye(3), grad)
            self.weights_[j] += np.clip(step, -1.0, 1.0)

    def right(self, p: Array) -> Array:
        """P(right | x, theta) of shape (n, m, H) for forecasts ``p`` (n, m)."""
        theta, _ = self.grid()
        a = self.weights_
        return sigmoid(logit(p, 0.005)[:, :, None] * a[:, 0, None] + a[:, 1, None] + a[:, 2, None] * theta)

    def to_config(self) -> dict[str, Any]:
        return {"nodes": self.nodes, "loading": self.loading, "weights": self.weights_.tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SharedDifficulty:
        self = cls(nodes=config["nodes"], loading=config["loading"])
        self.weights_ = np.asarray(config["weights"], dtype=np.float64)
        return self
