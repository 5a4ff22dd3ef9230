"""The score matrix with its holes filled: who would probably have answered what, from those who did.

Correlated candidates make one of them a witness for another (the low-rank structure of item-response models). Only
the shape of learners uses the filled values; every probability is re-estimated from scores that were observed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def candidate_means(scores: NDArray[Any], strength: float = 5.0) -> NDArray[np.float64]:
    """Shrink each candidate's mean score towards the pool's.

    Parameters
    ----------
    scores : ndarray of shape (n, m)
        NaN where unknown.
    strength : float
        Weight of the pool's mean, in observations.

    Returns
    -------
    ndarray of shape (m,), inside (0, 1)
    """
    known = ~np.isnan(scores)
    total = np.nansum(scores, axis=0)
    pool = (total.sum() + 1.0) / (known.sum() + 2.0)
    return np.asarray((total + strength * pool) / (known.sum(axis=0) + strength), dtype=np.float64)


def complete(scores: NDArray[Any], *, rank: int = 2, rounds: int = 8) -> NDArray[np.float64]:
    """Fill unknown scores by candidate means plus query effects plus ``rank`` shared factors.

    Hard-impute with shrunk singular values (Mazumder, Hastie and Tibshirani, 2010, section 3), started from an
    additive model.

    Returns
    -------
    ndarray of shape (n, m)
        Observed scores untouched; filled ones in [0, 1].
    """
    known = ~np.isnan(scores)
    means = candidate_means(scores)
    if known.all():
        return np.asarray(scores, dtype=np.float64)
    residual = np.where(known, scores - means, 0.0)
    effect = residual.sum(axis=1, keepdims=True) / (known.sum(axis=1, keepdims=True) + 1.0)
    filled = np.where(known, scores, np.clip(means + effect, 0.0, 1.0))
    rank = min(rank, scores.shape[1] - 1)
    for _ in range(rounds if rank > 0 else 0):
        values, vectors = np.linalg.eigh((filled - means).T @ (filled - means))
        top = vectors[:, ::-1][:, :rank]
        # Shrink each factor by the size of those left out: they are what chance alone would give.
        noise = values[::-1][rank:].mean() if len(values) > rank else 0.0
        keep = np.clip(1.0 - noise / np.maximum(values[::-1][:rank], 1e-12), 0.0, 1.0)
        model = means + (filled - means) @ (top * keep) @ top.T
        filled = np.where(known, scores, np.clip(model, 0.0, 1.0))
    return np.asarray(filled, dtype=np.float64)
