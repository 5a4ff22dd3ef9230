"""The layout of a row of learned sums: what the observations of one candidate in one epoch add up to.

A row is a flat vector, so that a store adds rows without knowing what is in them. With p = len(features) + 1:

==========  =============  ======================================================================================
part        length         content (w: weight of the evidence times that of forgetting)
==========  =============  ======================================================================================
gram        p (p + 1) / 2  sum of w x x', upper triangle
moment      p              sum of w x (quality - forecast)
judged      p              the part of sum w x that rests on judges alone
leaning     1              the part of the first moment that rests on judges alone
heard       1              sum of the weights of the evidence, each 0.1 at least; nothing is forgotten
pairs       5              answers with both judge and truth: sum of v, of v / propensity, of v d, of v d^2, of
                           1 / propensity; v: weight of the evidence over propensity, d: quality as judged less truth;
                           nothing is forgotten
==========  =============  ======================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["PAIRS", "Sums", "row_length"]

Array = NDArray[np.float64]

PAIRS = 5
"""Sums on the answers of which both a judge and the truth spoke: the last part of a row."""


def row_length(p: int) -> int:
    """Length of a row for a design of width ``p``."""
    return p * (p + 1) // 2 + 2 * p + 2 + PAIRS


@lru_cache(maxsize=8)
def _upper(p: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(p)


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows, unpacked. Leading axes are those of the rows.

    Attributes
    ----------
    gram : (..., p, p)
    moment, judged : (..., p)
    leaning, heard : (...)
    pairs : (..., 5)
    """

    gram: Array
    moment: Array
    judged: Array
    leaning: Array
    heard: Array
    pairs: Array

    def pack(self) -> Array:
        """As flat rows."""
        rows, columns = _upper(self.gram.shape[-1])
        parts = (self.gram[..., rows, columns], self.moment, self.judged)
        scalars = (self.leaning[..., None], self.heard[..., None], self.pairs)
        return np.concatenate([*parts, *scalars], axis=-1)

    @classmethod
    def unpack(cls, rows: Array, p: int) -> Sums:
        """From flat rows of shape (..., :func:`row_length`)."""
        if rows.shape[-1] != row_length(p):
            raise ValueError(f"a row for {p} features has length {row_length(p)}, got {rows.shape[-1]}")
        upper, lower = _upper(p)
        at = len(upper)
        gram = np.zeros((*rows.shape[:-1], p, p))
        gram[..., upper, lower] = rows[..., :at]
        gram[..., lower, upper] = rows[..., :at]
        moment, judged = rows[..., at : at + p], rows[..., at + p : at + 2 * p]
        rest = rows[..., at + 2 * p :]
        return cls(gram, moment, judged, rest[..., 0], rest[..., 1], rest[..., 2:])
