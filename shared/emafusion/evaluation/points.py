"""Operating points: what one method does with the same queries at each of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.simulation import Run

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

    @staticmethod
    def of(runs: Sequence[Run]) -> Points:
        """Simulations of the policy, one a point."""
        return Points(
            score=np.stack([run.score for run in runs]),
            cost=np.stack([run.cost for run in runs]),
            answered=np.stack([run.answered for run in runs]),
            confidence=np.stack([run.confidence for run in runs]),
            calls=np.stack([run.ran.sum(1).astype(np.float64) for run in runs]),
        )

    @staticmethod
    def join(parts: Sequence[Points], rows: Sequence[IntArray], n: int) -> Points:
        """Put folds together: ``parts[i]`` holds the queries ``rows[i]`` of ``n``."""
        order = np.full(n, -1)
        order[np.concatenate(rows)] = np.arange(n)

        def whole(arrays: Sequence[Array | None]) -> Array | None:
            given = [array for array in arrays if array is not None]
            return np.concatenate(given, axis=1)[:, order] if len(given) == len(parts) else None

        return Points(
            score=np.concatenate([part.score for part in parts], axis=1)[:, order],
            cost=np.concatenate([part.cost for part in parts], axis=1)[:, order],
            answered=np.concatenate([part.answered for part in parts], axis=1)[:, order],
            confidence=whole([part.confidence for part in parts]),
            calls=whole([part.calls for part in parts]),
        )

    @staticmethod
    def mean(runs: Sequence[Points]) -> Points:
        """Average score and cost of each query over several runs; who answered is that of the first."""
        if len(runs) == 1:
            return runs[0]
        score, cost = (np.mean([getattr(run, name) for run in runs], axis=0) for name in ("score", "cost"))
        return replace(runs[0], score=score, cost=cost)
