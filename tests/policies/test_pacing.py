"""The pacer on synthetic costs: widely different prices, queries that drift, and costs that are not as forecast."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from emafusion import Objective
from emafusion.engine.drivers import run
from emafusion.estimators.beliefs import Array
from emafusion.policies.pacing import Pacer
from emafusion.types import Query
from tests.engine.scripted import ScriptedTransport, fusion

QUERIES = 3000
BUDGETS = (3e-4, 1e-3, 3e-3)


@dataclass(frozen=True)
class Stream:
    """Expected and real cost and probability of a good answer, (n, m), of queries in their order."""

    expected: Array
    cost: Array
    quality: Array


def stream(seed: int, drift: str) -> Stream:
    """Seven candidates from 2e-5 to 1e-2 USD a call; lengths vary tenfold, real costs by half around the forecast."""
    rng = np.random.default_rng(seed)
    n, price = QUERIES, np.geomspace(2e-5, 1e-2, 7)
    length = rng.lognormal(0.0, 0.8, n)
    difficulty = rng.normal(0.0, 1.5, n)
    if drift == "rising":
        length = np.sort(length)
    elif drift == "falling":
        length = np.sort(length)[::-1]
    elif drift == "blocks":
        difficulty = difficulty + np.where(np.arange(n) // 500 % 2 == 0, -1.0, 1.0)
    expected = price * length[:, None]
    cost = expected * rng.lognormal(-0.125, 0.5, (n, 7))
    quality = 1.0 / (1.0 + np.exp(-(np.linspace(-0.5, 2.5, 7) - difficulty[:, None] + rng.normal(0.0, 0.4, (n, 7)))))
    return Stream(expected, cost, quality)


def spend(given: Stream, budget: float, start: float, pacer: Pacer) -> tuple[float, float]:
    """Spent over allowed less one, and quality, of the best single candidate for the value under the allowance."""
    spent = good = 0.0
    for expected, cost, quality in zip(given.expected, given.cost, given.quality):
        utility = start * pacer.factor() * quality - expected
        within = expected <= max(pacer.allowance(), expected.min())
        j = int(np.where(within, utility, -np.inf).argmax())
        pacer.settle(float(cost[j]))
        spent, good = spent + float(cost[j]), good + float(quality[j])
    return spent / budget / len(given.cost) - 1.0, good / len(given.cost)


def unpaced(given: Stream, budget: float) -> tuple[float, float]:
    """The one value that spends the budget on these queries, and the quality that it buys."""

    def at(value: float) -> tuple[float, float]:
        j = (value * given.quality - given.expected).argmax(1)
        rows = np.arange(len(j))
        return float(given.cost[rows, j].mean()), float(given.quality[rows, j].mean())

    low, high = 1e-6, 1e2
    for _ in range(50):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if at(middle)[0] <= budget else (low, middle)
    return low, at(low)[1]


@pytest.mark.parametrize("drift", ["shuffled", "rising", "falling", "blocks"])
@pytest.mark.parametrize("off_by", [0.2, 1.0, 5.0])
def test_an_average_budget_is_kept_to_a_fraction_of_a_percent(drift: str, off_by: float) -> None:
    """From a first guess of the value that is right, far too low or far too high."""
    for seed in range(2):
        given = stream(seed, drift)
        for budget in BUDGETS:
            value, free = unpaced(given, budget)
            off, quality = spend(given, budget, off_by * value, Pacer(budget))
            assert off <= 0.004, (budget, seed)
            # Where prompts get ever shorter, nothing is left at the end to spend a saving on.
            assert off >= -0.012 or drift == "falling", (budget, seed)
            assert quality >= free - (0.01 if drift in ("shuffled", "blocks") else 0.05)


def test_a_debt_of_many_dear_queries_confines_to_calls_of_a_budget_each() -> None:
    pacer = Pacer(2.0, debt=5.0)
    assert pacer.allowance() == np.inf
    for _ in range(20):
        pacer.settle(7.0)
    assert pacer.allowance() == 2.0
    pacer.settle(0.0)
    assert pacer.allowance() == 2.0
    for _ in range(60):
        pacer.settle(0.0)
    assert pacer.allowance() == np.inf


def test_a_debt_of_one_dear_answer_is_left_to_the_value() -> None:
    pacer = Pacer(1.0)
    for _ in range(100):
        pacer.settle(0.8)
    steady = pacer.factor()
    pacer.settle(100.0)
    assert pacer.allowance() == np.inf
    assert pacer.factor() < steady / 4


def test_a_debt_that_the_value_does_not_pay_off_confines_in_the_end() -> None:
    """Nine queries of ten cost half a budget, the tenth seven, whatever the value, as where one candidate answers."""
    pacer, spent = Pacer(1.0), 0.0
    for i in range(3000):
        cost = 0.2 if np.isfinite(pacer.allowance()) else 7.0 if i % 10 == 0 else 0.5
        pacer.settle(cost)
        spent += cost
    assert 0.98 <= spent / 3000 <= 1.01


def elastic(pacer: Pacer, log_price: Array, seed: int, *, under_way: int = 0) -> Array:
    """Costs of queries, in budgets, that grow with the root of the value, each known so many queries late."""
    noise = np.random.default_rng(seed).lognormal(-0.32, 0.8, len(log_price))
    cost = np.zeros(len(log_price))
    for i, log in enumerate(log_price):
        pacer.begin(i)
        cost[i] = np.exp(log) * pacer.factor() ** 0.5 * noise[i]
        if np.isfinite(pacer.allowance()):
            cost[i] = min(cost[i], noise[i])
        if i >= under_way:
            pacer.settle(cost[i - under_way] * pacer.budget, i - under_way)
    return cost


@pytest.mark.parametrize("kinds", [(0.0, -1.5, 1.5), (1.0, -1.0, 1.0), (-1.5, 0.0, 1.5), (1.5, -1.5, 0.0)])
def test_a_sudden_change_of_kind_leaves_no_debt(kinds: tuple[float, ...]) -> None:
    """The price of a query rises or falls twentyfold from one to the next, twice."""
    for seed in range(3):
        off = elastic(Pacer(1e-3), np.repeat(kinds, 1000), seed).mean() - 1.0
        assert -0.01 <= off <= 0.004, seed


def test_a_short_run_leaves_less_than_two_percent() -> None:
    for seed in range(5):
        off = elastic(Pacer(1e-3), np.zeros(675), seed).mean() - 1.0
        assert -0.02 <= off <= 0.01, seed


@pytest.mark.parametrize(("under_way", "tolerance"), [(16, 0.01), (64, 0.02)])
def test_queries_that_overlap_are_paced_more_slowly(under_way: int, tolerance: float) -> None:
    """Told nothing of the overlap, the pacer swings between the extremes of the factor."""
    pacer = Pacer(1e-3)
    cost = elastic(pacer, np.zeros(3000), 0, under_way=under_way)
    assert cost.mean() == pytest.approx(1.0, abs=tolerance)
    assert pacer.delay == pytest.approx(under_way, abs=1.0)
    by_hundred = cost[-2000:].reshape(-1, 100).mean(1)
    assert by_hundred.std() < 0.3


def test_where_no_value_spends_the_budget_the_next_kind_is_not_answered_at_any_price() -> None:
    pacer = Pacer(1.0)
    for _ in range(1000):
        pacer.settle(0.01)
    assert pacer.factor() <= np.exp(5.0)
    cost = elastic(pacer, np.zeros(300), 0)
    assert cost.sum() <= 300 + 1.5 * 990


def test_requests_that_fail_are_forgotten() -> None:
    pacer = Pacer(1.0)
    for i in range(10_000):
        pacer.begin(i)
        if i % 2:
            pacer.settle(1.0, i)
    assert pacer.delay == 0.0
    assert len(pacer._began) <= 4096


def test_no_thread_loses_what_another_spent() -> None:
    pacer = Pacer(1.0)

    def serve(worker: int) -> None:
        for i in range(500):
            pacer.begin(worker * 1000 + i)
            pacer.factor()
            pacer.settle(1.0, worker * 1000 + i)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(serve, range(8)))
    assert pacer.queries == pacer.spent == 4000
    assert not pacer._began


def test_the_pacer_hears_of_the_requests_that_overlap_and_of_none_that_fail() -> None:
    one = fusion("small", "big", judges=())
    objective = Objective(usd_per_query=1e-3)
    for text in ("one", "two", "three"):
        next(one.steps(Query(text), objective))  # these three come to nothing
    queries = [Query(f"question {i}") for i in range(4)]
    under_way = [one.steps(query, objective) for query in queries]
    for query, steps in zip(queries, under_way):
        one.finish(query, run(steps, ScriptedTransport({"small": "391", "big": "391"})))
    pacer = one.trade_off._pacer(1e-3)
    assert pacer.queries == 4
    # Nought, one, two and three others were settled while each was under way; delays are averaged over twenty.
    assert pacer.delay == pytest.approx((3 + 2 * 0.95 + 0.95**2) / 20)
