"""What evidence that is not the truth teaches: the probability it leads to, and how much it could have told.

One step of expectation-maximisation: an answer's quality is not known, so what is expected of it, given the forecast
and the evidence, stands in for it. Evidence that hardly tells good from bad hardly moves the forecast, and repeating it
a thousand times must not look like a thousand confirmations of the forecast; so it is weighed by how much it can move.
"""

from __future__ import annotations

from math import exp, log

__all__ = ["log_odds", "probability", "verdict_evidence"]

MOST = 8.0
"""Bound on log-odds: no evidence is taken to be surer than this."""


def log_odds(p: float) -> float:
    p = min(max(p, 1e-4), 1.0 - 1e-4)
    return log(p / (1.0 - p))


def probability(odds: float) -> float:
    return 1.0 / (1.0 + exp(-min(max(odds, -MOST), MOST)))


def verdict_evidence(forecast: float, llr: float, strength: float | None = None) -> tuple[float, float]:
    """What evidence makes of a forecast, as an observation's ``judge`` and ``weight``.

    Parameters
    ----------
    forecast
        Probability of a good answer before it.
    llr
        Log-likelihood ratio good : bad of what was seen.
    strength
        The ratio that evidence of this design shows when it speaks for either side; by default that of what was seen.

    Examples
    --------
    >>> judge, weight = verdict_evidence(0.5, 1.2)
    >>> round(judge, 2), round(weight, 2)
    (0.77, 0.29)
    """
    prior = log_odds(forecast)
    size = min(abs(llr if strength is None else strength), MOST)
    if size < 1e-9:
        return forecast, 0.0
    apart = probability(prior + size) - probability(prior - size)
    return probability(prior + llr), apart * (2.0 * probability(size) - 1.0)
