"""Verdict columns made up by seed: judges of known skill whose errors are correlated to a known degree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def drawn_verdicts(
    good: Array, accuracies: Sequence[float], correlation: float, rng: np.random.Generator, spread: float = 1.0
) -> Array:
    """Scores (n, k) for outcomes ``good`` (n,) of 0 and 1.

    Each judge sees the truth through Gaussian noise of which a share ``correlation`` is common to all; with what
    accuracy it tells good from bad at its own threshold is given. The score is a squashed view, not calibrated.
    """
    n, k = len(good), len(accuracies)
    shared, own = rng.normal(size=(n, 1)), rng.normal(size=(n, k))
    noise = np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * own
    signal = np.array([_threshold(a) for a in accuracies])
    view = signal * (2.0 * good[:, None] - 1.0) + noise
    return np.asarray(1.0 / (1.0 + np.exp(-2.0 * spread * view)))


def _threshold(accuracy: float) -> float:
    """Distance of the mean from the threshold, in standard deviations, that gives this accuracy."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(accuracy)


def auroc(score: Array, good: Array) -> float:
    """Area under the ROC curve, ties counted half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    right = good >= 0.5
    n_good, n_bad = int(right.sum()), int((~right).sum())
    return float((rank[right].sum() - n_good * (n_good + 1) / 2.0) / (n_good * n_bad))


def ece(p: Array, good: Array, bins: int = 15) -> float:
    """Expected calibration error over bins of equal count."""
    parts = np.array_split(np.argsort(p, kind="stable"), bins)
    return float(sum(abs(p[i].mean() - good[i].mean()) * len(i) for i in parts) / len(p))
