"""Expected input and output tokens of each candidate, from the views of a query.

Output lengths are regressed in log space; the mean of exp(residual) turns a median back into a mean (the smearing
estimate; Duan, 1983). Input lengths are tokens per character, which differ by tokenizer and script.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.completion import candidate_means
from emafusion.estimators.ridge import Ridge
from emafusion.estimators.views import Views

if TYPE_CHECKING:
    from typing_extensions import Self

_WIDEST: Final = 1.5  # forecasts stay within this many log units beyond the range of the log


class Lengths:
    """Ridge regression of one log-scaled (n, m) target; unknown cells take their candidate's mean plus the query's."""

    def __init__(self, *, strength: float = 1000.0) -> None:
        self.strength = strength

    def fit(self, views: Views, logs: NDArray[Any]) -> Self:
        """Fit on (n, m) logarithms, NaN where unknown."""
        known = ~np.isnan(logs)
        self.known_ = known.any(axis=0)
        shift = float(logs[known].mean()) if known.any() else 0.0
        self.shift_ = shift
        means = candidate_means(logs - shift) if known.any() else np.zeros(logs.shape[1])
        residual = np.where(known, logs - shift - means, 0.0)
        effect = residual.sum(axis=1, keepdims=True) / (known.sum(axis=1, keepdims=True) + 1.0)
        completed = np.where(known, logs - shift, means + effect)
        self.low_ = np.where(self.known_, np.where(known, logs, np.inf).min(axis=0), 0.0)
        self.high_ = np.where(self.known_, np.where(known, logs, -np.inf).max(axis=0), 0.0)
        self.regression_ = Ridge().fit(views, np.where(known, completed, np.nan), completed)
        self.regression_.settle((self.strength, logs.shape[1]))
        self.smear_ = np.ones(logs.shape[1])
        return self

    def smear(self, predicted: NDArray[Any], logs: NDArray[Any]) -> None:
        """Learn the mean of exp(residual) from out-of-fold forecasts (n, m) on the log scale."""
        ratio = np.exp(np.clip(logs - predicted, -4.0, 4.0))
        count = (~np.isnan(ratio)).sum(axis=0)
        self.smear_ = (np.nansum(ratio, axis=0) + 5.0) / (count + 5.0)

    def predict(self, views: Views) -> NDArray[np.float64]:
        """Forecast (n, m) logarithms."""
        logs = self.regression_.predict(views) + self.shift_
        return np.minimum(np.maximum(logs, self.low_), self.high_ + _WIDEST)

    def cross_predict(self, views: Views, logs: NDArray[Any], fold: NDArray[np.int64]) -> NDArray[np.float64]:
        """Forecast the logarithms of each fold's rows from the other folds."""
        predicted = np.empty(logs.shape)
        for k in range(int(fold.max()) + 1):
            train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            member = Lengths(strength=self.strength).fit(views.take(train), logs[train])
            predicted[test] = member.predict(views.take(test))
        return predicted

    def rescale(self, predicted: NDArray[Any]) -> NDArray[np.float64]:
        """Turn (n, m) logarithms into means on the original scale; NaN for a candidate that was never measured."""
        return np.asarray(np.where(self.known_, np.exp(predicted) * self.smear_, np.nan))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays."""
        _, arrays = self.regression_.to_arrays()
        arrays |= {"low": self.low_, "high": self.high_, "smear": self.smear_, "known": self.known_}
        return {"strength": self.strength, "shift": self.shift_}, arrays

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        lengths = cls(strength=config["strength"])
        lengths.shift_ = config["shift"]
        lengths.regression_ = Ridge.from_arrays({}, arrays)
        lengths.low_, lengths.high_ = arrays["low"], arrays["high"]
        lengths.smear_, lengths.known_ = arrays["smear"], arrays["known"]
        return lengths


def characters(texts: Sequence[str]) -> NDArray[np.float64]:
    """Length of each text in characters plus a few for the wrapping of a message, (n, 1)."""
    return np.array([[len(text) + 20.0] for text in texts])
