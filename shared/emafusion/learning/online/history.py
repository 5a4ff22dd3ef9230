"""`History`: the learned sums of every candidate by epoch, and what they come to now."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.online.observation import EPOCH, GAMMA
from emafusion.learning.online.sums import PAIRS, Sums, row_length

__all__ = ["History"]

Array = NDArray[np.float64]

MOST_EPOCHS = 400
"""Epochs that a candidate keeps; with the usual memory an older one counts for nothing."""
LEANING_MEMORY = 0.1
"""Judges change more slowly than candidates, and audits are few: they are forgotten at a tenth of the pace. So is
that a candidate was explored, or those that deserve no more use would be explored over and over."""
DISCOUNT = 0.02
"""What is left of the weight of answers that came before a change of their candidate."""


class _Rows:
    """One candidate's rows, in the order in which their epochs were met."""

    def __init__(self, length: int) -> None:
        self.epochs = np.zeros(8)
        self.table = np.zeros((8, length))
        self.place: dict[int, int] = {}
        self.changed_at = -np.inf
        """First epoch that counts in full."""

    def row(self, epoch: int) -> Array:
        at = self.place.get(epoch)
        if at is None:
            at = self._free(epoch)
            self.place[epoch] = at
            self.epochs[at] = epoch
        return np.asarray(self.table[at])

    def _free(self, epoch: int) -> int:
        if len(self.place) >= MOST_EPOCHS:
            at = self.place.pop(min(self.place))
            self.table[at] = 0.0
            return at
        if len(self.place) == len(self.epochs):
            self.epochs = np.concatenate([self.epochs, np.zeros_like(self.epochs)])
            self.table = np.concatenate([self.table, np.zeros_like(self.table)])
        return len(self.place)


class History:
    """Rows by candidate and epoch, forgetting included.

    Parameters
    ----------
    width
        Length p of a design (:meth:`~emafusion.learning.online.observation.Observation.design`).
    memory
        What an answer's weight shrinks by with each later decision.
    """

    def __init__(self, width: int, memory: float) -> None:
        self.width, self.memory = width, memory
        self._candidates: dict[str, _Rows] = {}

    def add(self, key: tuple[str, int], row: Array) -> None:
        """Add a contribution, or a row of them, to its sum.

        Raises
        ------
        ValueError
            If it has another length than those of this history.
        """
        candidate, epoch = key
        if row.shape != (row_length(self.width),):
            raise ValueError(
                f"the sums of {candidate!r} in epoch {epoch} have shape {row.shape}, expected "
                f"({row_length(self.width)},): they were learned with another encoder or version"
            )
        rows = self._candidates.setdefault(candidate, _Rows(row_length(self.width)))
        rows.row(epoch)[:] += row

    def rows(self) -> dict[tuple[str, int], Array]:
        """A copy of all rows."""
        return {
            (candidate, epoch): rows.table[at].copy()
            for candidate, rows in self._candidates.items()
            for epoch, at in rows.place.items()
        }

    def replace(self, rows: Mapping[tuple[str, int], Array]) -> None:
        """Hold these rows instead; what was said of candidates' changes stays."""
        changes = self.changes()
        self._candidates = {}
        for key, row in rows.items():
            self.add(key, np.asarray(row, dtype=np.float64))
        for candidate, epoch in changes.items():
            self.change(candidate, epoch)

    def carried(self, row: Array, epochs: int) -> Array:
        """A row as it is to be added to those of an epoch so much later, so that :meth:`now` comes out the same."""
        out = row * self.memory ** (epochs * EPOCH)
        out[-PAIRS:] = row[-PAIRS:] * (self.memory**LEANING_MEMORY) ** (epochs * EPOCH)
        return out

    def change(self, candidate: str, epoch: int) -> None:
        """From this epoch on the candidate is another one: what was learned before counts little."""
        rows = self._candidates.setdefault(candidate, _Rows(row_length(self.width)))
        rows.changed_at = max(rows.changed_at, float(epoch))

    def changes(self) -> dict[str, int]:
        """Candidate -> first epoch that counts in full, of those that changed."""
        return {c: int(r.changed_at) for c, r in self._candidates.items() if r.changed_at > -np.inf}

    def drop(self, candidate: str) -> None:
        """Forget all of a candidate."""
        self._candidates.pop(candidate, None)

    def candidates(self) -> tuple[str, ...]:
        return tuple(self._candidates)

    def now(self, candidates: tuple[str, ...], tick: float) -> Sums:
        """What the sums of these candidates come to at ``tick``, in this order."""
        out = np.zeros((len(candidates), row_length(self.width)))
        for i, candidate in enumerate(candidates):
            rows = self._candidates.get(candidate)
            if rows is not None and rows.place:
                out[i] = self._come_to(rows, tick)
        return Sums.unpack(out, self.width)

    def _come_to(self, rows: _Rows, tick: float) -> Array:
        count = len(rows.place)
        epochs, table = rows.epochs[:count], rows.table[:count]
        age = np.maximum(tick - epochs * EPOCH, 0.0)
        # Within an epoch answers were weighed by GAMMA; another memory applies from the epoch's middle on.
        within = np.minimum(age, EPOCH / 2)
        weight = self.memory ** (age - within) * GAMMA**within
        since = np.where(epochs < rows.changed_at, DISCOUNT, 1.0)
        weight *= since
        slow = (self.memory**LEANING_MEMORY) ** age
        total = weight @ table
        total[-PAIRS:] = slow @ table[:, -PAIRS:]
        heard = -PAIRS - 1
        total[heard] = (slow * since) @ table[:, heard]
        return np.asarray(total)
