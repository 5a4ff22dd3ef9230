"""What the lookahead is asked: requests at one moment, what is known of them, what may still be done, and its worth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, Evidence, IntArray

__all__ = ["Problem"]


@dataclass(frozen=True)
class Problem:
    """n requests at one moment of their lives.

    Attributes
    ----------
    evidence : Evidence
    forecast : (n, m)
        Prior probability of a good answer.
    cost : (n, m)
        Expected USD of a call.
    open : bool (n, m)
        Candidates that may still be tried.
    usable : bool (n, m)
        Answers that may be accepted (ran, and are not unusable).
    value : (n,)
        USD that a good answer is worth.
    silent : bool (n,), optional
        Requests whose answers cannot be looked at: nothing is learned from a call.
    """

    evidence: Evidence
    forecast: Array
    cost: Array
    open: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    value: Array
    silent: NDArray[np.bool_] | None = None

    def take(self, rows: IntArray) -> Problem:
        return replace(
            self,
            evidence=self.evidence.take(rows),
            silent=None if self.silent is None else self.silent[rows],
            **{name: getattr(self, name)[rows] for name in ("forecast", "cost", "open", "usable", "value")},
        )
