"""The noun here is `Familiarity`: how near a query lies to known ones, calibrated so that held-out seeds score high and
gibberish scores low. The forecast leans on the taxonomy where it is high."""

from __future__ import annotations

import random
import string

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emafusion.encoders import Encoder, unit_rows
from emafusion.errors import ConfigError

__all__ = ["Familiarity"]

_NEIGHBOURS = 3
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
    known : array of shape (k, dim)
        Unit vectors of the seeds.
    encoder : Encoder
        Encodes the gibberish.
    """

    def __init__(self, known: NDArray[np.float32], encoder: Encoder) -> None:
        self._centre = known.mean(axis=0)
        self._known = unit_rows(known - self._centre)
        among = self._known @ self._known.T
        np.fill_diagonal(among, -np.inf)
        seeds = _nearest(among)
        noise = _nearest(self._directions(encoder.encode(_gibberish())) @ self._known.T)
        self.slope, self.offset = _separate(
            np.concatenate([seeds, noise]), np.repeat([1.0, 0.0], [len(seeds), len(noise)])
        )

    def score(self, embeddings: ArrayLike, reference: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return familiarity in [0, 1] for rows of shape (n, dim), by the nearer of seeds and `reference`."""
        rows = np.asarray(embeddings, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self._known.shape[1]:
            raise ConfigError(f"embeddings has shape {rows.shape}, expected (n, {self._known.shape[1]})")
        directions = self._directions(rows)
        nearest = _nearest(directions @ self._known.T)
        if reference is not None and len(others := np.asarray(reference, dtype=np.float32)):
            nearest = np.maximum(nearest, _nearest(directions @ self._directions(others).T))
        score: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * (self.slope * nearest + self.offset)))
        return np.where(np.abs(rows).max(axis=1, initial=0.0) > 0, score, 0.0)

    def _directions(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return unit_rows(rows - self._centre)


def _nearest(similarities: NDArray[np.float32]) -> NDArray[np.float64]:
    count = min(_NEIGHBOURS, similarities.shape[1])
    top = np.partition(similarities, -count, axis=1)[:, -count:].astype(np.float64)
    finite = np.where(np.isfinite(top), top, 0.0)
    return np.asarray(finite.mean(axis=1))


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
