"""Probabilities, logits and the log loss that compares forecasts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# No log of a few thousand queries can tell 1 % from less.
EDGE: Final = 0.01


def logit(p: NDArray[Any], edge: float = EDGE) -> Array:
    """Log odds of probabilities, clipped to [edge, 1 - edge]."""
    clipped = np.minimum(np.maximum(np.asarray(p, dtype=np.float64), edge), 1.0 - edge)
    return np.asarray(np.log(clipped) - np.log1p(-clipped), dtype=np.float64)


def sigmoid(z: NDArray[Any]) -> Array:
    """Inverse of :func:`logit`; never overflows."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(z, dtype=np.float64))), dtype=np.float64)


def normal_cdf(z: NDArray[Any]) -> Array:
    """The normal distribution function, to three digits; several times as fast as an exact one."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.7978845608 * (z + 0.044715 * z * z * z))), dtype=np.float64)


def log_losses(p: NDArray[Any], scores: NDArray[Any]) -> Array:
    """Mean log loss of each candidate's (n, m) forecasts over its known scores; NaN where none is known."""
    clipped = np.clip(p, 1e-3, 1.0 - 1e-3)
    known = ~np.isnan(scores)
    y = np.where(known, scores, 0.0)
    losses = np.where(known, -(y * np.log(clipped) + (1.0 - y) * np.log1p(-clipped)), 0.0)
    count = known.sum(axis=0)
    return np.where(count > 0, losses.sum(axis=0) / np.maximum(count, 1), np.nan)


def mean_log_loss(p: NDArray[Any], scores: NDArray[Any]) -> float:
    """Mean over all known scores."""
    count = (~np.isnan(scores)).sum(axis=0)
    return float(np.nansum(log_losses(p, scores) * count) / max(int(count.sum()), 1))


def calibration_error(p: NDArray[Any], scores: NDArray[Any], bins: int = 15) -> float:
    """Mean over candidates of the expected calibration error, with bins of equal count."""
    errors = []
    for j in range(scores.shape[1]):
        known = np.flatnonzero(~np.isnan(scores[:, j]))
        if not len(known):
            continue
        ordered = known[np.argsort(p[known, j], kind="stable")]
        parts = np.array_split(ordered, min(bins, len(ordered)))
        gaps = [abs(float(p[part, j].mean() - scores[part, j].mean())) * len(part) for part in parts]
        errors.append(sum(gaps) / len(known))
    return float(np.mean(errors)) if errors else float("nan")


def ranking_quality(p: NDArray[Any], scores: NDArray[Any]) -> Array:
    """Area under the ROC curve of each candidate, a score of at least one half counting as good; NaN without both."""
    areas = np.full(scores.shape[1], np.nan)
    for j in range(scores.shape[1]):
        known = ~np.isnan(scores[:, j])
        good = scores[known, j] >= 0.5
        if good.any() and not good.all():
            _, inverse, counts = np.unique(p[known, j], return_inverse=True, return_counts=True)
            rank = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
            n_good, n_bad = int(good.sum()), int((~good).sum())
            areas[j] = (rank[good].sum() - n_good * (n_good + 1) / 2.0) / (n_good * n_bad)
    return areas


def quality(p: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    """Mean log loss and mean AUC over the candidates that have any."""
    areas, losses = ranking_quality(p, scores), log_losses(np.clip(p, EDGE, 1.0 - EDGE), scores)
    auc = float(areas[~np.isnan(areas)].mean()) if (~np.isnan(areas)).any() else 0.5
    return {"log_loss": round(float(losses[~np.isnan(losses)].mean()), 5), "auc": round(auc, 5)}
