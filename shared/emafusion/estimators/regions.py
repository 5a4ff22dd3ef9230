"""How answers agree, region by region: fitted rates of agreement among right and among wrong answers.

The queries of a log are grouped by k-means on their embeddings; in each region the two rates of
:mod:`emafusion.estimators.beliefs` are counted over pairs of answers and shrunk to the rates of the whole log.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, IntArray
from emafusion.estimators.clusters import Clusters
from emafusion.estimators.rates import PRIOR_EPS, PRIOR_RHO

__all__ = ["AgreementRegions"]


class AgreementRegions:
    """Rates of agreement by region.

    Parameters
    ----------
    regions
        Number of regions at most; one for every ``per_region`` queries.
    shrinkage
        Pairs of answers that the rate of the whole log counts for in each region.
    """

    def __init__(self, *, regions: int = 32, per_region: int = 60, shrinkage: float = 30.0, seed: int = 0) -> None:
        self.regions, self.per_region, self.shrinkage, self.seed = regions, per_region, shrinkage, seed

    def fit(
        self, embeddings: NDArray[Any], labels: IntArray, scores: Array, known: NDArray[np.bool_]
    ) -> AgreementRegions:
        """Fit on embeddings (n, d), groups of answers (n, m), -1 for none, scores (n, m), NaN where unknown, and
        whether there is an answer to look at (n, m)."""
        self.clusters_ = Clusters(most=self.regions, rows_each=self.per_region, seed=self.seed).fit(embeddings)
        of, k = self.clusters_.of(embeddings), len(self.clusters_)
        # A right answer with none to extract is a stray too, so it counts among the pairs that do not agree.
        right, wrong = known & (scores >= 0.5), known & (scores < 0.5) & (labels >= 0)
        same_right, pairs_right = _pairs(labels, right)
        same_wrong, pairs_wrong = _pairs(labels, wrong)
        rho2 = self._rate(of, same_right, pairs_right, PRIOR_RHO**2, k)
        self.rho_ = np.clip(np.sqrt(rho2), 0.05, 0.995)
        self.eps_ = np.clip(self._rate(of, same_wrong, pairs_wrong, PRIOR_EPS, k), 0.005, 0.995)
        return self

    def _rate(self, of: IntArray, same: Array, pairs: Array, prior: float, k: int) -> Array:
        overall = (same.sum() + prior * self.shrinkage) / (pairs.sum() + self.shrinkage)
        hits, seen = np.bincount(of, same, k), np.bincount(of, pairs, k)
        return np.asarray((hits + overall * self.shrinkage) / (seen + self.shrinkage))

    def predict(self, embeddings: NDArray[Any]) -> tuple[Array, Array]:
        """``(rho, eps)``, each (n,)."""
        of = self.clusters_.of(embeddings)
        return self.rho_[of], self.eps_[of]

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {"centres": self.clusters_.centres_, "rho": self.rho_, "eps": self.eps_}

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> AgreementRegions:
        self = cls(**config)
        self.clusters_ = Clusters.from_centres(arrays["centres"])
        self.rho_, self.eps_ = arrays["rho"], arrays["eps"]
        return self


def _pairs(labels: IntArray, members: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Ordered pairs among ``members`` that agree, and all of them, a row: (n,) each. Weighted down so that a query
    counts by its members, not by their square."""
    n, m = labels.shape
    count = members.sum(1).astype(np.float64)
    same = np.zeros(n)
    for j in range(m):
        equal = (labels == labels[:, j, None]) & (labels >= 0) & members & members[:, j, None]
        same += equal.sum(1) - equal[:, j]
    weight = np.where(count > 1, 1.0 / np.maximum(count - 1.0, 1.0), 0.0)
    return same * weight, count * (count - 1.0) * weight
