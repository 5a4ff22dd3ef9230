"""From an objective in the user's terms to the terms of a policy, and a pacer that holds an average budget.

``usd_value`` is direct. ``usd_per_query`` and ``quality_floor`` are looked up on the :class:`Curve` that fitting
measured out of fold; without one, a floor is kept request by request against the reference candidate's expected
quality, and a budget is found by pacing alone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from emafusion.config import Objective, Pool
from emafusion.policies.base import Terms
from emafusion.types import Usage

__all__ = ["Curve", "Pacer", "TradeOff"]

UNPACED_VALUE = 30.0
"""First guess of a good answer's worth, in budgets, where no curve says better."""
FLOOR_VALUE = 100.0
"""Around which the worth of a good answer is sought under an unfitted floor, in calls of the reference candidate."""


@dataclass(frozen=True)
class Curve:
    """Average cost and quality of the policy over a grid of values of a good answer, measured out of fold.

    Attributes
    ----------
    value, cost, quality : (g,)
        USD, USD a query, share of good answers; ``value`` and ``cost`` do not decrease.
    advantage : (g,)
        Utility of the policy over the best single candidate at that value, in standard errors of the paired
        difference.
    shortfall : dict
        Reference candidate -> mean and standard error of (policy - reference) quality, paired, at each value.
    alone : dict
        Candidate -> (cost, quality) when it answers everything.
    """

    value: tuple[float, ...]
    cost: tuple[float, ...]
    quality: tuple[float, ...]
    advantage: tuple[float, ...]
    shortfall: dict[str, tuple[tuple[float, float], ...]]
    alone: dict[str, tuple[float, float]]

    def value_for_budget(self, usd: float) -> float:
        """Value at which the policy spends ``usd`` a query: interpolated in log cost."""
        cost = np.maximum.accumulate(np.array(self.cost))
        log_cost = np.log(np.maximum(cost, 1e-12)) + 1e-9 * np.arange(len(cost))
        return float(np.exp(np.interp(np.log(usd), log_cost, np.log(self.value))))

    def value_for_floor(self, floor: float, reference: str, confidence_z: float = 1.2816) -> float | None:
        """Least value whose quality stays at or above ``floor`` times the reference's with confidence 0.9.

        Fixed-sequence testing from the highest value down (Learn then Test, arXiv 2110.01052): the first that fails
        ends it, so no correction for many tests is due.
        """
        allowed = (floor - 1.0) * self.alone[reference][1]
        found = None
        for value, (mean, error) in sorted(zip(self.value, self.shortfall[reference]), reverse=True):
            if mean - confidence_z * error < allowed:
                break
            found = value
        return found

    def to_config(self) -> dict[str, Any]:
        return {
            "value": list(self.value),
            "cost": list(self.cost),
            "quality": list(self.quality),
            "advantage": list(self.advantage),
            "shortfall": {n: [list(x) for x in pairs] for n, pairs in self.shortfall.items()},
            "alone": {k: list(v) for k, v in self.alone.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Curve:
        return cls(
            tuple(config["value"]),
            tuple(config["cost"]),
            tuple(config["quality"]),
            tuple(config["advantage"]),
            {n: tuple((a, b) for a, b in pairs) for n, pairs in config["shortfall"].items()},
            {k: (v[0], v[1]) for k, v in config["alone"].items()},
        )


class Pacer:
    """Holds an average budget: raises or lowers the value of a good answer as spending runs under or over.

    The log of the factor is the budget left over so far, in budgets of ``horizon`` queries: dual ascent on the budget
    constraint. What is not spent early can be spent later, and a lasting misfit costs a few dozen budgets once rather
    than a share of every one. The state is two sums; a lock is all that concurrency needs.
    """

    def __init__(self, budget: float, *, horizon: float = 30.0) -> None:
        self.budget, self.horizon = budget, horizon
        self.spent, self.queries = 0.0, 0
        self._lock = threading.Lock()

    def factor(self) -> float:
        """By what to multiply the value now."""
        with self._lock:
            left = self.queries * self.budget - self.spent
        return float(np.exp(np.clip(left / (self.horizon * self.budget), -7.0, 7.0)))

    def settle(self, cost_usd: float) -> None:
        with self._lock:
            self.spent += cost_usd
            self.queries += 1


class TradeOff:
    """Turns objectives into terms, for one pool."""

    def __init__(self, pool: Pool, curve: Curve | None = None) -> None:
        self.pool, self.curve = pool, curve
        self._pacers: dict[float, Pacer] = {}
        self._lock = threading.Lock()

    def terms(self, objective: Objective, prompt_tokens: int = 750) -> Terms:
        reference = objective.reference or self.pool.dearest()
        if objective.usd_value is not None:
            return self._guarded(Terms(objective.usd_value, reference=reference))
        if objective.usd_per_query is not None:
            budget = objective.usd_per_query
            start = self.curve.value_for_budget(budget) if self.curve else UNPACED_VALUE * budget
            return Terms(start * self._pacer(budget).factor(), reference=reference)
        assert objective.quality_floor is not None
        if self.curve is not None and reference in self.curve.shortfall:
            value = self.curve.value_for_floor(objective.quality_floor, reference)
            if value is None:  # no policy is known to keep the floor: serve the reference
                return Terms(self.curve.value[-1], reference=reference, only=(reference,))
            return Terms(value, reference=reference)
        call = self.pool.price(reference).cost(Usage(max(prompt_tokens, 100), 250))
        return Terms(FLOOR_VALUE * max(call, 1e-9), objective.quality_floor, reference)

    def _guarded(self, terms: Terms) -> Terms:
        """Never worse than the best single model: deviate from it only where paired evidence says that it pays."""
        curve = self.curve
        if curve is None:
            return terms
        i = int(np.abs(np.log(np.array(curve.value)) - np.log(terms.value)).argmin())
        if curve.advantage[i] >= 0.0:
            return terms
        best = max(curve.alone, key=lambda n: terms.value * curve.alone[n][1] - curve.alone[n][0])
        return Terms(terms.value, terms.floor, terms.reference, only=(best,))

    def settle(self, objective: Objective, cost_usd: float) -> None:
        """Tell the pacer what a query cost."""
        if objective.usd_per_query is not None:
            self._pacer(objective.usd_per_query).settle(cost_usd)

    def _pacer(self, budget: float) -> Pacer:
        with self._lock:
            return self._pacers.setdefault(budget, Pacer(budget))
