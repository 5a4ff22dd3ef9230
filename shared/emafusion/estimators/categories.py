"""The taxonomy's view: each candidate's mean score in each category, shrunk where a category has few queries.

p = sum over categories of P(category | query) times an empirical-Bayes mean. It is the prior to which every other
forecast falls back far from the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.completion import candidate_means
from emafusion.estimators.views import Views

if TYPE_CHECKING:
    from typing_extensions import Self

STRENGTHS: Final = (5.0, 20.0, 80.0)


class Categories:
    """Empirical-Bayes table of label probabilities (n, c) by candidate."""

    name = "categories"

    def settings(self) -> tuple[float, ...]:
        """Strengths of shrinkage, in queries, worth comparing."""
        return STRENGTHS

    def fit(self, views: Views, targets: NDArray[Any], completed: NDArray[Any]) -> Self:
        """Sum the scores that each category saw of each candidate."""
        del completed
        labels = _labels(views)
        self.mean_ = candidate_means(targets)
        self._sums = labels.T @ np.nan_to_num(targets)
        self._known = labels.T @ (~np.isnan(targets)).astype(np.float64)
        return self

    def _table(self, strength: float) -> NDArray[np.float64]:
        return np.asarray((self._sums + strength * self.mean_) / (self._known + strength))

    def settle(self, setting: float) -> None:
        """Fix the strength of shrinkage."""
        self.table_ = self._table(setting)
        del self._sums, self._known

    def predict(self, views: Views) -> NDArray[np.float64]:
        """Forecast (n, m) targets; the candidates' means where a query carries no label."""
        return self._read(views, self.table_)

    def predict_many(self, views: Views, settings: tuple[float, ...]) -> list[NDArray[np.float64]]:
        """Forecast for several strengths of shrinkage."""
        return [self._read(views, self._table(setting)) for setting in settings]

    def _read(self, views: Views, table: NDArray[np.float64]) -> NDArray[np.float64]:
        if views.labels is None:
            return np.tile(self.mean_, (len(views), 1))
        labels = _labels(views)
        total = labels.sum(axis=1, keepdims=True)
        return np.asarray(np.where(total > 0, labels @ table / np.maximum(total, 1e-9), self.mean_))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays."""
        return {}, {"table": self.table_, "mean": self.mean_}

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        member = cls(**config)
        member.table_, member.mean_ = arrays["table"], arrays["mean"]
        return member


def _labels(views: Views) -> NDArray[np.float64]:
    if views.labels is None:
        return np.zeros((len(views), 1))
    labels = np.asarray(views.labels, dtype=np.float64)
    return np.where(np.isnan(labels), 0.0, labels)
