"""How much candidates write is learned from what they wrote."""

from __future__ import annotations

import pytest

from emafusion import Candidate, Fusion, Learning, Objective, Price, Reply, Usage
from emafusion.engine.drivers import run
from emafusion.learning.online.lengths import OutputLengths
from tests.engine.scripted import ScriptedTransport, ask

QUIET = Learning(exploration=0.0, audit=0.0, drift=False)


def talker(tokens: int) -> Reply:
    return Reply("391", finish_reason="stop", usage=Usage(20, tokens))


def fusion() -> Fusion:
    pool = [
        Candidate("terse", name="terse", price=Price(1.0, 4.0), ability=0.8),
        Candidate("wordy", name="wordy", price=Price(0.9, 3.6), ability=0.8),
    ]
    return Fusion(pool, judges=(), learning=QUIET, objective=Objective(usd_value=0.002))


def serve(one: Fusion, only: tuple[str, ...] | None = None) -> str:
    query = ask()
    transport = ScriptedTransport({"terse": talker(10), "wordy": talker(2500)})
    result = run(one.steps(query, only=only), transport)
    one.finish(query, result)
    return result.decision.answered_by


def test_a_candidate_that_writes_ten_times_as_much_is_forecast_to_and_loses_its_place() -> None:
    one = fusion()
    assert serve(one) == "wordy"
    for _ in range(30):
        serve(one, ("wordy",))
        serve(one, ("terse",))
    forecast = one.engine.router.forecast(ask())
    assert forecast.of("wordy")["output_tokens"] == pytest.approx(2500, rel=0.25)
    assert forecast.of("wordy")["cost_usd"] == pytest.approx(2500 * 3.6e-6, rel=0.25)
    assert forecast.of("terse")["output_tokens"] < 60
    assert serve(one) == "terse"


def test_what_a_caller_allows_is_never_exceeded() -> None:
    one = fusion()
    for _ in range(30):
        serve(one, ("wordy",))
    assert one.engine.router.forecast(ask(max_output_tokens=100)).of("wordy")["output_tokens"] <= 100


def test_estimated_lengths_teach_nothing() -> None:
    one = fusion()
    query = ask()
    for _ in range(5):
        one.finish(query, run(one.steps(query), ScriptedTransport({"terse": "391", "wordy": "391"})))
    assert one.engine.router.forecast(query).of("wordy")["output_tokens"] == 250.0


def test_the_mean_cost_comes_out_right_where_few_answers_are_long() -> None:
    lengths = OutputLengths()
    for i in range(400):
        lengths.hear("m", 100.0, 1000.0 if i % 10 == 0 else 50.0)
    assert lengths.factor("m") == pytest.approx(1.45, rel=0.1)
