"""Labels for answers that nobody scored: whether they agree with the strongest candidate, corrected by a few audits.

Agreement is a cheap label and a biased one: a candidate that resembles the strongest looks better than it is. On the
answers that were scored the bias is seen, candidate by candidate, and taken off (prediction-powered inference, arXiv
2301.09633; its tuned form, arXiv 2311.01453; of the doubly robust family). The corrected mean is right whatever the
pseudo-labels are, and the better they are the less it varies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emafusion.estimators.beliefs import Array, IntArray

__all__ = ["Corrected", "agreement_labels", "corrected_labels", "corrected_mean"]

LEAST_AUDITED = 8
"""Scored answers of a candidate below which its pseudo-labels are not used at all."""


@dataclass(frozen=True)
class Corrected:
    """Targets to fit on.

    Attributes
    ----------
    target : (n, m)
        Scores as they are or corrected pseudo-labels, which may leave [0, 1]; NaN where there is neither.
    count : (n, m)
        How many labels each is worth.
    """

    target: Array
    count: Array


def agreement_labels(label: IntArray, strongest: int) -> Array:
    """Whether each answer is in one group with the strongest candidate's: (n, m) of 0 and 1, NaN where one is missing.

    The strongest candidate's own answers stay without: everyone agrees with himself.

    Parameters
    ----------
    label : (n, m)
        Groups of agreeing answers, -1 for none.
    """
    best = label[:, [strongest]]
    out = np.where((label >= 0) & (best >= 0), (label == best).astype(np.float64), np.nan)
    out[:, strongest] = np.nan
    return np.asarray(out)


def corrected_mean(pseudo: Array, score: Array) -> tuple[float, float]:
    """Mean score of one candidate and its standard error, from pseudo-labels (n,) and a few scores (n,), NaN elsewhere.

    Examples
    --------
    >>> pseudo, score = np.ones(1000), np.full(1000, np.nan)
    >>> score[:50] = np.tile([1.0, 0.0], 25)
    >>> round(corrected_mean(pseudo, score)[0], 3)
    0.5
    """
    known, audited = ~np.isnan(pseudo), ~np.isnan(score) & ~np.isnan(pseudo)
    n, total = int(audited.sum()), int(known.sum())
    if n < 2:
        return float("nan"), float("inf")
    y, f = score[audited], pseudo[audited]
    power = _power(y, f, total)
    error = np.sqrt((y - power * f).var(ddof=1) / n + power**2 * pseudo[known].var() / total)
    return float(power * pseudo[known].mean() + (y - power * f).mean()), float(error)


def corrected_labels(pseudo: Array, score: Array) -> Corrected:
    """Targets whose log-loss has the gradient of the true one, in expectation.

    The loss of logistic regression is linear in its labels, so the correction can be put into the labels of the
    audited answers: the label of all N answers is lambda f, of the n audited ones besides (N / n) (y - lambda f).
    """
    target, count = np.array(score), (~np.isnan(score)).astype(np.float64)
    for j in range(score.shape[1]):
        rows = ~np.isnan(pseudo[:, j])
        audited = rows & ~np.isnan(score[:, j])
        n, total = int(audited.sum()), int(rows.sum())
        if n < LEAST_AUDITED or n == total:
            continue
        y, f = score[audited, j], pseudo[audited, j]
        power = _power(y, f, total)
        target[rows, j] = power * pseudo[rows, j]
        target[audited, j] += total / n * (y - power * f)
        spared = float(np.corrcoef(y, f)[0, 1] ** 2) if y.std() > 0 and f.std() > 0 else 0.0
        count[rows, j] = n / (1.0 - min(spared, 0.9) * (1.0 - n / total)) / total
    return Corrected(target, count)


def _power(y: Array, f: Array, total: int) -> float:
    """How far pseudo-labels are to be trusted, in [0, 1]: what minimises the variance."""
    if len(y) < 3 or f.std() == 0:
        return 0.0
    slope = float(np.cov(y, f)[0, 1] / f.var(ddof=1))
    return float(np.clip(slope / (1.0 + len(y) / total), 0.0, 1.0))
