"""`Reduction`: a query's vector in a few dimensions, the same ones in every process.

The directions are those in which the taxonomy's seeds differ most (principal components), so nothing has to be fitted
on traffic, shipped beside the encoder, or agreed on among workers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.encoders.base import Encoder

__all__ = ["DIMENSIONS", "Reduction"]

Array = NDArray[np.float64]

DIMENSIONS = 16


class Reduction:
    """Features of a query: 1, and ``DIMENSIONS`` whitened coordinates whose squares sum to about 1.

    Parameters
    ----------
    centre : (dim,)
        Mean of the seeds' vectors.
    basis : (dim, k)
        Directions, each divided by the spread of the seeds along it and by sqrt(k).
    """

    def __init__(self, centre: Array, basis: Array) -> None:
        self.centre, self.basis = centre, basis

    @classmethod
    def of(cls, encoder: Encoder) -> Reduction:
        """That of an encoder; for the shipped one nothing is computed but the components."""
        from emafusion.taxonomy.labels import Taxonomy
        from emafusion.taxonomy.seed_fit import seed_fit

        seeds = seed_fit(Taxonomy.default(), encoder).familiarity.to_arrays()
        return cls.fit(seeds["centre"], seeds["known"])

    @classmethod
    def fit(cls, centre: NDArray[Any], directions: NDArray[Any], k: int = DIMENSIONS) -> Reduction:
        """From a centre (dim,) and unit directions (n, dim) from it."""
        rows = directions.astype(np.float64)
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
        k = min(k, len(values))
        values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
        # The sign of an eigenvector is arbitrary: fix it, for another machine may choose the other.
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(k)])
        return cls(np.asarray(centre, dtype=np.float64), vectors / np.sqrt(np.maximum(values, 1e-9) * k))

    @property
    def width(self) -> int:
        """Length of the features."""
        return 1 + int(self.basis.shape[1])

    def features(self, embedding: Any) -> Array:
        """Features (width,) of a query's vector (dim,); those of no vector are 1 and zeros."""
        out = np.zeros(self.width)
        out[0] = 1.0
        if embedding is None:
            return out
        vector = np.asarray(embedding, dtype=np.float64)
        if vector.shape != self.centre.shape or not vector.any():
            return out
        direction = vector - self.centre
        out[1:] = (direction @ self.basis) / max(float(np.sqrt(direction @ direction)), 1e-12)
        return out
