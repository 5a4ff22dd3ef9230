"""`Leaning`: by how much judges favour each candidate, from answers that judges and the truth spoke of.

Judges are asked about every answer, the truth about few; the few correct the many (prediction-powered inference,
Angelopoulos et al. 2023, arXiv 2301.09633; doubly robust rewards, Dudik et al. 2011). With few audits a candidate's own
mean error is mostly noise, so it is shrunk towards the mean error of all: error_j ~ N(common, tau_j^2), with tau_j one
of a few, weighed by how likely each makes what was seen. A candidate that is plainly favoured is then hardly shrunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["UNAUDITED", "Leaning"]

Array = NDArray[np.float64]

COMMON = 0.05
"""Standard deviation of the error that all share: small, for a candidate that is favoured must not stain the others."""
DIFFERENCES = np.array([0.03, 0.1, 0.4])
"""Standard deviations of a candidate's error around the common one: judges are fair to most, and unfair to some."""
BELIEF = np.array([0.6, 0.33, 0.07])
"""How likely each is, before any audit. Judgements."""
UNAUDITED = float(BELIEF @ DIFFERENCES**2)
"""Variance of a candidate's error before any audit."""


@dataclass(frozen=True, slots=True)
class Leaning:
    """Mean and variance of what judges add to the quality of each candidate, (m,) each.

    ``variance`` is that around the common error: what all candidates share does not choose between them.
    """

    mean: Array
    variance: Array

    @classmethod
    def of(cls, pairs: Array, noise: float) -> Leaning:
        """From the ``pairs`` (m, 4) of :class:`~emafusion.learning.online.sums.Sums`; one of weight 1 has ``noise``."""
        total, squares, errors = pairs[:, 0], pairs[:, 1], pairs[:, 2]
        heard = total > 1e-9
        precision = np.where(heard, total**2 / np.maximum(squares, 1e-12), 0.0) / noise
        error = np.where(heard, errors / np.maximum(total, 1e-12), 0.0)
        own = DIFFERENCES[:, None] ** 2
        counts = precision / (1.0 + UNAUDITED * precision)
        common = float((counts * error).sum() / (COMMON**-2 + counts.sum()))
        shrunk = own * precision / (1.0 + own * precision)  # (g, m)
        unfit = (error - common) ** 2 * precision / (1.0 + own * precision)
        fit = np.log(BELIEF)[:, None] - 0.5 * (np.log1p(own * precision) + unfit)
        belief = np.exp(fit - fit.max(0))
        belief /= belief.sum(0)
        means = common + shrunk * (error - common)
        mean = (belief * means).sum(0)
        variance = (belief * (own * (1.0 - shrunk) + (means - mean) ** 2)).sum(0)
        return cls(mean, variance)
