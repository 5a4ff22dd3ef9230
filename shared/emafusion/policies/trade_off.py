"""From an objective in the user's terms to the terms of a policy.

``usd_value`` is direct. ``usd_per_query`` and ``quality_floor`` are looked up on the :class:`Curve` that fitting
measured out of fold; without one, a floor is kept request by request against the reference candidate's expected
quality, and a budget is found by pacing alone.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emafusion.config import Objective, Pool
from emafusion.policies.base import Terms
from emafusion.policies.pacing import Pacer
from emafusion.types import Query, Usage

__all__ = ["Curve", "TradeOff"]

UNPACED_VALUE = 30.0
"""First guess of a good answer's worth, in budgets, where no curve says better."""
FLOOR_VALUE = 100.0
"""Around which the worth of a good answer is sought under an unfitted floor, in calls of the reference candidate."""
MOST_BUDGETS = 1024
"""Budgets of which a pace is kept: a caller may give one with each request."""
EVIDENCE = 1.0
"""Standard errors by which the policy must have beaten the best single candidate."""


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
    certified : dict
        Reference candidate -> share of its quality that the policy is certain to keep, at each value
        (:mod:`emafusion.estimators.certificate`).
    alone : dict
        Candidate -> (cost, quality) when it answers everything.
    """

    value: tuple[float, ...]
    cost: tuple[float, ...]
    quality: tuple[float, ...]
    advantage: tuple[float, ...]
    certified: dict[str, tuple[float, ...]]
    alone: dict[str, tuple[float, float]]

    def value_for_budget(self, usd: float) -> float:
        """Value at which the policy spends ``usd`` a query: interpolated in log cost."""
        cost = np.maximum.accumulate(np.array(self.cost))
        log_cost = np.log(np.maximum(cost, 1e-12)) + 1e-9 * np.arange(len(cost))
        return float(np.exp(np.interp(np.log(usd), log_cost, np.log(self.value))))

    def cost_at(self, value: float) -> float:
        """USD a query that the policy spends at a value: interpolated in logarithms."""
        cost = np.log(np.maximum(np.array(self.cost), 1e-12))
        return float(np.exp(np.interp(np.log(value), np.log(self.value), cost)))

    def value_for_floor(self, floor: float, reference: str) -> float | None:
        """Least value that is certified to keep ``floor`` times the reference's quality; None if none is.

        Fixed-sequence testing from the highest value down (Learn then Test, arXiv 2110.01052): the first that fails
        ends it, so no correction for many tests is due.
        """
        found = None
        for value, share in sorted(zip(self.value, self.certified[reference]), reverse=True):
            if share < floor:
                break
            found = value
        return found

    def to_config(self) -> dict[str, Any]:
        return {
            "value": list(self.value),
            "cost": list(self.cost),
            "quality": list(self.quality),
            "advantage": list(self.advantage),
            "certified": {n: list(shares) for n, shares in self.certified.items()},
            "alone": {k: list(v) for k, v in self.alone.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Curve:
        return cls(
            tuple(config["value"]),
            tuple(config["cost"]),
            tuple(config["quality"]),
            tuple(config["advantage"]),
            {n: tuple(shares) for n, shares in config["certified"].items()},
            {k: (v[0], v[1]) for k, v in config["alone"].items()},
        )


class TradeOff:
    """Turns objectives into terms, for one pool; the pace of budgets goes on from the one ``before``."""

    def __init__(self, pool: Pool, curve: Curve | None = None, *, before: TradeOff | None = None) -> None:
        self.pool, self.curve = pool, curve
        self._pacers: dict[float, Pacer] = {} if before is None else dict(before._pacers)
        self._floors: dict[tuple[float, str], Terms] = {}
        self._lock = threading.Lock()

    def terms(self, objective: Objective, prompt_tokens: int = 750) -> Terms:
        reference = objective.reference or self.pool.dearest
        if objective.usd_value is not None:
            return self._guarded(Terms(objective.usd_value, reference=reference))
        if objective.usd_per_query is not None:
            budget = objective.usd_per_query
            start = self.curve.value_for_budget(budget) if self.curve else UNPACED_VALUE * budget
            pacer = self._pacer(budget)
            terms = Terms(start * pacer.factor(), reference=reference, allowance=pacer.allowance())
            return self._within(budget, terms)
        assert objective.quality_floor is not None
        if self.curve is not None and reference in self.curve.certified:
            key = objective.quality_floor, reference
            if key not in self._floors:
                self._floors[key] = self._certified(self.curve, *key)
            return self._floors[key]
        call = self.pool.price(reference).cost(Usage(max(prompt_tokens, 100), 250))
        return Terms(FLOOR_VALUE * max(call, 1e-9), objective.quality_floor, reference)

    @staticmethod
    def _certified(curve: Curve, floor: float, reference: str) -> Terms:
        value = curve.value_for_floor(floor, reference)
        if value is None or curve.cost_at(value) >= curve.alone[reference][0]:
            # No policy is known to keep the floor, or to do it for less than the reference itself.
            return Terms(curve.value[-1], reference=reference, only=(reference,))
        return Terms(value, reference=reference)

    def _guarded(self, terms: Terms) -> Terms:
        """Never worse than the best single model: deviate from it only where paired evidence says that it pays."""
        curve = self.curve
        if curve is None:
            return terms
        i = int(np.abs(np.log(np.array(curve.value)) - np.log(terms.value)).argmin())
        if curve.advantage[i] >= EVIDENCE:
            return terms
        return self._single(terms, list(curve.alone))

    def _within(self, budget: float, terms: Terms) -> Terms:
        """The best single model that a budget affords, where it did better than the policy on that budget."""
        curve = self.curve
        affordable = [] if curve is None else [n for n in curve.alone if curve.alone[n][0] <= budget]
        if curve is None or not affordable:
            return terms
        quality = np.interp(np.log(curve.value_for_budget(budget)), np.log(curve.value), curve.quality)
        if quality >= max(curve.alone[n][1] for n in affordable):
            return terms
        return self._single(terms, affordable)

    def _single(self, terms: Terms, among: list[str]) -> Terms:
        """The same terms, confined to the best constant choice of the pool among these candidates."""
        alone = {n: self.curve.alone[n] for n in among if n in self.pool} if self.curve else {}
        if not alone:
            return terms
        best = max(alone, key=lambda n: terms.value * alone[n][1] - alone[n][0])
        return replace(terms, only=(best,))

    def begin(self, objective: Objective, query: Query) -> None:
        """Tell the pacer that a query is under way, so that it knows how late :meth:`settle` comes."""
        if objective.usd_per_query is not None:
            self._pacer(objective.usd_per_query).begin(id(query))

    def settle(self, objective: Objective, cost_usd: float, query: Query | None = None) -> None:
        """Tell the pacer what a query cost."""
        if objective.usd_per_query is not None:
            self._pacer(objective.usd_per_query).settle(cost_usd, None if query is None else id(query))

    def _pacer(self, budget: float) -> Pacer:
        with self._lock:
            pacer = self._pacers.pop(budget, None) or Pacer(budget)
            self._pacers[budget] = pacer  # last again: what goes first is what was not used for longest
            while len(self._pacers) > MOST_BUDGETS:
                del self._pacers[next(iter(self._pacers))]
            return pacer
