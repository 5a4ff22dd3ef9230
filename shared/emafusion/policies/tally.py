"""How many answers each group has in every state of a lattice, and what follows from these numbers alone.

Requests with as many answers, grouped in the same sizes, share a :class:`Tally`: it is counted once and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, log_gamma, log_rising, novelty
from emafusion.estimators.confidence import ConfidenceCalibration
from emafusion.policies.lattice import Lattice, lattice

__all__ = ["Tally", "tally"]

KEPT = 32
"""Weights of counts that a tally keeps, of all calibrations together."""


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
    sizes : int (C, S)
    ran : int (S,)
        Candidates that have run.
    own : int (k, S)
        Members of each tried candidate's group, 0 where it was not tried.
    """

    def __init__(self, shape: Lattice, sizes: tuple[int, ...], total: int, groups: int) -> None:
        self.shape = shape
        joined = shape.joined.sum(2).astype(np.int64)
        self.sizes: NDArray[np.int64] = joined + np.array([*sizes, *[0] * shape.depth], dtype=np.int64)[:, None]
        self.ran = total + shape.level
        self.own = np.einsum("cs,csk->ks", self.sizes, shape.joined)
        # Group by group, what the wrong answers amount to if that one is right; group 0: none is.
        each = np.concatenate([np.zeros((1, shape.size), dtype=np.int64), self.sizes])
        started = (joined > 0)[shape.clusters :].sum(0)
        gammas = log_gamma(each)
        self._wrong = self.ran - each
        self._spread = np.maximum(groups + started - (each > 0) - 1, 0).astype(np.float64)
        self._gammas = gammas.sum(0) - gammas
        self._gammas[1:][self.sizes == 0] = -np.inf
        self._weights: dict[tuple[Any, ...], Any] = {}

    def grouping(self, eps: Array) -> Array:
        """Log-probability of how the wrong answers group, for each right group (0: none): (n, 1 + C, S).

        Groups that are no longer told apart are part of the totals, and a constant otherwise.
        """
        alpha = novelty(eps)
        out = self._spread * np.log(alpha)[:, None, None]
        out += self._gammas
        out -= log_rising(alpha, int(self.ran[-1])).take(self._wrong, axis=1)
        return np.asarray(out)

    def weights(self, calibration: ConfidenceCalibration) -> tuple[Array, Array, Array]:
        """Weight of the belief, weight of the forecast and what is added (:meth:`ConfidenceCalibration.of_counts`), of
        every candidate in every state, according to whether it was tried there: (k, S) each."""
        found: tuple[Array, Array, Array]
        found = self._kept(("all", *calibration.slopes_.ravel().tolist()), lambda: self._weights_of_all(calibration))
        return found

    def _weights_of_all(self, calibration: ConfidenceCalibration) -> tuple[Array, Array, Array]:
        before, after = (calibration.of_counts(self.own, self.ran, ran=ran) for ran in (False, True))
        pairs = zip((before[0], calibration.slopes_[0, 1], before[1]), (after[0], calibration.slopes_[1, 1], after[1]))
        return tuple(np.where(self.shape.member, tried, fresh) for fresh, tried in pairs)

    def weights_at_hand(self, calibration: ConfidenceCalibration, group: int, *, ran: bool) -> tuple[Array, Array]:
        """:meth:`ConfidenceCalibration.of_counts` of an answer at hand that belongs to an existing group, -1: to none;
        in every state, (S,) each."""
        own = np.ones_like(self.ran) if group < 0 else self.sizes[group]
        key = group, ran, *calibration.slopes_[int(ran)].tolist()
        found: tuple[Array, Array] = self._kept(key, lambda: calibration.of_counts(own, self.ran, ran=ran))
        return found

    def _kept(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        found = self._weights.get(key)
        if found is None:
            found = make()
            kept = self._weights if len(self._weights) < KEPT else {}
            self._weights = {**kept, key: found}  # not changed in place: threads share it
        return found


@lru_cache(maxsize=512)
def tally(k: int, clusters: int, depth: int, sizes: tuple[int, ...], total: int, groups: int) -> Tally:
    """The shared instance for these counts."""
    return Tally(lattice(k, clusters, depth), sizes, total, groups)
