"""Other papers' metrics, by cases that were worked out by hand."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion.evaluation.peer_figures import peer_figures
from emafusion.evaluation.peer_metrics import (
    arena_score,
    average_gap_recovered,
    call_threshold,
    cost_save,
    incremental_benefit_lift,
    performance_gain,
    regret,
)
from emafusion.evaluation.points import Points

WEAK, STRONG = (1.0, 0.6), (5.0, 0.8)


def test_mixing_weak_and_strong_at_random_recovers_half_the_gap() -> None:
    assert average_gap_recovered([], [], WEAK, STRONG) == pytest.approx(0.5)
    assert average_gap_recovered([3.0], [0.7], WEAK, STRONG) == pytest.approx(0.5)
    assert call_threshold([], [], WEAK, STRONG, 0.5) == pytest.approx(0.5)
    assert call_threshold([], [], WEAK, STRONG, 0.8) == pytest.approx(0.8)


def test_the_gap_recovered_is_the_area_between_weak_and_strong() -> None:
    # Over the share of the way x: from 0 at 0 to 1 at 1/4, then 1. The mean is 1 - 1/8.
    assert average_gap_recovered([2.0], [0.8], WEAK, STRONG) == pytest.approx(0.875)
    # Half the gap at an eighth of the way, 80 % of it at a fifth.
    assert call_threshold([2.0], [0.8], WEAK, STRONG, 0.5) == pytest.approx(0.125)
    assert call_threshold([2.0], [0.8], WEAK, STRONG, 0.8) == pytest.approx(0.2)


def test_a_router_above_the_strong_one_recovers_more_than_the_gap() -> None:
    # Up to twice the gap at half the way, then level: the mean is 1/2 + 1.
    assert average_gap_recovered([3.0], [1.0], WEAK, STRONG) == pytest.approx(1.5)


def test_a_router_cheaper_than_the_weak_one_may_have_a_negative_threshold() -> None:
    assert call_threshold([0.5], [0.75], WEAK, STRONG, 0.5) == pytest.approx(-0.125)


def test_there_is_no_gap_where_the_strong_one_is_not_both_dearer_and_better() -> None:
    for strong in ((1.0, 0.9), (0.5, 0.9), (5.0, 0.6), (5.0, 0.5)):
        assert average_gap_recovered([2.0], [0.7], WEAK, strong) is None
        assert call_threshold([2.0], [0.7], WEAK, strong, 0.5) is None
        assert incremental_benefit_lift(2.0, 0.7, WEAK, strong) is None


def test_the_incremental_benefit_is_per_dollar_above_the_weak_one() -> None:
    # Weak to strong: 0.2 for 4 dollars, 0.05 each. The method: 0.2 for 2 dollars, 0.1 each.
    assert incremental_benefit_lift(3.0, 0.8, WEAK, STRONG) == pytest.approx(100.0)
    assert incremental_benefit_lift(3.0, 0.7, WEAK, STRONG) == pytest.approx(0.0)
    assert incremental_benefit_lift(0.9, 0.8, WEAK, STRONG) is None


def test_the_incremental_benefit_explodes_close_to_the_weak_one() -> None:
    found = incremental_benefit_lift(1.001, 0.61, WEAK, STRONG)
    assert found is not None
    assert found > 10_000


def test_the_arena_score_weighs_accuracy_and_cost() -> None:
    # Half of the way in log cost: C = 0.5. (1.1 x 0.7 x 0.5) / (0.07 + 0.5)
    middle = 2 ** ((log2(200) + log2(0.0044)) / 2) / 1000
    assert arena_score(middle, 0.7) == pytest.approx(0.385 / 0.57)
    assert arena_score(1.0, 0.9) == 0.0
    assert arena_score(0.0, 0.0) == 0.0
    assert arena_score(1e-9, 1.0) == pytest.approx(1.0)


@given(st.floats(1e-6, 0.2), st.floats(0.0, 1.0), st.floats(1.0, 10.0), st.floats(0.0, 1.0))
def test_the_arena_score_never_rises_with_cost_nor_falls_with_quality(
    cost: float, quality: float, dearer: float, better: float
) -> None:
    found = arena_score(cost, quality)
    assert 0.0 <= found <= 1.0 + 1e-12
    assert arena_score(cost * dearer, quality) <= found + 1e-12
    assert arena_score(cost, quality + better * (1.0 - quality)) >= found - 1e-12


def test_gain_and_saving_are_per_cent_of_the_best_single() -> None:
    assert performance_gain([0.5, 0.84], 0.8) == pytest.approx(5.0)
    assert performance_gain([0.4], 0.8) == pytest.approx(-50.0)
    assert performance_gain([0.4], 0.0) is None
    # The hull from (1, 0.6) to (3, 1.0) reaches 0.8 at 2, which saves 3 of 5.
    assert cost_save([1.0, 3.0], [0.6, 1.0], STRONG) == pytest.approx(60.0)
    assert cost_save([1.0], [0.7], STRONG) is None
    assert cost_save([10.0], [0.9], STRONG) == pytest.approx(-100.0)


def test_regret_is_what_the_oracle_is_worth_more() -> None:
    values = np.array([10.0, 100.0])
    found = regret([1.0, 2.0], [0.5, 0.75], np.array([0.5, 1.0]), np.array([0.75, 1.0]), values)
    # (7.5 - 0.5) - (5 - 1) and (100 - 1) - (75 - 2)
    assert found.tolist() == [3.0, 26.0]


def one(score: list[float], cost: list[float]) -> Points:
    return Points(np.array([score]), np.array([cost]), np.zeros((1, len(score)), dtype=np.int64))


def test_figures_compare_every_method_with_the_cheapest_the_best_single_and_the_oracle() -> None:
    points = {
        "cheapest": one([1.0, 0.0], [1.0, 1.0]),
        "best single": one([1.0, 1.0], [4.0, 4.0]),
        "mine": one([1.0, 1.0], [1.0, 4.0]),
        "oracle": one([1.0, 1.0], [1.0, 2.0]),
    }
    found = peer_figures(points, np.array([10.0, 20.0]), average=10.0)
    assert found["oracle"].regret == (0.0, 0.0)
    assert found["mine"].regret == (1.0, 1.0)
    assert found["mine"].regret_share == pytest.approx((0.1 + 0.05) / 2)
    assert found["cheapest"].regret == pytest.approx((8.5 - 4.0, 18.5 - 9.0))
    assert found["mine"].cost_save == pytest.approx(37.5)
    assert found["mine"].perf_gain == 0.0
    # From (1, 0.5) by (2.5, 1.0) to (4, 1.0): half the way rises, half is level.
    assert found["mine"].apgr == pytest.approx(0.75)
    assert found["mine"].cpt_80 == pytest.approx(0.4)
    # At 2.5: half the gap and all of it, for half of the money.
    assert found["mine"].ibc_lift == pytest.approx(100.0)
    assert found["cheapest"].cost_save is None
