"""How many answers each group has in every state of a lattice, and what follows from these numbers alone.

Requests with as many answers, grouped in the same sizes, share a :class:`Tally`: it is counted once and kept.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, log_gamma, log_rising, novelty
from emafusion.estimators.confidence import ConfidenceCalibration
from emafusion.policies.lattice import Lattice, lattice

__all__ = ["Tally", "tally"]

KEPT = 8
"""Calibrations whose weights a tally keeps."""


class Tally:
    """Counts of answers over a lattice.

    Parameters
    ----------
    shape : Lattice
    sizes : tuple of int
        Answers of each existing group that is told apart, ``shape.clusters`` of them.
    total, groups : int
        Answers at hand, and groups that they form (one that agrees with none is a group of its own); groups that are
        no longer told apart count here.

    Attributes
    ----------
    sizes : int (S, C)
    ran : int (S,)
        Candidates that have run.
    own : int (S, k)
        Members of each tried candidate's group, 0 where it was not tried.
    """

    def __init__(self, shape: Lattice, sizes: tuple[int, ...], total: int, groups: int) -> None:
        self.shape = shape
        joined = shape.joined.sum(2).T.astype(np.int64)
        self.sizes: NDArray[np.int64] = joined + np.array([*sizes, *[0] * shape.depth], dtype=np.int64)
        self.ran = total + shape.level
        self.own = np.einsum("sc,csk->sk", self.sizes, shape.joined)
        # Group by group, what the wrong answers amount to if that one is right; column 0: none is.
        each = np.concatenate([np.zeros((shape.size, 1), dtype=np.int64), self.sizes], axis=1)
        started = (joined > 0)[:, shape.clusters :].sum(1, keepdims=True)
        gammas = log_gamma(each)
        self._wrong = self.ran[:, None] - each
        self._spread = np.maximum(groups + started - (each > 0) - 1, 0).astype(np.float64)
        self._gammas = gammas.sum(1, keepdims=True) - gammas
        self._gammas[:, 1:][self.sizes == 0] = -np.inf
        self._weights: dict[tuple[bool, tuple[float, ...]], tuple[Array, Array]] = {}

    def grouping(self, eps: Array) -> Array:
        """Log-probability of how the wrong answers group, for each right group (column 0: none): (n, S, 1 + C).

        Groups that are no longer told apart are part of the totals, and a constant otherwise.
        """
        alpha = novelty(eps)
        rising = log_rising(alpha, int(self.ran[-1])).take(self._wrong, axis=1)
        return np.asarray(self._spread * np.log(alpha)[:, None, None] + self._gammas - rising)

    def weights(self, calibration: ConfidenceCalibration, *, ran: bool) -> tuple[Array, Array]:
        """:meth:`ConfidenceCalibration.of_counts` of all states and candidates."""
        key = ran, tuple(calibration.slopes_[int(ran)].tolist())
        found = self._weights.get(key)
        if found is None:
            found = calibration.of_counts(self.own, self.ran[:, None], ran=ran)
            kept = self._weights if len(self._weights) < KEPT else {}
            self._weights = {**kept, key: found}  # not changed in place: threads share it
        return found


@lru_cache(maxsize=512)
def tally(k: int, clusters: int, depth: int, sizes: tuple[int, ...], total: int, groups: int) -> Tally:
    """The shared instance for these counts."""
    return Tally(lattice(k, clusters, depth), sizes, total, groups)
