"""A batch under one budget: the best assignment, never beyond the budget."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emafusion.estimators.beliefs import Array, IntArray
from emafusion.policies import assignment
from emafusion.policies.assignment import NOBODY, assign

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 3))


@st.composite
def batches(draw: st.DrawFn) -> tuple[Array, Array, float]:
    shape = draw(SHAPES)
    quality = draw(arrays(np.float64, shape, elements=st.integers(1, 100).map(lambda i: i / 100)))
    cost = draw(arrays(np.float64, shape, elements=st.integers(1, 500).map(lambda i: i / 500)))
    return quality, cost, draw(st.floats(0.001, 3.0))


def worth(quality: Array, cost: Array, chosen: IntArray) -> tuple[float, float]:
    some = np.nonzero(chosen != NOBODY)[0]
    return float(quality[some, chosen[some]].sum()), float(cost[some, chosen[some]].sum())


def best(quality: Array, cost: Array, budget: float) -> float:
    """By trying every assignment."""
    n, m = quality.shape
    tried = (worth(quality, cost, np.array(c)) for c in product(range(NOBODY, m), repeat=n))
    return max(q for q, c in tried if c <= budget)


def greedy(quality: Array, cost: Array, budget: float) -> float:
    """Everybody's cheapest, then the exchange that gains most for its price, as long as one fits."""
    n, _ = quality.shape
    chosen = np.full(n, NOBODY)
    while True:
        have = np.array([quality[i, j] if j != NOBODY else 0.0 for i, j in enumerate(chosen)])
        paid = np.array([cost[i, j] if j != NOBODY else 0.0 for i, j in enumerate(chosen)])
        gain, price = quality - have[:, None], cost - paid[:, None]
        fits = (gain > 1e-12) & (price <= budget - paid.sum())
        if not fits.any():
            return float(have.sum())
        rate = np.where(fits, gain / np.maximum(price, 1e-12), -np.inf)
        i, j = np.unravel_index(int(rate.argmax()), rate.shape)
        chosen[i] = j


@settings(max_examples=40, deadline=None)
@given(batches())
def test_a_small_batch_is_assigned_as_well_as_can_be(batch: tuple[Array, Array, float]) -> None:
    quality, cost, budget = batch
    found, spent = worth(quality, cost, assign(quality, cost, budget))
    assert spent <= budget * (1 + 1e-9)
    assert found == pytest.approx(best(quality, cost, budget), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(batches())
def test_the_relaxation_loses_one_query_at_most(batch: tuple[Array, Array, float]) -> None:
    quality, cost, budget = batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assignment, "EXACT", 0)
        found, spent = worth(quality, cost, assign(quality, cost, budget))
    assert spent <= budget * (1 + 1e-9)
    assert found >= best(quality, cost, budget) - quality.max() - 1e-6


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_a_large_batch_is_assigned_better_than_greedily(share: float) -> None:
    rng = np.random.default_rng(0)
    n, m = 300, 6
    strength = np.linspace(-1.0, 2.0, m)
    quality = 1.0 / (1.0 + np.exp(-(strength - rng.normal(0.0, 1.5, (n, 1)) + rng.normal(0.0, 0.3, (n, m)))))
    cost = np.geomspace(1e-4, 1e-1, m) * rng.lognormal(0.0, 0.7, (n, 1))
    least, most = cost.min(1).sum(), cost[:, -1].sum()
    budget = least + share * (most - least)
    found, spent = worth(quality, cost, assign(quality, cost, budget))
    assert spent <= budget
    assert found >= greedy(quality, cost, budget)


def test_where_the_budget_does_not_reach_for_all_the_best_for_the_money_are_answered() -> None:
    quality, cost = np.array([[0.5], [0.9], [0.7]]), np.ones((3, 1))
    assert assign(quality, cost, 2.0).tolist() == [NOBODY, 0, 0]


def test_only_candidates_that_can_take_a_query_are_chosen() -> None:
    quality, cost = np.array([[0.5, 0.9]]), np.array([[1.0, 1.0]])
    assert assign(quality, cost, 2.0, np.array([[True, False]])).tolist() == [0]
