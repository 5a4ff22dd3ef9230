"""Regions of a log: k-means on the embeddings of its queries, in which rates and forecasts are counted apart."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Clusters"]


class Clusters:
    """Nearest of k centres.

    Parameters
    ----------
    most
        Clusters at most.
    rows_each
        One cluster for every so many queries.

    Attributes
    ----------
    centres_ : float32 (k, d)
    """

    def __init__(self, *, most: int, rows_each: int, seed: int = 0) -> None:
        self.most, self.rows_each, self.seed = most, rows_each, seed

    def fit(self, embeddings: NDArray[Any]) -> Self:
        """Learn from embeddings (n, d). Needs scikit-learn."""
        from sklearn.cluster import MiniBatchKMeans

        k = int(np.clip(len(embeddings) // self.rows_each, 1, self.most))
        kmeans = MiniBatchKMeans(k, random_state=self.seed, n_init=3).fit(np.asarray(embeddings, dtype=np.float32))
        self.centres_ = np.asarray(kmeans.cluster_centers_, dtype=np.float32)
        return self

    @classmethod
    def from_centres(cls, centres: NDArray[Any]) -> Self:
        """Rebuild from :attr:`centres_`."""
        self = cls(most=len(centres), rows_each=1)
        self.centres_ = centres
        return self

    def __len__(self) -> int:
        return len(self.centres_)

    def of(self, embeddings: NDArray[Any]) -> NDArray[np.int64]:
        """(n,) the cluster of each embedding (n, d)."""
        x = np.asarray(embeddings, dtype=np.float32)
        distance = self._lengths - 2.0 * x @ self.centres_.T
        return np.asarray(distance.argmin(1), dtype=np.int64)

    @cached_property
    def _lengths(self) -> NDArray[np.float32]:
        """(k,) squared lengths of the centres."""
        return np.asarray((self.centres_**2).sum(1))
