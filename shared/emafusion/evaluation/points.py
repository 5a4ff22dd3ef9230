"""Operating points: what one method does with the same queries at each of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Points"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """k operating points of one method over n queries.

    Attributes
    ----------
    score, cost : (k, n)
        Score of the answer, and USD spent on the query, failed attempts included.
    answered : int (k, n)
        Column of the candidate that answered; -1 for an average over several.
    confidence : (k, n), optional
        What the method itself thought of its answer.
    calls : (k, n), optional
        Candidates asked; one where not given.
    """

    score: Array
    cost: Array
    answered: IntArray
    confidence: Array | None = None
    calls: Array | None = None

    def __len__(self) -> int:
        return len(self.score)

    @property
    def quality(self) -> Array:
        """(k,) mean score."""
        return np.asarray(self.score.mean(1))

    @property
    def mean_cost(self) -> Array:
        """(k,) mean USD a query."""
        return np.asarray(self.cost.mean(1))

    def take(self, rows: IntArray) -> Points:
        """The same points over some of the queries."""
        return self._map(lambda array: array[:, rows])

    @staticmethod
    def join(parts: Sequence[Points], rows: Sequence[IntArray], n: int) -> Points:
        """Put folds together: ``parts[i]`` holds the queries ``rows[i]`` of ``n``."""
        first = parts[0]

        def whole(name: str) -> Array | None:
            if getattr(first, name) is None:
                return None
            array = getattr(first, name)
            out = np.zeros((len(first), n), dtype=array.dtype)
            for part, mine in zip(parts, rows):
                out[:, mine] = getattr(part, name)
            return out

        found = {name: whole(name) for name in ("score", "cost", "answered", "confidence", "calls")}
        return Points(**found)  # type: ignore[arg-type]

    @staticmethod
    def mean(runs: Sequence[Points]) -> Points:
        """Average score and cost of each query over several runs; who answered is that of the first."""
        if len(runs) == 1:
            return runs[0]
        score, cost = (np.mean([getattr(run, name) for run in runs], axis=0) for name in ("score", "cost"))
        return replace(runs[0], score=score, cost=cost)

    def _map(self, change) -> Points:  # type: ignore[no-untyped-def]
        names = ("score", "cost", "answered", "confidence", "calls")
        return Points(**{n: None if (a := getattr(self, n)) is None else change(a) for n in names})
