"""Metrics under which other papers report routers, as pure functions; costs in USD a query, scores in [0, 1].

RouteLLM's and AutoMix's are about a weak and a strong candidate, each given as (cost, quality) when it answers all.
"""

from __future__ import annotations

from math import log2
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emafusion.evaluation.metrics import area_under_frontier, cost_at_quality

__all__ = [
    "arena_score",
    "average_gap_recovered",
    "call_threshold",
    "cost_save",
    "incremental_benefit",
    "incremental_benefit_lift",
    "performance_gain",
    "regret",
]

Array = NDArray[np.float64]
Alone: TypeAlias = tuple[float, float]

ARENA_DEAREST, ARENA_CHEAPEST, ARENA_WEIGHT = 200.0, 0.0044, 0.1
"""RouterArena's range of costs, USD per 1,000 queries, and its weight of cost against accuracy."""


def average_gap_recovered(cost: ArrayLike, quality: ArrayLike, weak: Alone, strong: Alone) -> float | None:
    """APGR: mean share of the quality gap between weak and strong that is recovered (RouteLLM, arXiv 2406.18665).

    RouteLLM averages over the share of calls to the strong model. With many candidates that is the share of the way
    from the weak one's cost to the strong one's, which is the same where only these two are mixed. A router can always
    send everything to either, so both belong to its points: mixing them at random scores one half. None where the
    strong one is not both dearer and better.

    Examples
    --------
    >>> round(average_gap_recovered([], [], (1.0, 0.5), (3.0, 0.9)), 6)
    0.5
    >>> round(average_gap_recovered([2.0], [0.9], (1.0, 0.5), (3.0, 0.9)), 6)
    0.75
    """
    if strong[0] <= weak[0] or strong[1] <= weak[1]:
        return None
    area = area_under_frontier(*_with_ends(cost, quality, weak, strong), weak[0], strong[0])
    return (area - weak[1]) / (strong[1] - weak[1])


def call_threshold(cost: ArrayLike, quality: ArrayLike, weak: Alone, strong: Alone, share: float) -> float | None:
    """CPT(share): least share of the way from the weak one's cost to the strong one's that recovers so much of the gap.

    RouteLLM's call-performance threshold (arXiv 2406.18665), with cost in place of calls as in
    :func:`average_gap_recovered`. Mixing the two at random needs ``share`` itself; under 0 is cheaper than the weak.

    Examples
    --------
    >>> call_threshold([2.0], [0.9], (1.0, 0.5), (3.0, 0.9), 0.5)
    0.25
    """
    if strong[0] <= weak[0] or strong[1] <= weak[1]:
        return None
    target = weak[1] + share * (strong[1] - weak[1])
    found = cost_at_quality(*_with_ends(cost, quality, weak, strong), target)
    return None if found is None else (found - weak[0]) / (strong[0] - weak[0])


def _with_ends(cost: ArrayLike, quality: ArrayLike, weak: Alone, strong: Alone) -> tuple[Array, Array]:
    c, q = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    return np.append(c, [weak[0], strong[0]]), np.append(q, [weak[1], strong[1]])


def incremental_benefit(cost: float, quality: float, weak: Alone) -> float | None:
    """IBC: quality gained over the weak candidate for each dollar spent beyond it (AutoMix, arXiv 2310.12963).

    None at or below the weak candidate's cost, where it means nothing.

    Examples
    --------
    >>> incremental_benefit(3.0, 0.75, (1.0, 0.5))
    0.125
    """
    return None if cost <= weak[0] else (quality - weak[1]) / (cost - weak[0])


def incremental_benefit_lift(cost: float, quality: float, weak: Alone, strong: Alone) -> float | None:
    """Delta-IBC: lift of IBC over the weak-strong line, in per cent (AutoMix, arXiv 2310.12963).

    Compares :func:`incremental_benefit` with that of going to the strong one. Warning: it explodes for a cost close to
    the weak one's, where a sliver of money divides the gain, and changes sign below it. Good for a look at one point in
    the middle, never for a headline or an average over points.

    Examples
    --------
    >>> round(incremental_benefit_lift(2.0, 0.9, (1.0, 0.5), (3.0, 0.9)), 6)
    100.0
    """
    if strong[0] <= weak[0] or strong[1] <= weak[1] or cost <= weak[0]:
        return None
    base, mine = incremental_benefit(*strong, weak), incremental_benefit(cost, quality, weak)
    return None if base is None or mine is None else 100.0 * (mine - base) / base


def arena_score(cost: float, quality: float) -> float:
    """RouterArena's score (arXiv 2510.00202): accuracy A and cost C in one, ``(1 + b) A C / (b A + C)``, b = 0.1.

    ``C = (log2 200 - log2 c) / (log2 200 - log2 0.0044)`` with c in USD per 1,000 queries, held within [0, 1].

    Examples
    --------
    >>> arena_score(0.0044 / 1000, 0.8) == 1.1 * 0.8 / (0.1 * 0.8 + 1.0)
    True
    >>> arena_score(0.2, 0.8)
    0.0
    """
    per_thousand = min(max(1000.0 * cost, ARENA_CHEAPEST), ARENA_DEAREST)
    cheap = (log2(ARENA_DEAREST) - log2(per_thousand)) / (log2(ARENA_DEAREST) - log2(ARENA_CHEAPEST))
    below = ARENA_WEIGHT * quality + cheap
    return (1.0 + ARENA_WEIGHT) * quality * cheap / below if below > 0 else 0.0


def performance_gain(quality: ArrayLike, single: float) -> float | None:
    """PerfGain: gain of the best point over the best single candidate, per cent (LLMRouterBench, arXiv 2601.07206).

    Examples
    --------
    >>> performance_gain([0.5, 0.75], 0.5)
    50.0
    """
    return 100.0 * (float(np.max(quality)) - single) / single if single > 0 else None


def cost_save(cost: ArrayLike, quality: ArrayLike, single: Alone) -> float | None:
    """CostSave: per cent of the best single candidate's cost that is saved at its quality (LLMRouterBench).

    Read off the frontier; None where its quality is never reached.

    Examples
    --------
    >>> cost_save([1.0, 3.0], [0.5, 1.0], (4.0, 0.75))
    50.0
    """
    found = cost_at_quality(cost, quality, single[1])
    return None if found is None or single[0] <= 0 else 100.0 * (1.0 - found / single[0])


def regret(cost: ArrayLike, quality: ArrayLike, oracle_cost: Array, oracle_quality: Array, values: Array) -> Array:
    """(k,) USD a query that a method's utility, value times quality less cost, stays behind the oracle's at each value.

    Parameters
    ----------
    cost, quality : (k,) or (1,)
        The method's points at these values; one point stands for all of them.

    Examples
    --------
    >>> regret([1.0], [0.5], np.array([0.5, 1.0]), np.array([1.0, 1.0]), np.array([2.0, 4.0])).tolist()
    [1.5, 2.0]
    """
    mine = values * np.asarray(quality, dtype=np.float64) - np.asarray(cost, dtype=np.float64)
    return np.asarray(values * oracle_quality - oracle_cost - mine)
