"""Checks of quality floors: what they choose, that a kept promise passes, and that a broken one is seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from emafusion.evaluation.floors import check_floors
from emafusion.evaluation.points import Points
from emafusion.policies.trade_off import Curve

Array = NDArray[np.float64]
NAMES = ("small", "large")


def made_up(quality: list[float], n: int = 3000, seed: int = 0) -> tuple[Points, Array, Array, Array]:
    """A policy of given quality at each value, whose answers mostly are the large candidate's (quality 0.8)."""
    rng = np.random.default_rng(seed)
    large = (rng.random(n) < 0.8).astype(float)
    score = np.column_stack([(rng.random(n) < 0.5).astype(float), large])
    cost = np.tile([1.0, 10.0], (n, 1))
    mine = []
    for wanted in quality:
        lost = max(0.0, (0.8 - wanted) / 0.8)
        won = max(0.0, (wanted - 0.8) / 0.2)
        mine.append(np.where(large == 1.0, rng.random(n) >= lost, rng.random(n) < won).astype(float))
    spent = np.array([np.full(n, 1.0 + k) for k in range(len(quality))])
    points = Points(np.array(mine), spent, np.zeros((len(quality), n), dtype=np.int64))
    return points, np.geomspace(1.0, 8.0, len(quality)), score, cost


def test_a_floor_is_served_at_the_least_value_that_keeps_it() -> None:
    low, high = check_floors(*made_up([0.5, 0.76, 0.86]), NAMES, floors=(0.9, 1.0), calibrations=40)
    assert (low.reference, low.role) == ("large", "best single and dearest")
    assert low.held == 1.0
    assert low.quality == pytest.approx(0.76 / 0.8, abs=0.03)
    assert low.cost == pytest.approx(0.2, rel=0.1)
    assert high.held == 1.0
    assert high.cost == pytest.approx(0.3)
    assert high.quality == pytest.approx(0.86 / 0.8, abs=0.03)


def test_what_cannot_be_certified_falls_back_to_the_reference() -> None:
    (found,) = check_floors(*made_up([0.5, 0.7]), NAMES, floors=(1.0,), calibrations=40)
    assert (found.fell_back, found.held, found.quality, found.cost) == (1.0, 1.0, 1.0, 1.0)


def test_a_floor_on_the_edge_holds_about_as_often_as_it_promises() -> None:
    rising = np.linspace(0.6, 0.84, 13).tolist()
    (found,) = check_floors(*made_up(rising, n=6000), NAMES, floors=(0.95,), calibrations=400)
    assert 0.86 <= found.held < 1.0
    assert found.fell_back < 0.1


def test_a_broken_promise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Curve, "value_for_floor", lambda curve, floor, reference: curve.value[0])
    (found,) = check_floors(*made_up([0.6, 0.86]), NAMES, floors=(0.95,), calibrations=40)
    assert found.held == 0.0
    assert found.held_on_half == 0.0


def test_a_half_that_judges_is_a_sample_itself() -> None:
    # In truth just above the floor: the population always agrees, a random half only now and then.
    points, values, score, cost = made_up([0.8], n=400)
    points = Points(np.tile(score[:, 1], (1, 1)), points.cost, points.answered)
    shifted = points.score.copy()
    rng = np.random.default_rng(1)
    wrong, right = np.nonzero(shifted[0] == 0.0)[0], np.nonzero(shifted[0] == 1.0)[0]
    shifted[0, rng.choice(wrong, 30, replace=False)] = 1.0
    shifted[0, rng.choice(right, 28, replace=False)] = 0.0
    points = Points(shifted, points.cost, points.answered)
    (found,) = check_floors(points, values, score, cost, NAMES, floors=(1.0,), calibrations=200)
    assert found.held == 1.0
    assert found.held_on_half < 1.0


def test_the_best_single_and_the_dearest_are_told_apart() -> None:
    points, values, score, cost = made_up([0.86], n=500)
    found = check_floors(points, values, score, cost[:, ::-1], NAMES, floors=(0.9,), calibrations=20)
    assert [(check.reference, check.role) for check in found] == [("large", "best single"), ("small", "dearest")]


def test_queries_without_the_references_score_are_passed_over() -> None:
    points, values, score, cost = made_up([0.5, 0.86], n=1000)
    score[::7, 1] = np.nan
    cost[::7, 1] = np.nan
    (found,) = check_floors(points, values, score, cost, NAMES, floors=(0.95,), calibrations=40)
    assert found.held == 1.0
    assert np.isfinite([found.quality, found.cost, found.held_on_half]).all()
