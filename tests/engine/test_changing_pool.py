"""Candidates that come and go, and prices that change, while requests are answered."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emafusion import Candidate, ConfigError, Fusion, Objective, Price
from emafusion.engine.drivers import run
from emafusion.learning.fitting import fit_router
from emafusion.types import Forecast, Query
from tests.engine.scripted import ScriptedTransport, ask, candidate, fusion
from tests.learning.synthetic import arithmetic_log

EQUAL = dict.fromkeys(("small", "mid", "big", "new"), "391")


def test_a_new_candidate_is_chosen_among_from_the_next_request_on() -> None:
    one = fusion("mid", "big", judges=())
    one.add_candidate(Candidate("new", name="new", price=Price(0.001, 0.001), ability=0.99))
    decision = run(one.steps(ask(), Objective(usd_value=0.01)), ScriptedTransport(EQUAL)).decision
    assert decision.answered_by == "new"


def test_a_request_under_way_ends_with_a_candidate_that_has_gone_meanwhile() -> None:
    one = fusion("small", judges=())
    one.add_candidate(candidate("big"))
    steps = one.steps(ask(), only=("big",))
    (call,) = next(steps)
    one.remove_candidate("big")
    assert call.candidate == "big"
    assert one.model("big").model == "big"
    assert "big" not in one.pool
    assert "big" not in one.router.forecast(ask()).candidates


def test_a_new_price_counts_at_once() -> None:
    one = fusion("small", "big", judges=())
    one.set_price("small", Price(input=1000.0, output=4000.0))
    assert one.pool.dearest == "small"
    decision = run(one.steps(ask(), Objective(usd_value=0.01)), ScriptedTransport(EQUAL)).decision
    assert decision.answered_by == "big"


def test_a_budgets_pace_goes_on_when_the_pool_changes() -> None:
    one = fusion("small", "big", judges=())
    objective = Objective(usd_per_query=0.001)
    for _ in range(20):
        one.trade_off.settle(objective, 0.01)
    before = one.trade_off.terms(objective).value
    one.set_price("big", Price(6.0, 20.0))
    assert one.trade_off.terms(objective).value == pytest.approx(before)


def test_a_fitted_router_serves_a_candidate_that_it_does_not_know() -> None:
    model, _ = fit_router(arithmetic_log(80))
    one = Fusion([candidate(n) for n in model.candidates], router=model, judges=())
    one.add_candidate(candidate("unheard"))
    forecast = one.router.forecast(ask())
    assert forecast.candidates[-1] == "unheard"
    assert 0.0 < forecast.p_good[-1] < 1.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda f: f.add_candidate(candidate("small")), "two candidates are named 'small'"),
        (lambda f: f.remove_candidate("nobody"), "there is no candidate 'nobody'"),
        (lambda f: f.remove_candidate("big"), "objective's reference"),
        (lambda f: f.set_price("nobody", Price(1, 1)), "there is no candidate 'nobody'"),
    ],
)
def test_changes_that_make_no_sense_are_refused_and_change_nothing(
    change: Callable[[Fusion], None], complaint: str
) -> None:
    one = fusion("small", "big", objective=Objective(quality_floor=0.9, reference="big"), judges=())
    engine = one.engine
    with pytest.raises(ConfigError, match=complaint):
        change(one)
    assert one.pool.names == ("small", "big")
    assert one.engine is engine


def test_the_last_candidate_stays() -> None:
    one = fusion("small", judges=())
    with pytest.raises(ConfigError, match="candidates is empty"):
        one.remove_candidate("small")
    assert one.pool.names == ("small",)


class Fixed:
    def forecast(self, query: Query) -> Forecast:
        raise AssertionError("not asked here")


def test_a_router_of_ones_own_keeps_its_pool() -> None:
    one = Fusion([candidate("small")], router=Fixed())
    with pytest.raises(ConfigError, match="fixed pool"):
        one.add_candidate(candidate("big"))
