"""Ridge regression of all candidates at once, on meaning, n-grams and surface together.

One eigendecomposition gives every strength of regularisation. Projecting the forecasts on the leading factors of the
score matrix (reduced-rank regression; Izenman, 1975) lets candidates share what is learned about difficulty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.views import Floats, Views

if TYPE_CHECKING:
    from typing_extensions import Self

STRENGTHS: Final = (300.0, 1000.0, 3000.0, 10000.0, 100000.0)
RANKS: Final = (2, 1000)


class Ridge:
    """Multi-output ridge regression over a path of strengths and ranks."""

    name = "ridge"

    def settings(self) -> tuple[tuple[float, int], ...]:
        """Pairs of strength and rank worth comparing."""
        return tuple((strength, rank) for strength in STRENGTHS for rank in RANKS)

    def fit(self, views: Views, targets: NDArray[Any], completed: NDArray[Any]) -> Self:
        """Fit on completed targets (n, m); ``targets`` with NaN where unknown give the means."""
        self.center_ = views.design.mean(axis=0)
        centered = views.design - self.center_
        self.mean_ = np.nanmean(np.where(np.isnan(targets), completed, targets), axis=0)
        wanted = (completed - completed.mean(axis=0)).astype(np.float32)
        gram = (centered.T @ centered).astype(np.float64)
        self._values, self._vectors = np.linalg.eigh(gram)
        self._moments = self._vectors.T @ (centered.T @ wanted).astype(np.float64)
        self._factors = np.linalg.eigh((wanted.T @ wanted).astype(np.float64))[1][:, ::-1]
        return self

    def _weights(self, setting: tuple[float, int]) -> Floats:
        strength, rank = setting
        weights = self._vectors @ (self._moments / (np.maximum(self._values, 0.0) + strength)[:, None])
        if rank < weights.shape[1]:
            top = self._factors[:, :rank]
            weights = weights @ top @ top.T
        return np.asarray(weights.astype(np.float16), dtype=np.float32)

    def settle(self, setting: tuple[float, int]) -> None:
        """Fix strength and rank and drop what only the choice needed."""
        self.weights_ = self._weights(setting)
        del self._values, self._vectors, self._moments, self._factors

    def predict(self, views: Views) -> NDArray[np.float64]:
        """Forecast (n, m) targets after :meth:`settle`."""
        return np.asarray((views.design - self.center_) @ self.weights_ + self.mean_, dtype=np.float64)

    def predict_many(self, views: Views, settings: tuple[tuple[float, int], ...]) -> list[NDArray[np.float64]]:
        """Forecast for several settings before :meth:`settle`."""
        centered = views.design - self.center_
        return [np.asarray(centered @ self._weights(s) + self.mean_, dtype=np.float64) for s in settings]

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays."""
        weights = self.weights_.astype(np.float16)
        return {}, {"center": self.center_, "weights": weights, "mean": self.mean_}

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        ridge = cls(**config)
        ridge.center_, ridge.mean_ = arrays["center"], arrays["mean"]
        ridge.weights_ = arrays["weights"].astype(np.float32)
        return ridge
