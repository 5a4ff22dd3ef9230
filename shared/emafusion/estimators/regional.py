"""How far to trust a forecast's distinctions, region by region of the log.

Each candidate's forecast may be calibrated on its own, and yet the best of twelve is not: whoever picks the highest of
many noisy numbers picks noise (the winner's curse). Where a log shows that the forecaster cannot tell candidates or
queries apart better than a table of the region's means, its distinctions are shrunk to that table; where it can, they
stand. That is also where each simple learner of the literature wins once: the table here, the regression there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.clusters import Clusters
from emafusion.estimators.scales import logit
from emafusion.estimators.shared_difficulty import sigmoid

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["RegionalShrinkage"]

Array = NDArray[np.float64]

IDENTITY = np.array([0.0, 1.0, 1.0, 1.0])
"""Weights that leave a forecast as it is: intercept, the query's ease, the candidate's standing in the region, and what
sets this candidate apart on this very query."""
STEPS = 25
MOST = float(logit(np.array(1.0)))
"""Log-odds of the surest forecast."""


class RegionalShrinkage:
    """Logistic regression of the score on three parts of the forecast's log-odds, in each region of the embeddings.

    The parts are the mean over the pool (how easy is the query), the region's mean deviation of the candidate (who is
    strong here) and the remainder (what the forecaster claims to know of this candidate on this query).

    Parameters
    ----------
    regions, rows_each
        Regions at most, and queries for each.
    ridge
        Pull of a region's weights towards those of the whole log, and of those towards leaving the forecast alone, in
        pseudo-observations.
    rows
        Queries that the log's mean deviation counts for in a region's.
    """

    def __init__(
        self, *, regions: int = 16, rows_each: int = 150, ridge: float = 30.0, rows: float = 30.0, seed: int = 0
    ) -> None:
        self.regions, self.rows_each, self.ridge, self.rows, self.seed = regions, rows_each, ridge, rows, seed

    def fit(self, p: Array, scores: Array, embeddings: NDArray[Any]) -> Self:
        """Fit on out-of-fold forecasts ``p`` (n, m), ``scores`` (n, m) in [0, 1] with NaN where unknown, and
        embeddings (n, d)."""
        self.clusters_ = Clusters(most=self.regions, rows_each=self.rows_each, seed=self.seed).fit(embeddings)
        return self._fit(p, scores, self.clusters_.of(embeddings))

    def cross_predict(self, p: Array, scores: Array, embeddings: NDArray[Any], fold: NDArray[np.int64]) -> Array:
        """Shrunk forecasts (n, m) of the training rows, each from weights that its fold took no part in."""
        out, of = np.empty_like(p), self.clusters_.of(embeddings)
        for f in np.unique(fold):
            mine = fold == f
            part = type(self)(ridge=self.ridge, rows=self.rows)
            part.clusters_ = self.clusters_
            part._fit(p[~mine], scores[~mine], of[~mine])
            out[mine] = part._shrunk(p[mine], of[mine])
        return out

    def predict(self, p: Array, embeddings: NDArray[Any], familiarity: Array) -> Array:
        """Shrunk forecasts (n, m) of forecasts ``p`` (n, m): the less familiar (n,) a query is, the less its nearest
        region has to say."""
        odds, of = logit(p), self.clusters_.of(embeddings)
        constant, of_ease, of_standing, of_rest = self.weights_[of].T[:, :, None]
        ease, standing = odds.mean(1, keepdims=True), self.standing_[of]
        shrunk = constant + of_ease * ease + of_standing * standing + of_rest * (odds - ease - standing)
        shift = np.minimum(np.maximum(shrunk, -MOST), MOST) - odds
        return np.asarray(sigmoid(odds + familiarity[:, None] * shift))

    def _fit(self, p: Array, scores: Array, of: NDArray[np.int64]) -> Self:
        known = ~np.isnan(scores)
        _, apart = _parts(p)
        overall = apart.mean(0)
        k = len(self.clusters_)
        total = np.zeros((k, p.shape[1]))
        np.add.at(total, of, apart)
        count = np.bincount(of, minlength=k)[:, None]
        self.standing_ = (total + self.rows * overall) / (count + self.rows)
        design = self._design(p, of)
        everywhere = self._newton(design[known], scores[known], IDENTITY)
        self.weights_ = np.tile(everywhere, (k, 1))
        for region in np.unique(of):
            here = known & (of == region)[:, None]
            self.weights_[region] = self._newton(design[here], scores[here], everywhere)
        return self

    def _design(self, p: Array, of: NDArray[np.int64]) -> Array:
        ease, apart = _parts(p)
        standing = self.standing_[of]
        return np.stack([np.ones_like(apart), np.broadcast_to(ease, apart.shape), standing, apart - standing], axis=2)

    def _shrunk(self, p: Array, of: NDArray[np.int64]) -> Array:
        return sigmoid(np.asarray((self._design(p, of) * self.weights_[of][:, None, :]).sum(2)))

    def _newton(self, design: Array, scores: Array, prior: Array) -> Array:
        """Weights of the penalised logistic regression on rows (r, 4), pulled towards ``prior``."""
        weights = prior.copy()
        for _ in range(STEPS):
            mean = sigmoid(design @ weights)
            gradient = design.T @ (scores - mean) - self.ridge * (weights - prior)
            curvature = (design * (mean * (1.0 - mean))[:, None]).T @ design + self.ridge * np.eye(len(prior))
            step = np.clip(np.linalg.solve(curvature, gradient), -1.0, 1.0)
            weights += step
            if np.abs(step).max() < 1e-8:
                break
        return np.asarray(weights)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"centres": self.clusters_.centres_, "standing": self.standing_, "weights": self.weights_}

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        self = cls(**config)
        self.clusters_ = Clusters.from_centres(arrays["centres"])
        self.standing_, self.weights_ = arrays["standing"], arrays["weights"]
        return self


def _parts(p: Array) -> tuple[Array, Array]:
    """The mean log-odds over the pool (n, 1), and each candidate's deviation from it (n, m)."""
    odds = logit(p)
    ease = odds.mean(1, keepdims=True)
    return ease, odds - ease
