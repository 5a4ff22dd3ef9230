"""The noun here is the `Encoder`: it turns texts into unit vectors and can say exactly which encoder it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Encoder", "unit_rows"]


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors.

    Everything that is fitted on vectors (taxonomy, learned router) records `identity`, and refuses to be used with
    another encoder: vectors of two encoders may not be mixed, not even when their widths agree.
    """

    @property
    def identity(self) -> str:
        """Name, version and content hash, e.g. ``"static-minilm-256@0123456789ab"``."""
        ...

    @property
    def dim(self) -> int:
        """Width of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into shape (n, dim); every row has L2 norm 1, or 0 when the text holds nothing to encode."""
        ...


def unit_rows(vectors: ArrayLike) -> NDArray[np.float32]:
    """Scale each row to L2 norm 1. Rows that are zero or not finite become zero rows, never NaN.

    >>> unit_rows([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    rows = np.array(vectors, dtype=np.float32, ndmin=2)
    rows[~np.isfinite(rows).all(axis=1)] = 0.0
    # Divide by the largest entry first: squaring very small or very large rows would under- or overflow in float32.
    peak = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    np.divide(rows, peak, out=rows, where=peak > 0)
    norm = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    np.divide(rows, norm, out=rows, where=norm > 0)
    return rows
