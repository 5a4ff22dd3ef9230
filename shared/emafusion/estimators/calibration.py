"""Maps a candidate's logit to one that means what it says: Platt's line, or an isotonic curve where labels allow.

Above about 1,000 labels a candidate's curve may bend: isotonic regression over bins of equal count, drawn as straight
pieces between them, so that the order of queries inside a bin is kept. Which of the three (nothing, line, curve) is
used is decided out of fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.scales import logit, sigmoid

if TYPE_CHECKING:
    from typing_extensions import Self

Shape: TypeAlias = Literal["none", "line", "curve"]
CURVE_LABELS: Final = 1_000
KNOTS: Final = 16
_SLOPE_PULL: Final = 5.0
_ROUNDS: Final = 25


class Calibration:
    """One increasing map a candidate, on logits.

    Parameters
    ----------
    shape : {"none", "line", "curve"}
        The most that the map may do; a candidate with fewer than 1,000 labels gets a line at most.
    """

    def __init__(self, *, shape: Shape = "line") -> None:
        self.shape = shape

    def fit(self, logits: NDArray[Any], scores: NDArray[Any]) -> Self:
        """Fit on out-of-fold logits (n, m) and scores (n, m), NaN where unknown."""
        m = scores.shape[1]
        self.x_ = np.tile(np.linspace(-4.0, 4.0, KNOTS), (m, 1))
        self.y_ = self.x_.copy()
        if self.shape == "none":
            return self
        for j in range(m):
            known = ~np.isnan(scores[:, j])
            z, y = logits[known, j], scores[known, j]
            if self.shape == "curve" and len(y) >= CURVE_LABELS:
                self.x_[j], self.y_[j] = _isotonic(z, y)
            elif len(y) >= 10:
                slope, bias = _platt(z, y)
                self.y_[j] = slope * self.x_[j] + bias
        return self

    def predict(self, logits: NDArray[Any]) -> NDArray[np.float64]:
        """Map logits (n, m); beyond the outer knots the map goes on with slope one."""
        if self.shape == "none":
            return np.asarray(logits, dtype=np.float64)
        # Linear interpolation for all candidates at once: a loop over them is what a single query would wait for.
        x, y = self.x_, self.y_
        inside = np.minimum(np.maximum(logits, x[:, 0]), x[:, -1])
        piece = (inside[:, :, None] >= x[:, 1:-1]).sum(axis=2)
        each = np.arange(x.shape[0])
        slope = np.diff(y, axis=1) / np.diff(x, axis=1)
        return np.asarray(y[each, piece] + slope[each, piece] * (inside - x[each, piece]) + (logits - inside))


def _platt(z: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """Logistic regression of y on z, its slope drawn towards one (Platt, 1999), by Newton's method."""
    pull = _SLOPE_PULL * np.array([1.0, 0.1])
    design = np.stack([z, np.ones_like(z)], axis=1)
    line = np.array([1.0, 0.0])

    def loss(candidate: NDArray[Any]) -> float:
        bent = design @ candidate
        moved = candidate - np.array([1.0, 0.0])
        return float((np.logaddexp(0.0, bent) - y * bent).sum() + 0.5 * (pull * moved**2).sum())

    for _ in range(_ROUNDS):
        p = sigmoid(design @ line)
        gradient = design.T @ (p - y) + pull * (line - np.array([1.0, 0.0]))
        curvature = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag(pull)
        step = np.linalg.solve(curvature, gradient)
        # From an overconfident start a full step overshoots without end: halve it until the loss falls.
        before = loss(line)
        while loss(line - step) > before and np.abs(step).max() > 1e-8:
            step = step / 2.0
        line = line - step
        if np.abs(step).max() < 1e-7:
            break
    return max(float(line[0]), 0.05), float(line[1])


def _isotonic(z: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knots of an increasing curve: bins of equal count, pooled where they violate the order."""
    parts = np.array_split(np.argsort(z, kind="stable"), KNOTS)
    x = np.array([z[part].mean() for part in parts])
    # One pseudo-observation at the uncalibrated value keeps a bin of only good answers from claiming certainty.
    rate = [(y[part].sum() + float(sigmoid(np.array(x[i])))) / (len(part) + 1.0) for i, part in enumerate(parts)]
    pooled: list[tuple[float, int]] = []
    for value in rate:
        pooled.append((value, 1))
        while len(pooled) > 1 and pooled[-2][0] > pooled[-1][0]:
            (a, n_a), (b, n_b) = pooled[-2:]
            pooled[-2:] = [((a * n_a + b * n_b) / (n_a + n_b), n_a + n_b)]
    curve = logit(np.repeat([value for value, _ in pooled], [count for _, count in pooled]))
    # Strictly increasing in both directions, so that no two queries are made equal.
    return x + np.arange(KNOTS) * 1e-9, curve + 0.01 * (x - x.mean())
