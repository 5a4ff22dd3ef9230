"""`Observation`: what one answer of one decision taught, and what it adds to the learned sums."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPOCH", "GAMMA", "Observation"]

EPOCH = 500
"""Decisions in an epoch; sums are kept by epoch, and an old epoch counts less."""
GAMMA = 0.997
"""By what an observation's weight shrinks with every later decision (forward decay: within its epoch it is weighed
against the epoch's beginning, so that a sum never has to be touched again)."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One candidate's answer in one decision, as far as its quality is known by now.

    Attributes
    ----------
    tick
        When the decision was made, in decisions; not when the observation came in.
    features : (d,)
        What was known of the query.
    forecast
        Probability of a good answer before any online correction.
    judge, truth
        What judges, and what a user or a reference said, in [0, 1]; None where nothing was said.
    weight
        How much the judge's word counts.
    propensity
        Probability with which the truth was to be asked for (an audit); 1 where a user gave it.
    """

    decision_id: str
    candidate: str
    tick: float
    features: NDArray[np.float64]
    forecast: float
    judge: float | None = None
    truth: float | None = None
    weight: float = 1.0
    propensity: float = 1.0

    @property
    def key(self) -> tuple[str, int]:
        """The row of the learned sums that it belongs to: candidate and epoch."""
        return self.candidate, int(self.tick // EPOCH)

    def given(self, judge: float | None, truth: float | None) -> Observation:
        """The same with what is said here filled in; None leaves what is known."""
        return replace(
            self,
            judge=self.judge if judge is None else judge,
            truth=self.truth if truth is None else truth,
        )

    def contribution(self) -> NDArray[np.float64]:
        """What it adds to its row: a flat vector, zero while neither judge nor truth has spoken.

        A later word replaces an earlier one by subtracting the earlier contribution and adding the new one.
        """
        raise NotImplementedError
