"""From the members' forecasts to one calibrated probability with a spread, and back to the prior far from the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.calibration import Calibration, Shape
from emafusion.estimators.neighbours import Nearness
from emafusion.estimators.scales import logit, mean_log_loss, sigmoid
from emafusion.estimators.stacking import Stack

if TYPE_CHECKING:
    from typing_extensions import Self

SHAPES: Final[tuple[Shape, ...]] = ("none", "line", "curve")
_NEGLIGIBLE: Final = 0.05  # a member with less than this share of the weight does not pay for its time
_PRIOR_QUERIES: Final = 2.0  # what the prior is worth where there are no neighbours


class Combination:
    """Stack, calibration, fall-back and spread, each step also fitted out of fold.

    Attributes
    ----------
    names_ : list of str
        Members that count.
    oof_ : tuple of two ndarrays of shape (n, m)
        Probability and spread of the training rows, from steps that had not seen them.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def fit(
        self,
        forecasts: dict[str, NDArray[Any]],
        nearness: Nearness,
        prior: NDArray[Any],
        scores: NDArray[Any],
        fold: NDArray[np.int64],
    ) -> Self:
        """Fit on out-of-fold forecasts (n, m) by member, prior logits (n, m) and scores (n, m), NaN where unknown."""
        names = list(forecasts)
        logits = np.stack([logit(forecasts[name]) for name in names])
        pool = Stack(seed=self.seed).fit(logits, scores).pool_
        self.shares_ = dict(zip(names, (pool / max(pool.sum(), 1e-9)).tolist()))
        self.names_ = [name for name in names if self.shares_[name] >= _NEGLIGIBLE] or names
        logits = logits[[names.index(name) for name in self.names_]]
        self.stack_ = Stack(seed=self.seed).fit(logits, scores)

        def stack_on(rows: NDArray[np.int64]) -> Stack:
            return Stack(seed=self.seed).fit(logits[:, rows], scores[rows])

        stacked = _cross_fitted(stack_on, logits, fold)
        self.losses_: dict[str, float] = {}
        mapped: dict[Shape, NDArray[np.float64]] = {}
        for shape in SHAPES:
            mapped[shape] = _cross_fitted(_calibrate_on(shape, stacked, scores), stacked, fold)
            self.losses_[shape] = mean_log_loss(sigmoid(mapped[shape]), scores)
        chosen = min(SHAPES, key=self.losses_.__getitem__)
        self.calibration_ = Calibration(shape=chosen).fit(stacked, scores)
        self.oof_ = self._finish(logits, mapped[chosen], prior, nearness)
        return self

    def predict(
        self, forecasts: dict[str, NDArray[Any]], nearness: Nearness, prior: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (n, m) probabilities and their standard deviations."""
        logits = logit(np.stack([forecasts[name] for name in self.names_]))
        mapped = self.calibration_.predict(self.stack_.predict(logits))
        return self._finish(logits, mapped, prior, nearness)

    def _finish(
        self, logits: NDArray[Any], mapped: NDArray[Any], prior: NDArray[Any], nearness: Nearness
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fall back to the prior by familiarity; spread = what few neighbours leave open + members' disagreement."""
        familiarity = nearness.familiarity[:, None]
        p = sigmoid(familiarity * mapped + (1.0 - familiarity) * prior)
        most = p * (1.0 - p)
        neighbours = nearness.effective_n[:, None] * familiarity
        variance = most / (neighbours + _PRIOR_QUERIES)
        if len(logits) > 1:  # one member alone agrees with itself
            weight = (self.stack_.weights_ / np.maximum(self.stack_.weights_.sum(axis=0), 1e-9))[:, None]
            opinions = sigmoid(logits)
            centre = (opinions * weight).sum(axis=0)
            variance = variance + ((opinions - centre) ** 2 * weight).sum(axis=0)
        return p, np.sqrt(np.minimum(variance, most))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays."""
        config = {"seed": self.seed, "names": self.names_, "shape": self.calibration_.shape}
        arrays = {"weights": self.stack_.weights_, "bias": self.stack_.bias_}
        return config, arrays | {"x": self.calibration_.x_, "y": self.calibration_.y_}

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        combination = cls(seed=config["seed"])
        combination.names_ = list(config["names"])
        combination.stack_, combination.calibration_ = Stack(), Calibration(shape=config["shape"])
        combination.stack_.weights_, combination.stack_.bias_ = arrays["weights"], arrays["bias"]
        combination.calibration_.x_, combination.calibration_.y_ = arrays["x"], arrays["y"]
        return combination


def _calibrate_on(
    shape: Shape, stacked: NDArray[Any], scores: NDArray[Any]
) -> Callable[[NDArray[np.int64]], Calibration]:
    return lambda rows: Calibration(shape=shape).fit(stacked[rows], scores[rows])


def _cross_fitted(
    fit: Callable[[NDArray[np.int64]], Stack | Calibration], logits: NDArray[Any], fold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Map each fold's logits (..., n, m) by what ``fit`` learned from the rows of the other folds."""
    mapped = np.empty(logits.shape[-2:])
    for k in range(int(fold.max()) + 1):
        test = np.flatnonzero(fold == k)
        mapped[test] = fit(np.flatnonzero(fold != k)).predict(logits[..., test, :])
    return mapped
