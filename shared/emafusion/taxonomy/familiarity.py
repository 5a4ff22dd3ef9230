"""The noun here is `Familiarity`: how near a query lies to known ones, calibrated so that held-out seeds score high and
gibberish scores low. The forecast leans on the taxonomy where it is high."""

from __future__ import annotations

import random
import string
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emafusion.encoders import Encoder, unit_rows
from emafusion.errors import ConfigError

__all__ = ["Familiarity"]

_NEIGHBOURS = 3
_CHUNK = 1024
_GIBBERISH = 120
_NEWTON_STEPS = 30
_PENALTY = 0.1


class Familiarity:
    """sigmoid(slope * (mean cosine of the three nearest known texts) + offset).

    Cosines are taken after the seeds' mean is subtracted: what all texts share says nothing about nearness.

    Slope and offset separate every seed's similarity to the other seeds from the similarity of random letters, digits
    and signs, drawn with a fixed seed, by a penalised logistic regression.

    Parameters
    ----------
    centre : array of shape (dim,)
        Mean of the known texts' vectors.
    known : array of shape (k, dim)
        Their directions from it, rounded to half precision as they are shipped.
    slope, offset : float
    """

    def __init__(
        self, centre: NDArray[np.float32], known: NDArray[np.float16], slope: float = 1.0, offset: float = 0.0
    ) -> None:
        self._centre, self._half = centre, known
        self._known = np.ascontiguousarray(known.astype(np.float32).T)
        self.slope, self.offset = slope, offset

    @classmethod
    def fit(cls, known: NDArray[np.float32], encoder: Encoder) -> Familiarity:
        """Fit on the unit vectors (k, dim) of the seeds; the encoder encodes the gibberish."""
        centre = known.mean(axis=0)
        scale = cls(centre, unit_rows(known - centre).astype(np.float16))
        among = scale._known.T @ scale._known
        np.fill_diagonal(among, -np.inf)
        seeds = _nearest(among)
        noise = _nearest(scale._directions(encoder.encode(_gibberish())) @ scale._known)
        scale.slope, scale.offset = _separate(
            np.concatenate([seeds, noise]), np.repeat([1.0, 0.0], [len(seeds), len(noise)])
        )
        return scale

    def score(self, embeddings: ArrayLike, reference: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return familiarity in [0, 1] for rows of shape (n, dim), by the nearer of seeds and `reference`."""
        rows = np.asarray(embeddings, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != len(self._known):
            raise ConfigError(f"embeddings has shape {rows.shape}, expected (n, {len(self._known)})")
        nearest = np.empty(len(rows))
        others = None
        if reference is not None and len(known := np.asarray(reference, dtype=np.float32)):
            others = self._directions(known).T
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            directions = self._directions(rows[part])
            nearest[part] = _nearest(directions @ self._known)
            if others is not None:
                nearest[part] = np.maximum(nearest[part], _nearest(directions @ others))
        score: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * (self.slope * nearest + self.offset)))
        return np.where(rows.any(axis=1), score, 0.0)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return named arrays."""
        return {"centre": self._centre, "known": self._half, "scale": np.array([self.slope, self.offset])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Familiarity:
        """Rebuild from `to_arrays`."""
        return cls(arrays["centre"], arrays["known"], *arrays["scale"].tolist())

    def _directions(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return unit_rows(rows - self._centre)


def _nearest(similarities: NDArray[np.float32]) -> NDArray[np.float64]:
    count = min(_NEIGHBOURS, similarities.shape[1])
    top = np.partition(similarities, -count, axis=1)[:, -count:].astype(np.float64)
    top[top == -np.inf] = 0.0  # A lone seed has no other seed to be near to.
    return np.asarray(top.sum(axis=1) / count)


def _gibberish() -> list[str]:
    source = random.Random(20250410)
    alphabet = string.ascii_lowercase * 3 + string.digits + string.punctuation

    def word() -> str:
        return "".join(source.choices(alphabet, k=source.randint(2, 11)))

    return [" ".join(word() for _ in range(source.randint(1, 25))) for _ in range(_GIBBERISH)]


def _separate(values: NDArray[np.float64], known: NDArray[np.float64]) -> tuple[float, float]:
    """Weighted logistic regression in one variable (both classes count the same), by Newton's method."""
    scale = float(values.std()) or 1.0
    design = np.stack([(values - values.mean()) / scale, np.ones_like(values)], axis=1)
    weight = np.where(known > 0, 0.5 / known.mean(), 0.5 / (1.0 - known.mean()))
    penalty = np.diag([_PENALTY, 0.0])
    coefficients = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        rate = 0.5 * (1.0 + np.tanh(0.5 * (design @ coefficients)))
        gradient = design.T @ (weight * (known - rate)) - penalty @ coefficients
        curvature = design.T @ (design * (weight * rate * (1.0 - rate))[:, None]) + penalty + 1e-9 * np.eye(2)
        coefficients = coefficients + np.clip(np.linalg.solve(curvature, gradient), -1.0, 1.0)
    slope = float(coefficients[0] / scale)
    return max(slope, 0.0), float(coefficients[1] - slope * values.mean())
