"""Placing a new candidate from a few scores."""

from __future__ import annotations

import numpy as np
import pytest

from emafusion.errors import ConfigError
from emafusion.learning.online.anchors import Standings
from tests.benchmarks.measure_anchors import measure

RNG = np.random.default_rng(0)
N, M = 600, 10
DIFFICULTY = RNG.normal(0.0, 1.6, (N, 2))
SKILL = np.column_stack([RNG.uniform(0.3, 2.2, M), RNG.uniform(0.6, 1.4, M), RNG.normal(0.0, 0.6, M)])
SCORES = (RNG.random((N, M)) < 1 / (1 + np.exp(-(SKILL[:, 0] + DIFFICULTY @ SKILL[:, 1:].T)))).astype(float)
PRICES = SKILL[:, 0] + RNG.normal(0.0, 0.8, M)


def test_anchors_place_a_candidate_better_than_random_queries_and_these_better_than_its_price() -> None:
    found = {name: rows[:, 1].mean() for name, rows in measure(SCORES, PRICES, 20, 10, 2).items()}
    assert found["20 anchors"] < found["20 random"] < found["price alone"]


def test_more_answers_leave_less_spread() -> None:
    standings = Standings().fit(SCORES[:, 1:], PRICES[1:])
    rows = standings.anchors(30)
    spreads = [standings.place(rows[:k], SCORES[rows[:k], 0], PRICES[0]).spread.mean() for k in (0, 5, 30)]
    assert spreads[0] > spreads[1] > spreads[2]


def test_anchors_are_different_queries_and_a_longer_list_begins_with_the_shorter() -> None:
    standings = Standings().fit(SCORES, PRICES)
    many = standings.anchors(25)
    assert len(set(many.tolist())) == 25
    np.testing.assert_array_equal(standings.anchors(10), many[:10])


def test_holes_in_the_log_are_no_obstacle() -> None:
    scores = np.where(RNG.random(SCORES.shape) < 0.3, np.nan, SCORES)
    placed = Standings().fit(scores, PRICES).place(np.array([], dtype=np.intp), np.array([]), 1.0)
    assert np.isfinite(placed.p_good).all()


def test_what_cannot_be_placed_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 3 known"):
        Standings().fit(SCORES[:, :2], PRICES[:2])
    with pytest.raises(ConfigError, match="one price"):
        Standings().fit(SCORES, PRICES[:2])
    with pytest.raises(ConfigError, match="queries"):
        Standings().fit(SCORES, PRICES).anchors(N + 1)
    with pytest.raises(ConfigError, match="at least 1"):
        Standings(factors=0)
