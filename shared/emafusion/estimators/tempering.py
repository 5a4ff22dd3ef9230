"""Judges without labels: how much k correlated verdicts say together.

In a Gaussian model of equally good judges whose errors correlate by rho, k verdicts are worth k / (1 + (k - 1) rho) of
one. With a matrix of correlations each verdict is divided by the sum of its row: k copies of one judge are worth one,
k independent judges are worth k.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.scales import logit, sigmoid

__all__ = ["KIN", "STRANGERS", "assumed_correlation", "error_correlation", "shares", "verdict_llr"]

Array = NDArray[np.float64]

STRANGERS = 0.4
"""Correlation of the errors of two judges, as long as nothing is known: a judgement; language models err alike."""
KIN = 1.0
"""The same for two judges of one kind that ask one model: a second opinion of the same head is the first again."""
SURE = float(logit(np.array(0.9)))
LEAST = 0.02
_PRIOR_ROWS = 50.0


def verdict_llr(scores: Array, weights: Array) -> Array:
    """Log-likelihood ratio of scores in [0, 1], each alone; 0 for NaN. A score of 0.9 counts ``weights``."""
    told = np.where(np.isnan(scores), 0.5, scores)
    return np.asarray(weights * logit(told, LEAST) / SURE)


def assumed_correlation(families: Sequence[str]) -> Array:
    """Correlation of judges' errors by what they are: those of one family are taken for copies."""
    kin = np.array([[a == b for b in families] for a in families], dtype=bool).reshape(len(families), len(families))
    out = np.where(kin, KIN, STRANGERS)
    np.fill_diagonal(out, 1.0)
    return np.asarray(out, dtype=np.float64)


def error_correlation(scores: Array, weights: Array, assumed: Array) -> Array:
    """Correlation of judges' errors from verdicts alone, (k, k).

    Two good judges agree because both see the truth. What the shipped weights say they share with it is taken off the
    correlation of their verdicts; the rest is what they share with each other. Few rows leave it as ``assumed``.

    Parameters
    ----------
    scores : (n, k)
        NaN where a judge gave none.
    weights : (k,)
        Log-likelihood ratio of a sure verdict.
    """
    z = logit(np.where(np.isnan(scores), 0.5, scores), LEAST)
    known = ~np.isnan(scores)
    skill = 2.0 * sigmoid(np.abs(weights)) - 1.0
    out: Array = assumed.copy()
    for a in range(len(weights)):
        for b in range(a):
            both = known[:, a] & known[:, b]
            x, y = z[both, a], z[both, b]
            if both.sum() < 3 or x.std() == 0 or y.std() == 0:
                continue
            shared = skill[a] * skill[b]
            found = (float(np.corrcoef(x, y)[0, 1]) - shared) / (1.0 - shared)
            trust = both.sum() / (both.sum() + _PRIOR_ROWS)
            out[a, b] = out[b, a] = trust * np.clip(found, 0.0, 1.0) + (1.0 - trust) * assumed[a, b]
    return out


def shares(correlation: Array, given: NDArray[np.bool_]) -> Array:
    """What part of each verdict counts, (..., k); 0 for a judge that gave none."""
    rows = given.astype(np.float64) @ np.maximum(correlation, 0.0)
    return np.asarray(np.where(given, 1.0 / np.maximum(rows, 1.0), 0.0))
