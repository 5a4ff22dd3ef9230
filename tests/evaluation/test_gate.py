"""The gate: a worse policy is seldom promoted, a better one is, and decisions that say nothing are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from emafusion.config import Candidate, Objective, Price
from emafusion.errors import ConfigError
from emafusion.evaluation.first_moves import RecordedPolicy, RouterPolicy, stored_query
from emafusion.evaluation.gate import compare, judge_difference
from emafusion.fusion import Fusion
from tests.benchmarks.simulate_gate import Traffic, decisions_until_promoted
from tests.evaluation.bandit_logs import make_bandit


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """1,000 queries of an easy and a hard kind; one candidate does both, one is cheap, one does neither well."""
    rng = np.random.default_rng(0)
    hard = rng.random(1000) < 0.5
    good = np.where(hard[:, None], (0.9, 0.5, 0.3), (0.95, 0.9, 0.5))
    score = (rng.random(good.shape) < good).astype(float)
    cost = np.tile((0.1, 0.01, 0.02), (1000, 1))
    expected = np.clip(good + rng.normal(0.0, 0.1, good.shape), 0.0, 1.0)
    fitted = np.where(hard, 0, 1)
    return Traffic(score, cost, expected, cost, good=fitted, poor=np.full(1000, 2))


@pytest.mark.parametrize("points", [-20.0, -5.0, -1.0, 0.0])
def test_a_policy_that_is_no_better_is_promoted_at_most_five_times_in_a_hundred(
    traffic: Traffic, points: float
) -> None:
    other = traffic.between(traffic.good, traffic.poor, points / 100, seed=1)
    assert abs(100 * traffic.gain(other, traffic.good).mean() - points) < 0.2
    looks = (500, 1000, 2000)
    found = decisions_until_promoted(
        traffic, traffic.good, other, simulations=100, explore=0.1, known=1.0, looks=looks, seed=2
    )
    assert np.isfinite(found).sum() <= 5


def test_a_policy_that_is_much_better_is_promoted(traffic: Traffic) -> None:
    found = decisions_until_promoted(
        traffic, traffic.poor, traffic.good, simulations=20, explore=0.1, known=1.0, looks=(500, 1000, 2000), seed=3
    )
    assert np.isfinite(found).all()


def test_asking_now_and_then_as_the_shadow_would_shortens_its_trial(traffic: Traffic) -> None:
    other = traffic.between(traffic.poor, traffic.good, 0.1, seed=1)
    looks = tuple(range(500, 8001, 500))
    uniform, directed = (
        decisions_until_promoted(
            traffic,
            traffic.poor,
            other,
            simulations=15,
            explore=0.05,
            known=1.0,
            directed=directed,
            looks=looks,
            seed=4,
        )
        for directed in (False, True)
    )
    assert np.median(directed) < np.median(uniform)


def test_a_comparison_says_what_decided_it() -> None:
    bandit = make_bandit(3000, seed=0, gain=0.3, explore=0.3)
    kinds = ["math"] * 2000 + ["code"] * 990 + ["rare"] * 10
    found = judge_difference(bandit.logged, bandit.candidate, bandit.incumbent, categories=kinds)
    assert found.passes
    assert found.difference.lower > 0
    assert found.quality - found.cost == pytest.approx(found.difference.value)
    assert found.cost > 0  # the better candidate is dearer
    gap = found.candidate_value.value - found.incumbent_value.value
    assert gap == pytest.approx(found.difference.value, abs=1e-9)
    assert [c.category for c in found.categories] == ["math", "code"]
    weighted = sum(c.decisions * c.agreement for c in found.categories) / 2990
    assert weighted == pytest.approx(found.agreement, abs=0.01)
    assert found.as_dict()["verdict"] == "promote"


def test_a_promising_policy_in_shadow_is_told_how_many_decisions_it_may_take() -> None:
    bandit = make_bandit(3000, seed=0, gain=0.1, explore=0.2)
    found = judge_difference(bandit.logged, bandit.candidate, bandit.incumbent)
    assert found.verdict == "shadow"
    assert "decisions would show it" in found.reason


def test_without_any_known_truth_nothing_is_promoted() -> None:
    bandit = make_bandit(1000, seed=0, gain=0.3, known=0.0)
    found = judge_difference(bandit.logged, bandit.candidate, bandit.incumbent)
    assert found.verdict == "shadow"
    assert "no decision's true quality is known" in found.reason


# -- stored decisions ------------------------------------------------------------------------------------------


def decision(number: int, **changes: Any) -> dict[str, Any]:
    """As the store reads it back."""
    row: dict[str, Any] = {
        "id": f"d{number}",
        "text": f"What is {number} plus {number}?",
        "tools": None,
        "schema": None,
        "prompt_tokens": 10,
        "objective": {"usd_value": 0.01},
        "category": "math",
        "forecast": {n: {"p_good": 0.7, "cost_usd": 1e-4} for n in ("cheap", "dear")},
        "confidence": 0.8,
        "cost_usd": 1e-4,
        "first": ["cheap"],
        "propensities": {"cheap": 0.9, "dear": 0.1},
        "explored": False,
        "policy": "old",
        "feedback": 1.0,
    }
    return row | changes


@pytest.fixture(scope="module")
def unfitted() -> RouterPolicy:
    pool = [Candidate(n, name=n, price=Price(input=p, output=4 * p)) for n, p in (("cheap", 0.1), ("dear", 10.0))]
    return RouterPolicy("new", Fusion(pool, judges=()))


def test_a_policy_is_asked_through_the_code_that_serves(unfitted: RouterPolicy) -> None:
    for value in (1e-5, 10.0):
        row, objective = decision(1), Objective(usd_value=value)
        assert unfitted.first(row, objective) == unfitted.fusion.explain(stored_query(row), objective).first[0]
    assert unfitted.first(decision(1, text=None), Objective()) is None


def test_a_recorded_policy_is_what_it_would_have_done_without_chance() -> None:
    recorded = RecordedPolicy("old")
    assert recorded.first(decision(1), Objective()) == "cheap"
    assert recorded.first(decision(1, first=["dear"], explored=True), Objective()) == "cheap"
    assert RecordedPolicy("old", frozenset({"older"})).first(decision(1), Objective()) is None


def test_decisions_that_say_nothing_are_left_out_and_counted(unfitted: RouterPolicy) -> None:
    rows = [decision(i) for i in range(40)]
    rows += [
        decision(100, text=None),
        decision(101, propensities={}),
        decision(102, first=[]),
        decision(103, first=["x"]),
    ]
    found = compare(rows, unfitted, RecordedPolicy("old"))
    assert found.difference.decisions == 40
    assert found.left_out == {
        "kept without text, when new neither served nor waited in shadow": 1,
        "made no recorded choice": 3,
    }
    assert found.value_usd == pytest.approx(0.01)


@dataclass(frozen=True)
class Always:
    """Asks the same candidate, whatever the query."""

    id: str
    name: str

    def first(self, decision: Mapping[str, Any], objective: Objective) -> str | None:
        return self.name


def test_a_candidate_that_the_log_never_asked_is_no_ground_for_promotion() -> None:
    dear = Candidate("dear", name="dear", price=Price(input=10.0, output=40.0))
    rows = [decision(i, propensities={"cheap": 1.0}, feedback=0.0) for i in range(100)]
    found = compare(rows, RouterPolicy("new", Fusion([dear], judges=())), Always("old", "cheap"))
    assert found.agreement == 0.0
    assert found.difference.supported == 0.5
    assert "50 % of the first moves in question are never explored" in found.reason
    assert not found.passes


def test_nothing_to_compare_on_is_an_error_that_says_why(unfitted: RouterPolicy) -> None:
    with pytest.raises(ConfigError, match="2 kept without text"):
        compare([decision(i, text=None) for i in range(2)], unfitted, RecordedPolicy("old"))


def test_without_texts_a_router_is_taken_at_what_was_noted_of_it(unfitted: RouterPolicy) -> None:
    own = Objective(usd_value=0.01)
    noted = decision(1, text=None, shadows={"new": "dear", "another": "cheap"})
    assert unfitted.first(noted, own) == "dear"
    assert unfitted.first(decision(1, text=None, policy="new"), own) == "cheap"  # it served
    assert unfitted.first(decision(1, text=None, shadows={"another": "cheap"}), own) is None
    assert unfitted.first(noted, Objective(usd_value=1.0)) is None
    found = compare([noted, decision(2)], unfitted, RecordedPolicy("old"), objective=Objective(usd_value=1.0))
    assert found.left_out == {"kept without text, and so to be judged by its own objective alone": 1}
