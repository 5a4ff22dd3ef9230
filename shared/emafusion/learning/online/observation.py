"""`Observation`: what one answer of one decision taught, and what it adds to the learned sums."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.online.sums import PAIRS, Sums, row_length

__all__ = ["EPOCH", "GAMMA", "Observation", "sureness"]

EPOCH = 50
"""Decisions in an epoch; sums are kept by epoch, and an old epoch counts less. What came before a change of a
candidate's quality is discounted by whole epochs, so they are short."""
GAMMA = 0.999
"""By what an observation's weight shrinks with every later decision (forward decay: within its epoch it is weighed
against the epoch's beginning, so that a sum never has to be touched again)."""
LEAST_WEIGHT = 0.02
"""Evidence that tells less than this is taken to tell this much, and so moves nothing by more than it deserves."""
LEAST_PROPENSITY = 0.001
LEAST_HEARD = 0.1
"""Part of a full answer that any evidence counts for when it is asked whether enough is known of a candidate."""
LEAST_VARIANCE = 0.03
"""Of the quality of an answer: no forecast is taken to be surer than this."""


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
    judge
        Probability that the answer is good given the evidence on it (judges, agreement), starting from ``forecast``;
        None where there was none.
    truth
        What a user said, in [0, 1], or what an audit amounts to, which may lie somewhat outside; None where nothing
        was said.
    weight
        How much the evidence can tell, in [0, 1]: by how much ``judge`` is expected to differ between a good and a bad
        answer. 1 is as good as the truth.
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
        if self.judge is None and self.truth is None:
            return np.zeros(row_length(len(self.features) + 1))
        x = self.design()
        known = GAMMA ** (self.tick // EPOCH * EPOCH - self.tick)
        quality, tells = self.as_judged()
        judged, leaning, pairs = np.zeros(len(x)), 0.0, np.zeros(PAIRS)
        if self.truth is None:
            weight = tells * known
            residual = weight * (quality - self.forecast)
            judged, leaning = weight * x, residual
        else:
            weight, residual = known, (self.truth - self.forecast) * known
            if self.judge is not None:
                propensity = min(max(self.propensity, LEAST_PROPENSITY), 1.0)
                each, error = tells / propensity, quality - self.truth
                pairs = np.array([each, each / propensity, each * error, each * error**2, 1.0 / propensity])
        heard = np.asarray(max(weight / known, LEAST_HEARD))
        parts = (weight * np.outer(x, x), residual * x, judged, np.asarray(leaning), heard, pairs)
        return Sums(*parts).pack()

    def as_judged(self) -> tuple[float, float]:
        """Estimate of the quality by the evidence alone, unbiased whatever the forecast, and how much it tells.

        The evidence moves the forecast f by the share ``weight`` of what the truth is expected to move it, and with a
        variance of ``weight`` f (1 - f), against the 1 / 4 at most of the truth, which tells 1.
        """
        weight = min(max(self.weight, LEAST_WEIGHT), 1.0)
        moved = 0.0 if self.judge is None else self.judge - self.forecast
        surer = 0.25 / max(self.forecast * (1.0 - self.forecast), LEAST_VARIANCE)
        return self.forecast + moved / weight, weight * surer

    def design(self) -> NDArray[np.float64]:
        """The features, and how sure the forecast was: (d + 1,)."""
        return np.append(self.features, sureness(self.forecast))


def sureness(forecast: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds of a forecast, halved so that they are about as large as the other features."""
    p = np.clip(forecast, 0.02, 0.98)
    return np.asarray(0.5 * (np.log(p) - np.log1p(-p)))
