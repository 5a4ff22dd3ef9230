"""Fitting AutoMix on a log: the chain, what verifications show, the POMDP's table, the threshold router's ladders.

What the routers cost and earn at each value of a good answer is measured out of fold, so all three objectives are
translated as for the default policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import combinations, pairwise
from typing import Literal

import numpy as np

from emafusion.errors import LogError
from emafusion.estimators.beliefs import Array
from emafusion.estimators.pomdp import solve_at_points
from emafusion.estimators.solvability import Solvability
from emafusion.learning.automix_walk import Verified, Walk, walk
from emafusion.learning.curves import curve_of
from emafusion.policies.automix import KINDS, AutoMix, Kind, Ladder
from emafusion.policies.trade_off import Curve

__all__ = ["automix_rules", "fit_automix", "value_grid"]

LONGEST_CHAIN = 6
LONGEST_LADDER = 3
LEAST_ROWS = 40
"""Queries that all candidates of the chain must have answered."""
ENOUGH = 0.2
"""Share of the log that must hold them all."""
FOLDS = 4
GRID = 13


def fit_automix(
    names: Sequence[str],
    log: Verified,
    *,
    observed: Literal["verification", "answer"] = "verification",
    kind: Kind = "pomdp",
    values: Array | None = None,
    seed: int = 0,
) -> AutoMix:
    """Fit both routers, and measure them out of fold.

    Parameters
    ----------
    names
        Candidates of the log's columns.
    values
        USD that a good answer may be worth; by default from a third of the cheapest call to far above the dearest.

    Raises
    ------
    LogError
        If fewer than 40 queries were answered, with scores, by a chain of candidates.
    """
    grid = value_grid(log) if values is None else values
    rules = automix_rules(names, log, grid, observed=observed, kind=kind, seed=seed)
    fold = np.random.default_rng(seed).permutation(len(log)) % FOLDS
    runs: dict[Kind, list[list[Walk]]] = {each: [] for each in KINDS}
    order = []
    for f in range(FOLDS):
        held_out = np.nonzero(fold == f)[0]
        apart = automix_rules(names, log.take(np.nonzero(fold != f)[0]), grid, observed=observed, seed=seed)
        order.append(held_out)
        for each in KINDS:
            runs[each].append([walk(apart, names, log.take(held_out), float(v), each) for v in grid])
    part = log.take(np.concatenate(order))
    curves: dict[str, Curve] = {}
    for each in KINDS:
        by_value = [_joined([runs[each][f][k] for f in range(FOLDS)]) for k in range(len(grid))]
        curves[each] = curve_of(names, grid, by_value, part.score, part.cost, seed=seed)
    return replace(rules, curves=curves)


def automix_rules(
    names: Sequence[str],
    log: Verified,
    values: Array,
    *,
    observed: Literal["verification", "answer"] = "verification",
    kind: Kind = "pomdp",
    seed: int = 0,
) -> AutoMix:
    """Fit both routers; without curves."""
    chain = _chain(log)
    rows = np.nonzero(log.available[:, chain].all(1))[0]
    if len(rows) < LEAST_ROWS:
        raise LogError(
            f"AutoMix needs at least {LEAST_ROWS} queries with scores of all of {', '.join(names[j] for j in chain)}, "
            f"and the log has {len(rows)}"
        )
    part = log.columns(chain).take(rows)
    paid = np.array(
        [part.verification_cost[v, j].mean() if (v := part.verified[:, j]).any() else 0.0 for j in range(len(chain))]
    )
    solvability = Solvability.fit(
        tuple(names[j] for j in chain), part.score, part.cost, part.confidence, part.verified, paid
    )
    plans = solve_at_points(solvability.process(), [float(v) for v in values], solvability.prior, seed=seed)
    ladders = _ladders(solvability, part, values)
    return AutoMix(solvability, plans, ladders, {}, observed, kind)


def value_grid(log: Verified, grid: int = GRID) -> Array:
    """Values of a good answer over which the trade-off turns."""
    mean = np.array([log.cost[a, j].mean() for j in range(log.cost.shape[1]) if (a := log.available[:, j]).any()])
    mean = mean[mean > 0]
    if not len(mean):
        raise LogError("no candidate of the log costs anything: there is no trade-off to fit")
    return np.geomspace(0.3 * mean.min(), 300.0 * mean.max(), grid)


def _chain(log: Verified) -> list[int]:
    """Columns of the candidates worth asking in turn: each better on average than all cheaper ones."""
    known = log.available
    columns = [j for j in range(known.shape[1]) if known[:, j].mean() >= ENOUGH]
    quality = {j: float(log.score[known[:, j], j].mean()) for j in columns}
    cost = {j: float(log.cost[known[:, j], j].mean()) for j in columns}
    chain: list[int] = []
    for j in sorted(columns, key=lambda j: (cost[j], -quality[j])):
        if not chain or quality[j] > quality[chain[-1]]:
            chain.append(j)
    # The states, and so the table, grow with the chain: steps that hardly lead upwards are left out.
    while len(chain) > LONGEST_CHAIN:
        gains = [quality[b] - quality[a] for a, b in pairwise(chain[:-1])]
        chain.pop(1 + int(np.argmin(gains)))
    while len(chain) > 1 and known[:, chain].all(1).mean() < ENOUGH:
        chain.remove(min(chain, key=lambda j: known[:, j].mean()))
    return chain


# -- the threshold router ----------------------------------------------------------------------------------------


def _ladders(model: Solvability, part: Verified, values: Array) -> tuple[Ladder, ...]:
    """The ladder of most value less cost on the log, verification included, for each value."""
    options: list[tuple[tuple[int, ...], tuple[float, ...]]] = []
    quality, cost = [], []
    n = len(model.candidates)
    confidence = np.where(np.isnan(part.confidence), -np.inf, part.confidence)
    for length in range(1, min(n, LONGEST_LADDER) + 1):
        for candidates in combinations(range(n), length):
            # Candidates that were never verified cannot be held to a threshold.
            if not all(part.verified[:, j].any() for j in candidates[:-1]):
                continue
            for thresholds in _thresholds([model.edges[j] for j in candidates[:-1]]):
                score, spent = part.score[:, candidates[-1]].copy(), part.cost[:, candidates[-1]].copy()
                for j, limit in zip(candidates[-2::-1], thresholds[::-1]):
                    keep = confidence[:, j] >= limit
                    score = np.where(keep, part.score[:, j], score)
                    spent = part.cost[:, j] + model.verification_cost[j] + np.where(keep, 0.0, spent)
                options.append((candidates, thresholds))
                quality.append(float(score.mean()))
                cost.append(float(spent.mean()))
    worth = values[:, None] * np.array(quality) - np.array(cost)
    return tuple(Ladder(float(v), *options[int(k)]) for v, k in zip(values, worth.argmax(1)))


def _thresholds(edges: Sequence[Array]) -> list[tuple[float, ...]]:
    """Every combination of the bins' edges."""
    out: list[tuple[float, ...]] = [()]
    for each in edges:
        out = [(*head, float(limit)) for head in out for limit in each]
    return out


def _joined(walks: Sequence[Walk]) -> Walk:
    return Walk(**{f.name: np.concatenate([getattr(w, f.name) for w in walks]) for f in fields(Walk)})
