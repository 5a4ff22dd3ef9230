"""A policy's curve of cost and quality, from simulated runs over a grid of values of a good answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from emafusion.estimators.beliefs import Array
from emafusion.estimators.certificate import certified_share
from emafusion.policies.trade_off import Curve

__all__ = ["Played", "curve_of"]

ENOUGH = 0.8
"""Share of the queries that a candidate must have answered to be the best single one."""


class Played(Protocol):
    """What a policy did: score (n,), NaN where unknown, and USD spent (n,) on each query."""

    @property
    def score(self) -> Array: ...

    @property
    def cost(self) -> Array: ...


def curve_of(
    candidates: Sequence[str], values: Array, runs: Sequence[Played], score: Array, cost: Array, *, seed: int = 0
) -> Curve:
    """Measure runs, one for each of ``values`` (k,).

    Parameters
    ----------
    score, cost : (n, m)
        Of the candidates on the same queries; NaN where unknown.
    """
    known = ~np.isnan(score) & ~np.isnan(cost)
    alone = {
        name: (float(cost[known[:, j], j].mean()), float(score[known[:, j], j].mean()))
        for j, name in enumerate(candidates)
        if known[:, j].any()
    }
    certified = {
        name: tuple(certified_share(run.score, score[:, candidates.index(name)], seed=seed) for run in runs)
        for name in alone
    }
    enough = known.mean(0) > ENOUGH
    return Curve(
        value=tuple(values.tolist()),
        cost=tuple(np.maximum.accumulate([float(run.cost.mean()) for run in runs]).tolist()),
        quality=tuple(float(np.nanmean(run.score)) for run in runs),
        advantage=tuple(_advantage(run, v * score[:, enough] - cost[:, enough], v) for run, v in zip(runs, values)),
        certified=certified,
        alone=alone,
    )


def _advantage(run: Played, constant: Array, value: float) -> float:
    """Utility of a run over the best constant choice (n, c), in standard errors of the paired difference."""
    counts = (~np.isnan(constant)).sum(0)
    if not len(counts) or not counts.any():
        return float("inf")
    mean = np.where(counts > 0, np.nansum(constant, 0) / np.maximum(counts, 1), -np.inf)
    gap = value * run.score - run.cost - constant[:, int(mean.argmax())]
    gap = gap[~np.isnan(gap)]
    error = gap.std() / np.sqrt(max(len(gap), 1)) if len(gap) else 0.0
    return float(gap.mean() / error) if error > 0 else 0.0
