"""`LoggedDecisions`: what off-policy evaluation knows of decisions, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from emafusion.errors import ConfigError
from emafusion.evaluation.direct_model import Array, IntArray, Predictions, predict_forward

__all__ = ["CEILING", "LoggedDecisions"]

CEILING = 1.0
"""No decision counts as costing more than this many good answers."""


@dataclass(frozen=True)
class LoggedDecisions:
    """n decisions in the order in which they were taken, over m candidates.

    Attributes
    ----------
    action : (n,)
        Column of the candidate asked first.
    propensity : (n, m)
        Probability with which each was to be asked first, exploration included.
    quality : (n,)
        Of the answer that was given, in [0, 1]; NaN where nobody knows.
    confidence : (n,)
        The judges' belief that it was good; NaN where there is none.
    cost : (n,)
        Of the whole decision, in good answers (USD over the value of a good answer).
    expected_quality, expected_cost : (n, m)
        The router's forecast in the same units, NaN where it had none.

    Raises
    ------
    ConfigError
        If an action had no chance, or numbers are outside their ranges.
    """

    action: IntArray
    propensity: Array
    quality: Array
    confidence: Array
    cost: Array
    expected_quality: Array
    expected_cost: Array

    def __post_init__(self) -> None:
        n, m = self.propensity.shape
        if not n:
            raise ConfigError("off-policy evaluation needs at least one decision")
        if self.action.min() < 0 or self.action.max() >= m:
            raise ConfigError(f"actions must be columns of the propensities, 0 to {m - 1}")
        taken = self.propensity[np.arange(n), self.action]
        if not (taken > 0).all():
            raise ConfigError(
                f"decision {int((~(taken > 0)).argmax())} took an action whose propensity is not positive"
            )
        if (self.propensity < 0).any() or (self.propensity.sum(1) > 1.0 + 1e-6).any():
            raise ConfigError("propensities must not be negative, and those of a decision add up to at most 1")
        for name in ("quality", "confidence"):
            known = getattr(self, name)[~np.isnan(getattr(self, name))]
            if len(known) and not (known.min() >= 0.0 and known.max() <= 1.0):
                raise ConfigError(f"{name} must be in [0, 1]")
        if not (self.cost >= 0).all():
            raise ConfigError("costs must be known and not negative")

    def __len__(self) -> int:
        return len(self.action)

    def take(self, rows: IntArray) -> LoggedDecisions:
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def predictions(self) -> Predictions:
        """What the direct model expected of each, from those before it."""
        cost = np.minimum(self.cost, CEILING)
        return predict_forward(
            self.action, self.quality, cost, self.confidence, self.expected_quality, self.expected_cost
        )
