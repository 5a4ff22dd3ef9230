"""From what a user wants to what the policy is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion import Objective, Pool
from emafusion.policies.pacing import Pacer
from emafusion.policies.trade_off import Curve, TradeOff
from tests.engine.scripted import candidate

POOL = Pool([candidate(n) for n in ("small", "mid", "big")])


def curve(**changes: object) -> Curve:
    values = tuple(np.geomspace(1e-4, 1.0, 9).tolist())
    given = {
        "value": values,
        "cost": tuple(np.geomspace(1e-5, 1e-2, 9).tolist()),
        "quality": tuple(np.linspace(0.6, 0.9, 9).tolist()),
        "advantage": (1.5,) * 9,
        "certified": {"big": tuple((np.linspace(0.6, 0.9, 9) / 0.85 - 0.01).tolist())},
        "alone": {"small": (1e-5, 0.6), "mid": (1e-3, 0.75), "big": (5e-3, 0.85)},
    }
    return Curve(**{**given, **changes})  # type: ignore[arg-type]


def test_a_worth_is_taken_as_it_is_given() -> None:
    assert TradeOff(POOL).terms(Objective(usd_value=0.3)).value == 0.3


@given(st.floats(1e-5, 1e-2))
def test_the_value_for_a_budget_spends_it(budget: float) -> None:
    one = curve()
    value = one.value_for_budget(budget)
    assert np.interp(np.log(value), np.log(one.value), np.log(one.cost)) == pytest.approx(np.log(budget), abs=1e-3)


def test_a_floor_takes_the_least_value_that_is_certified_to_keep_it() -> None:
    one = curve()
    value = one.value_for_floor(0.95, "big")
    assert value is not None
    i = one.value.index(value)
    assert one.certified["big"][i] >= 0.95 > one.certified["big"][i - 1]


def test_the_higher_the_floor_the_higher_the_value() -> None:
    found = [curve().value_for_floor(f, "big") for f in (0.8, 0.9, 0.95, 0.99)]
    assert found == sorted(found, key=lambda v: v or np.inf)


def test_a_floor_that_no_policy_is_known_to_keep_serves_the_reference() -> None:
    hopeless = curve(certified={"big": (0.6,) * 9})
    assert TradeOff(POOL, hopeless).terms(Objective(quality_floor=0.99)).only == ("big",)


def test_where_routing_does_not_pay_the_best_single_model_answers() -> None:
    useless = curve(advantage=(0.5,) * 9)
    assert TradeOff(POOL, useless).terms(Objective(usd_value=1.0)).only == ("big",)
    assert TradeOff(POOL, useless).terms(Objective(usd_value=1e-4)).only == ("small",)
    assert TradeOff(POOL, curve()).terms(Objective(usd_value=1.0)).only == ()


def test_a_floor_is_not_kept_for_more_than_the_reference_costs() -> None:
    dear = curve(cost=tuple(np.geomspace(6e-3, 1e-1, 9).tolist()), certified={"big": (1.0,) * 9})
    assert TradeOff(POOL, dear).terms(Objective(quality_floor=0.95)).only == ("big",)
    assert TradeOff(POOL, curve(certified={"big": (1.0,) * 9})).terms(Objective(quality_floor=0.95)).only == ()


def test_a_budget_is_given_to_a_single_model_only_if_that_does_better_on_it() -> None:
    poor = curve(quality=(0.5,) * 9, advantage=(-1.0,) * 9)
    assert TradeOff(POOL, poor).terms(Objective(usd_per_query=2e-3)).only == ("mid",)
    assert TradeOff(POOL, poor).terms(Objective(usd_per_query=2e-5)).only == ("small",)
    assert TradeOff(POOL, curve(advantage=(-1.0,) * 9)).terms(Objective(usd_per_query=2e-3)).only == ()


def test_an_unfitted_floor_is_left_to_each_query() -> None:
    terms = TradeOff(POOL).terms(Objective(quality_floor=0.9))
    assert terms.floor == 0.9
    assert terms.reference == "big"


@pytest.mark.parametrize("off_by", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(("queries", "tolerance"), [(700, 0.03), (3000, 0.01)])
def test_the_pacer_holds_the_average_even_if_the_curve_is_wrong(off_by: float, queries: int, tolerance: float) -> None:
    """A world where cost grows with the square root of value, and the first guess misses the budget threefold."""
    rng = np.random.default_rng(0)
    budget, pacer, spent = 1e-3, Pacer(1e-3), 0.0
    for _ in range(queries):
        cost = budget * (off_by * pacer.factor()) ** 0.5 * rng.lognormal(-0.5, 1.0)
        pacer.settle(cost)
        spent += cost
    assert spent / queries == pytest.approx(budget, rel=tolerance)


def test_paces_of_more_budgets_than_anyone_has_are_let_go_but_never_one_in_use() -> None:
    one = TradeOff(POOL)
    kept = Objective(usd_per_query=0.001)
    for i in range(3000):
        one.settle(kept, 0.002)
        one.settle(Objective(usd_per_query=1.0 + i), 0.002)
    assert len(one._pacers) == 1024
    assert one._pacer(0.001).queries == 3000


def test_a_curve_survives_the_way_to_json_and_back() -> None:
    assert Curve.from_config(curve().to_config()) == curve()


def test_a_budget_in_debt_allows_calls_of_one_budget_each() -> None:
    trade_off, objective = TradeOff(POOL, curve()), Objective(usd_per_query=1e-3)
    assert trade_off.terms(objective).allowance == np.inf
    for _ in range(20):
        trade_off.settle(objective, 0.005)
    assert trade_off.terms(objective).allowance == 1e-3
    poor = TradeOff(POOL, curve(quality=(0.5,) * 9, advantage=(-1.0,) * 9))
    for _ in range(20):
        poor.settle(objective, 0.005)
    assert poor.terms(objective).only != ()
    assert poor.terms(objective).allowance == 1e-3
