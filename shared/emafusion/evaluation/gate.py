"""The promotion gate: does a newly learned policy earn more on the stored traffic than the one that serves?

It is promoted only where the lower bound of the difference is above zero; else it stays in shadow. The bound holds at
any number of decisions, so the gate may be asked after every one of them: over its whole life a policy that is no
better is promoted with probability at most 0.05, as long as all looks begin with the same decision. A policy must not
be judged on decisions that it was fitted on: give those that came after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from emafusion.config import Objective
from emafusion.errors import ConfigError
from emafusion.evaluation.direct_model import Array, Predictions
from emafusion.evaluation.first_moves import FirstMoves, RouterPolicy, StoredDecision
from emafusion.evaluation.logged_decisions import LoggedDecisions
from emafusion.evaluation.off_policy import DELTA, Estimate, difference, value_of

__all__ = ["CategoryComparison", "Comparison", "compare", "judge_difference"]

FEWEST_IN_CATEGORY = 30
"""Decisions of a category that are shown by themselves."""
PROMISING = 1.0
"""Standard errors above zero from which more decisions are forecast to help."""
SILENT: Callable[[float], None] = lambda done: None  # noqa: E731


@dataclass(frozen=True)
class CategoryComparison:
    """The difference within one category: doubly robust, with its standard error; for people, it decides nothing."""

    category: str
    decisions: int
    agreement: float
    difference: float
    standard_error: float


@dataclass(frozen=True)
class Comparison:
    """What the gate found.

    Attributes
    ----------
    difference
        What the candidate policy earns more, in good answers a decision; ``lower`` decides.
    quality, cost
        Of that difference, the part that is quality, and the part that is cost (positive: it spends more).
    candidate_value, incumbent_value
        What each earns by itself.
    value_usd
        What a good answer is worth, on average over the decisions.
    agreement
        Share of decisions on which both ask the same candidate first.
    left_out
        Reason -> decisions that could not be used.
    """

    candidate: str
    incumbent: str
    difference: Estimate
    quality: float
    cost: float
    candidate_value: Estimate
    incumbent_value: Estimate
    value_usd: float
    agreement: float
    left_out: Mapping[str, int]
    categories: tuple[CategoryComparison, ...]
    verdict: Literal["promote", "shadow"]
    reason: str

    @property
    def passes(self) -> bool:
        return self.verdict == "promote"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "candidate": self.candidate,
            "incumbent": self.incumbent,
            "verdict": self.verdict,
            "reason": self.reason,
            "decisions": self.difference.decisions,
            "known": self.difference.known,
            "agreement": self.agreement,
            "value_usd": self.value_usd,
            "difference": self.difference.as_dict(),
            "quality": self.quality,
            "cost": self.cost,
            "candidate_value": self.candidate_value.as_dict(),
            "incumbent_value": self.incumbent_value.as_dict(),
            "left_out": dict(self.left_out),
            "categories": [{k: getattr(c, k) for k in c.__dataclass_fields__} for c in self.categories],
        }


@dataclass(frozen=True)
class _Usable:
    """One decision, as far as the comparison goes."""

    decision: StoredDecision
    candidate: str
    incumbent: str
    value_usd: float


def compare(
    decisions: Iterable[StoredDecision],
    candidate: RouterPolicy,
    incumbent: FirstMoves,
    *,
    objective: Objective | None = None,
    delta: float = DELTA,
    progress: Callable[[float], None] = SILENT,
) -> Comparison:
    """Compare two policies on stored decisions, oldest first, none of which the candidate was fitted on.

    Parameters
    ----------
    decisions
        As :meth:`Store.decisions` reads them back. Those without recorded propensities (nothing was chosen: a tool
        loop) or that a policy cannot be asked about are left out and counted. Of those without text that is a router
        which neither served then nor waited in shadow.
    objective
        By default each decision's own.
    progress
        Called with the number of decisions that were looked at.

    Raises
    ------
    ConfigError
        If no decision can be used; says why.
    """
    left_out: Counter[str] = Counter()
    usable = []
    valued = incumbent if isinstance(incumbent, RouterPolicy) else candidate
    for number, decision in enumerate(decisions, 1):
        found = _usable(decision, candidate, incumbent, valued, objective)
        if isinstance(found, str):
            left_out[found] += 1
        else:
            usable.append(found)
        progress(number)
    if not usable:
        why = "; ".join(f"{count} {reason}" for reason, count in left_out.most_common()) or "there are none"
        raise ConfigError(f"the gate has no decision to compare the policies on: {why}")
    logged, mine, theirs = _arrays(usable)
    categories = [str(u.decision["category"]) for u in usable]
    value = float(np.mean([u.value_usd for u in usable]))
    return judge_difference(
        logged,
        mine,
        theirs,
        names=(candidate.id, incumbent.id),
        categories=categories,
        value_usd=value,
        left_out=left_out,
        delta=delta,
    )


def _usable(
    decision: StoredDecision,
    candidate: FirstMoves,
    incumbent: FirstMoves,
    valued: RouterPolicy,
    objective: Objective | None,
) -> _Usable | str:
    """The decision with both first moves, or why it cannot be used."""
    chances, first = decision.get("propensities"), decision.get("first")
    if not chances or not first or not chances.get(first[0]):
        return "made no recorded choice"
    wanted = objective or Objective(**decision["objective"])
    theirs = incumbent.first(decision, wanted)
    if theirs is None:
        return _unanswerable(decision, wanted, incumbent.id, "the incumbent")
    mine = candidate.first(decision, wanted)
    if mine is None:
        return _unanswerable(decision, wanted, candidate.id, "the candidate")
    return _Usable(decision, mine, theirs, valued.value_usd(decision, wanted))


def _unanswerable(decision: StoredDecision, wanted: Objective, id: str, which: str) -> str:
    if decision["text"] is not None:
        return f"not answerable for {which}"
    if Objective(**decision["objective"]) != wanted:
        return "kept without text, and so to be judged by its own objective alone"
    return f"kept without text, when {id} neither served nor waited in shadow"


def _arrays(usable: list[_Usable]) -> tuple[LoggedDecisions, Array, Array]:
    """The decisions, and what each policy does with them, over all candidates that occur."""
    names = sorted({n for u in usable for n in (*u.decision["propensities"], u.candidate, u.incumbent)})
    column = {name: j for j, name in enumerate(names)}
    shape = len(usable), len(names)
    propensity, expected = np.zeros(shape), np.full((2, *shape), np.nan)
    mine, theirs = np.zeros(shape), np.zeros(shape)
    for i, u in enumerate(usable):
        for name, chance in u.decision["propensities"].items():
            propensity[i, column[name]] = chance
        for name, row in u.decision["forecast"].items():
            if name in column:
                expected[:, i, column[name]] = row["p_good"], row["cost_usd"] / u.value_usd
        mine[i, column[u.candidate]] = theirs[i, column[u.incumbent]] = 1.0
    truth = [u.decision["feedback"] for u in usable]
    logged = LoggedDecisions(
        action=np.array([column[u.decision["first"][0]] for u in usable]),
        propensity=propensity / np.maximum(propensity.sum(1, keepdims=True), 1.0),
        quality=np.array([np.nan if t is None else t for t in truth]),
        confidence=np.array([u.decision["confidence"] for u in usable]),
        cost=np.array([u.decision["cost_usd"] / u.value_usd for u in usable]),
        expected_quality=expected[0],
        expected_cost=expected[1],
    )
    return logged, mine, theirs


def judge_difference(
    logged: LoggedDecisions,
    candidate: Array,
    incumbent: Array,
    *,
    names: tuple[str, str] = ("candidate", "incumbent"),
    categories: list[str] | None = None,
    value_usd: float = float("nan"),
    left_out: Mapping[str, int] | None = None,
    delta: float = DELTA,
) -> Comparison:
    """:func:`compare` on arrays: the first moves of both policies (n, m) on logged decisions."""
    predictions = logged.predictions()
    found = difference(logged, candidate, incumbent, predictions=predictions, delta=delta)
    free = replace(logged, cost=np.zeros(len(logged)), expected_cost=np.zeros_like(logged.expected_cost))
    without_cost = Predictions(predictions.quality, np.zeros_like(predictions.cost), predictions.judged)
    quality = difference(free, candidate, incumbent, predictions=without_cost, delta=delta).value
    same = (candidate * incumbent).sum(1)
    verdict, reason = _verdict(found, float(same.mean()), names[1], 1.0 - delta)
    return Comparison(
        candidate=names[0],
        incumbent=names[1],
        difference=found,
        quality=quality,
        cost=quality - found.value,
        candidate_value=value_of(logged, candidate, predictions=predictions, delta=delta),
        incumbent_value=value_of(logged, incumbent, predictions=predictions, delta=delta),
        value_usd=value_usd,
        agreement=float(same.mean()),
        left_out=dict(left_out or {}),
        categories=_by_category(logged, predictions, candidate, incumbent, categories or []),
        verdict=verdict,
        reason=reason,
    )


def _verdict(
    found: Estimate, agreement: float, incumbent: str, sureness: float
) -> tuple[Literal["promote", "shadow"], str]:
    points = f"{100 * found.value:+.2f} points a decision against {incumbent}"
    if found.lower > 0:
        return "promote", f"{points}, and at least {100 * found.lower:+.2f} with probability {sureness:g}"
    if agreement == 1.0:
        return "shadow", f"it asks the same candidate first as {incumbent} in all {found.decisions} decisions"
    if not found.known:
        return "shadow", "no decision's true quality is known: give feedback, or let audits run"
    reason = f"{points}, but only certain to be above {100 * found.lower:+.2f}"
    if found.supported < 1.0:
        reason += f"; {100 * (1 - found.supported):.0f} % of the first moves in question are never explored"
    if found.value > PROMISING * found.standard_error:
        # The bound's distance shrinks with the root of the number of decisions.
        needed = found.decisions * ((found.value - found.lower) / found.value) ** 2
        reason += f"; if the estimate holds, about {_rounded(needed)} decisions would show it"
    return "shadow", reason


def _rounded(count: float) -> str:
    digits = max(len(str(int(count))) - 2, 0)
    return f"{round(int(count), -digits):,}"


def _by_category(
    logged: LoggedDecisions, predictions: Predictions, candidate: Array, incumbent: Array, categories: list[str]
) -> tuple[CategoryComparison, ...]:
    found = []
    for category, count in Counter(categories).most_common():
        if count < FEWEST_IN_CATEGORY:
            break
        rows = np.array([i for i, c in enumerate(categories) if c == category])
        part = Predictions(predictions.quality[rows], predictions.cost[rows], predictions.judged[rows])
        mine, theirs = candidate[rows], incumbent[rows]
        here = difference(logged.take(rows), mine, theirs, predictions=part)
        same = float((mine * theirs).sum(1).mean())
        found.append(CategoryComparison(category, count, same, here.value, here.standard_error))
    return tuple(found)
