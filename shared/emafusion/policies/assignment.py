"""A batch under one budget: which query goes to which candidate, so that the expected quality is highest.

    maximise  sum_ij quality_ij x_ij   with  sum_ij cost_ij x_ij <= budget,  sum_j x_ij <= 1,  x_ij in {0, 1}

(OptLLM, arXiv 2405.15130, poses the problem; it is the multiple-choice knapsack.) The linear relaxation splits one
query at most, for there is but one constraint beside the queries' own. That query is left out, and what it leaves over
goes into the exchanges that fit, those first that gain most for their price. Batches that are not large are also given
to the integer programme, and the better of both is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, IntArray

__all__ = ["NOBODY", "assign"]

NOBODY = -1
EXACT = 5000
"""Pairs of query and candidate up to which the integer programme is tried."""
SECONDS = 2.0
"""For the integer programme; what it has found until then counts."""


def assign(quality: Array, cost: Array, budget: float, allowed: NDArray[np.bool_] | None = None) -> IntArray:
    """Choose a candidate for each query.

    Parameters
    ----------
    quality, cost : (n, m)
        Expected probability of a good answer, and expected USD, of each candidate on each query.
    budget
        USD for all together.
    allowed : bool (n, m)
        Candidates that can take the query; by default all can.

    Returns
    -------
    ndarray of int (n,)
        Column of the chosen candidate; ``NOBODY`` where the budget does not reach for all.

    Examples
    --------
    >>> assign(np.array([[0.5, 0.9], [0.8, 0.9]]), np.array([[1.0, 3.0], [1.0, 3.0]]), 4.0).tolist()
    [1, 0]
    """
    n = len(quality)
    usable = np.isfinite(quality) & np.isfinite(cost) & (True if allowed is None else allowed)
    rows, columns = np.nonzero(usable & (cost <= budget))
    if not len(rows):
        return np.full(n, NOBODY)
    q, c = quality[rows, columns], cost[rows, columns]
    chosen = _relaxed(rows, q, c, budget, n)
    if len(rows) <= EXACT:
        exact = _integer(rows, q, c, budget, n)
        if exact is not None and q[exact].sum() > q[chosen].sum():
            chosen = exact
    out = np.full(n, NOBODY)
    out[rows[chosen]] = columns[chosen]
    return out


def _programme(rows: IntArray, cost: Array, budget: float, n: int) -> tuple[object, Array]:
    """Left and right hand side: one candidate a query, one budget for all. Costs are scaled to the budget."""
    from scipy.sparse import coo_matrix

    k = len(rows)
    scale = budget if budget > 0 else 1.0
    values = np.concatenate([np.ones(k), cost / scale])
    where = (np.concatenate([rows, np.full(k, n)]), np.tile(np.arange(k), 2))
    return coo_matrix((values, where), shape=(n + 1, k)).tocsr(), np.append(np.ones(n), budget / scale)


def _integer(rows: IntArray, quality: Array, cost: Array, budget: float, n: int) -> NDArray[np.bool_] | None:
    from scipy.optimize import Bounds, LinearConstraint, milp

    left, right = _programme(rows, cost, budget, n)
    found = milp(
        -quality,
        integrality=np.ones(len(rows)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(left, -np.inf, right),
        options={"time_limit": SECONDS, "mip_rel_gap": 1e-6},
    )
    if found.x is None:
        return None
    chosen = np.asarray(found.x > 0.5)
    # Within the solver's tolerance is not within the budget.
    return chosen if cost[chosen].sum() <= budget * (1 + 1e-12) else None


def _relaxed(rows: IntArray, quality: Array, cost: Array, budget: float, n: int) -> NDArray[np.bool_]:
    from scipy.optimize import linprog

    left, right = _programme(rows, cost, budget, n)
    found = linprog(-quality, A_ub=left, b_ub=right, bounds=(0, 1), method="highs-ds")
    share = found.x if found.x is not None else np.zeros(len(rows))
    chosen = share > 1.0 - 1e-6
    at = np.full(n, NOBODY)
    at[rows[chosen]] = np.nonzero(chosen)[0]
    _fill(at, rows, quality, cost, budget)
    out = np.zeros(len(rows), dtype=bool)
    out[at[at != NOBODY]] = True
    return out


def _fill(at: IntArray, rows: IntArray, quality: Array, cost: Array, budget: float) -> None:
    """Give up what exceeds the budget, then make exchanges that fit, the best for their price first."""

    def standing() -> tuple[Array, Array]:
        some = at != NOBODY
        return np.where(some, quality[at], 0.0), np.where(some, cost[at], 0.0)

    have, paid = standing()
    while paid.sum() > budget:
        at[int(np.where(paid > 0, have / np.maximum(paid, 1e-300), np.inf).argmin())] = NOBODY
        have, paid = standing()
    while True:
        have, paid = standing()
        gain, price = quality - have[rows], cost - paid[rows]
        fits = (gain > 1e-12) & (price <= budget - paid.sum())
        if not fits.any():
            return
        best = int(np.where(fits, gain / np.maximum(price, 1e-300), -np.inf).argmax())
        at[rows[best]] = best
