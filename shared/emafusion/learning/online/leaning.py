"""`Leaning`: by how much judges favour each candidate, from answers that judges and the truth spoke of.

Judges are asked about every answer, the truth about few; the few correct the many (prediction-powered inference,
Angelopoulos et al. 2023, arXiv 2301.09633; doubly robust rewards, Dudik et al. 2011). With few audits a candidate's own
mean error is mostly noise, so it is shrunk towards the mean error of all, by as much as the candidates are seen to
differ: error_j ~ N(common, tau^2), with tau averaged over a grid by its marginal likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Leaning"]

Array = NDArray[np.float64]

COMMON = 0.15
"""Standard deviation of the error that all candidates share."""
DIFFERENCES = np.array([0.03, 0.06, 0.12, 0.25, 0.5])
"""Standard deviations of candidates' errors around the common one, and how likely they are before any audit."""
BELIEF = 1.0 / (1.0 + (DIFFERENCES / 0.06) ** 2)


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
        weight = precision / (1.0 + own * precision)  # (g, m): 1 / (tau^2 + variance of the mean)
        certainty = COMMON**-2 + weight.sum(1)
        common = (weight * error).sum(1) / certainty
        fit = 0.5 * (
            -np.log1p(own * precision).sum(1) - np.log(certainty) - (weight * error**2).sum(1) + certainty * common**2
        )
        belief = BELIEF * np.exp(fit - fit.max())
        belief /= belief.sum()
        shrunk = own * precision / (1.0 + own * precision)
        means = common[:, None] + shrunk * (error - common[:, None])
        mean = belief @ means
        variance = belief @ (own * (1.0 - shrunk) + (means - mean) ** 2)
        return cls(mean, variance)
