"""`Leaning`: by how much judges favour each candidate, from answers that judges and the truth spoke of.

Judges are asked about every answer, the truth about few; the few correct the many (prediction-powered inference,
Angelopoulos et al. 2023, arXiv 2301.09633; doubly robust rewards, Dudik et al. 2011). With few audits a candidate's own
mean error is mostly noise, so it is shrunk towards the mean error of all: error_j ~ N(common, tau_j^2), with tau_j one
of a few, weighed by how likely each makes what was seen. A candidate that is plainly favoured is then hardly shrunk.

What was seen is more than the audits. That judges find a candidate better than its forecast and its known answers lead
to expect is either luck of the forecast or favour; it says little on how large the favour is that audits would not say
better, but much on whether to doubt that the judges are as fair to this candidate as they are to most.

Where they are not, the candidate's quality is taken at its lower bound as far as it rests on verdicts. Other errors
correct themselves, for a candidate that looks better than it is gets asked, and answers show it; this one does not,
for the same judges speak of those answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.scales import normal_cdf

__all__ = ["Leaning"]

Array = NDArray[np.float64]

COMMON = 0.05
"""Standard deviation of the error that all share: small, for a candidate that is favoured must not stain the others."""
DIFFERENCES = np.array([0.03, 0.1, 0.4])
"""Standard deviations of a candidate's error around the common one: judges are fair to most, and unfair to some."""
BELIEF = np.array([0.6, 0.33, 0.07])
"""How likely each is, before any audit. Judgements."""
UNAUDITED = float(BELIEF @ DIFFERENCES**2)
"""Variance of a candidate's error before any audit."""
PRESUMED = 10.0
"""Audits that the presumed noise counts for beside the noise that is seen: a judge that likes nearly every answer of a
candidate errs more steadily than one that is right now and wrong then, and fewer audits tell by how much."""


@dataclass(frozen=True, slots=True)
class Leaning:
    """Mean and variance of what judges add to the quality of each candidate, (m,) each.

    ``variance`` is that around the common error: what all candidates share does not choose between them. ``doubt`` is
    to be added to the mean where the candidate is judged by it: a standard deviation where judges are surely unfair
    to its advantage, next to nothing where they are fair.
    """

    mean: Array
    variance: Array
    doubt: Array

    @classmethod
    def of(cls, pairs: Array, noise: float, gain: Array, spread: Array) -> Leaning:
        """From the ``pairs`` (m, 5) of :class:`~emafusion.learning.online.sums.Sums`.

        Parameters
        ----------
        noise
            Variance that the error of a pair of weight 1 is presumed to have.
        gain, spread : (m,)
            By how much judges find a candidate better than its forecast and its known answers do, and the variance of
            that were the judges fair.
        """
        error, precision = _errors(pairs, noise)
        counts = precision / (1.0 + UNAUDITED * precision)
        common = float((counts * error).sum() / (COMMON**-2 + counts.sum()))
        own = DIFFERENCES[:, None] ** 2
        belief = _belief((precision * error + gain / spread), precision + 1.0 / spread, common, own)
        left = own / (1.0 + own * precision)  # (g, m)
        means = common + left * precision * (error - common)
        mean = (belief * means).sum(0)
        variance = (belief * (left + (means - mean) ** 2)).sum(0)
        unfair, sd = means[-1], np.sqrt(left[-1])
        doubt = belief[-1] * normal_cdf(unfair / sd) * sd
        return cls(mean, variance, doubt)


def _errors(pairs: Array, noise: float) -> tuple[Array, Array]:
    """Mean error of the judges in the pairs of each candidate, and its precision; both 0 without any, (m,) each."""
    paired = pairs[:, 0] > 1e-9
    weight, by_chance, errors, squares, asked = np.where(paired, pairs.T, 1.0)
    error = errors / weight
    seen = np.maximum(squares - weight * error**2, 0.0) / asked
    tells = weight**2 / by_chance
    count = tells * asked / weight
    precision = tells * (PRESUMED + count) / (PRESUMED * noise + count * seen)
    return np.where(paired, error, 0.0), np.where(paired, precision, 0.0)


def _belief(told: Array, precision: Array, common: float, own: Array) -> Array:
    """How likely each of the variances ``own`` (g, 1) of a candidate's error is, given estimates of it, (g, m).

    ``told`` (m,) is the sum of the estimates, each times its precision, and ``precision`` (m,) that of all.
    """
    unlikely = (told / precision - common) ** 2 * precision / (1.0 + own * precision)
    fit = np.log(BELIEF)[:, None] - 0.5 * (np.log1p(own * precision) + unlikely)
    belief = np.exp(fit - fit.max(0))
    return np.asarray(belief / belief.sum(0))
