"""`Posterior`: Bayesian linear regression of what forecasts miss, for all candidates at once.

quality_j(x) = forecast_j(x) + x' u_j + noise,   u_j = shared + own_j,   both normal around zero

What is shared (a kind of query that is harder than forecast, for everyone) is learned from every candidate's answers;
so a candidate that was never asked is corrected as well, and the one that was asked does not look worse than the others
merely because its disappointments have been seen. Judges' leaning towards a candidate is one more unknown of the
regression, with what audits say of it as its prior, and is integrated out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.online.leaning import Leaning
from emafusion.learning.online.sums import Sums

__all__ = ["NOISE", "Posterior"]

Array = NDArray[np.float64]

NOISE = 0.225
"""Variance of an answer's quality around its probability: that of a coin of about two in three."""
SHARED, OWN = 0.5, 0.75
"""Variance, in variances of the forecast, of the errors that it has in common on all candidates, and of those that it
has on each: together more than it says of itself. Judgements, as are the next two; errors of the shipped forecast on
one half of the benchmark log are about that large or larger."""
IN_SURENESS = 1.0
"""Standard deviation of the coefficient on the forecast's own log-odds, in standard deviations of the forecast."""
IN_CONTEXT = 0.5
"""The same of the dependence on the query."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Normal distribution of each candidate's coefficients.

    Attributes
    ----------
    mean : (m, p)
    covariance : (m, p, p)
    own : (m,)
        Variance of a candidate's level, as far as it is not shared and asking the candidate would lessen it: what
        judges lean is not in it.
    prior : (m, p)
        Variances before any answer.
    presumed : (m,)
        Answers that a candidate's forecast counts for.
    heard : (m,)
        Answers that evidence was heard on, each counted by how much it told; hardly forgotten.
    leaning
        What judges add to each candidate.
    """

    mean: Array
    covariance: Array
    prior: Array
    own: Array
    presumed: Array
    heard: Array
    leaning: Leaning

    @classmethod
    def of(cls, sums: Sums, variance: Array) -> Posterior:
        """From the candidates' sums, and the variance (m,) of their forecasts."""
        gram, moment, leaning = _without_leaning(sums, (SHARED + OWN) * variance)
        p = moment.shape[1]
        relative = np.full(p, IN_CONTEXT**2)
        relative[0], relative[-1] = 1.0, IN_SURENESS**2
        prior = (SHARED + OWN) * variance[:, None] * relative
        own = NOISE / (OWN * variance[:, None] * relative)  # precision in answers, as the gram is
        shared = NOISE / (SHARED * float(np.median(variance)) * relative)
        known = gram.copy()
        known[:, np.arange(p), np.arange(p)] += own
        spread = np.linalg.inv(known)
        passed = own[:, :, None] * spread  # how a candidate's evidence reaches what is shared
        precision = np.diag(shared) + np.einsum("ji,ik->ik", own, np.eye(p)) - (passed * own[:, None, :]).sum(0)
        common = np.linalg.inv(precision)
        centre = common @ np.einsum("jik,jk->i", passed, moment)
        mean = np.einsum("jik,jk->ji", spread, moment + own * centre)
        reach = np.swapaxes(passed, 1, 2)
        covariance = NOISE * (spread + reach @ common @ passed)
        level = NOISE / (own[:, 0] + sums.gram[:, 0, 0])
        return cls(mean, covariance, prior, level, own[:, 0], sums.heard, leaning)

    def correction(self, design: Array) -> tuple[Array, Array]:
        """For rows (m, p), one a candidate: what to add to its forecast, and the share of the variance that is left."""
        added = np.einsum("ji,ji->j", self.mean, design)
        left = np.einsum("ji,jik,jk->j", design, self.covariance, design)
        return added, left / np.maximum(np.einsum("ji,ji->j", design**2, self.prior), 1e-12)


def _without_leaning(sums: Sums, variance: Array) -> tuple[Array, Array, Leaning]:
    """Gram and moment with judges' leaning integrated out; ``variance`` (m,) is that of the forecasts' levels."""
    leaning = _leaning(sums, variance)
    prior = NOISE / leaning.variance
    certainty = sums.judged[:, 0] + prior
    centre = (sums.leaning + prior * (leaning.mean + leaning.doubt)) / certainty
    moment = sums.moment - sums.judged * centre[:, None]
    gram = sums.gram - sums.judged[:, :, None] * (sums.judged / certainty[:, None])[:, None, :]
    return gram, moment, leaning


def _leaning(sums: Sums, variance: Array) -> Leaning:
    """What audits show, and what verdicts leave to explain beside the forecasts and the answers that are known."""
    judged = np.maximum(sums.judged[:, 0], 1e-9)
    known = np.maximum(sums.gram[:, 0, 0] - sums.judged[:, 0], 0.0)
    level = 1.0 / (1.0 / variance + known / NOISE)
    expected = level * (sums.moment[:, 0] - sums.leaning) / NOISE
    return Leaning.of(sums.pairs, NOISE, sums.leaning / judged - expected, level + NOISE / judged)
