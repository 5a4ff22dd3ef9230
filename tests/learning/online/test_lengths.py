"""How much candidates write is learned from what they wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emafusion import Candidate, Fusion, Learning, Objective, Price, Reply, Usage
from emafusion.engine.drivers import run
from emafusion.learning.online.lengths import MEMORY, OutputLengths, total
from emafusion.store import Store
from tests.engine.scripted import ScriptedTransport, ask

QUIET = Learning(exploration=0.0, audit=0.0, drift=False)


def talker(tokens: int) -> Reply:
    return Reply("391", finish_reason="stop", usage=Usage(20, tokens))


def fusion(**options: Any) -> Fusion:
    pool = [
        Candidate("terse", name="terse", price=Price(1.0, 4.0), ability=0.8),
        Candidate("wordy", name="wordy", price=Price(0.9, 3.6), ability=0.8),
    ]
    return Fusion(pool, judges=(), learning=QUIET, objective=Objective(usd_value=0.002), **options)


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


def test_answers_count_less_the_more_their_candidate_has_given_since() -> None:
    lengths = OutputLengths()
    for i in range(600):
        lengths.hear("m", 100.0, 1000.0 if i < 300 else 50.0, epoch=i // 50)
    assert lengths.factor("m") < 2.9  # a plain mean is 5.25
    rows = {epoch: np.array([50.0, 5000.0, 500.0 * epoch]) for epoch in range(4)}
    weights = [MEMORY ** (50.0 * (3 - epoch)) for epoch in range(4)]
    np.testing.assert_allclose(total(rows), sum(w * row for w, row in zip(weights, rows.values())), rtol=1e-12)


def test_where_the_epochs_lie_and_when_they_came_makes_no_difference() -> None:
    rng = np.random.default_rng(0)
    heard = [(float(e), float(w), int(n)) for e, w, n in zip(*rng.uniform(10, 500, (2, 300)), rng.integers(0, 9, 300))]
    lengths, shuffled = OutputLengths(), OutputLengths()
    for expected, written, epoch in heard:
        lengths.hear("m", expected, written, epoch)
    for i in rng.permutation(300):
        expected, written, epoch = heard[i]
        shuffled.hear("m", expected, written, 100 + 7 * epoch)
    assert shuffled.factor("m") == pytest.approx(lengths.factor("m"), rel=1e-12)


def test_what_is_heard_while_the_store_is_read_is_not_lost() -> None:
    lengths = OutputLengths()
    lengths.hear("m", 100.0, 900.0)
    lengths.note()
    lengths.hear("m", 100.0, 100.0, epoch=1)
    lengths.replace({("m", 0): np.array([1.0, 100.0, 900.0])})
    both = OutputLengths()
    both.hear("m", 100.0, 900.0)
    both.hear("m", 100.0, 100.0, epoch=1)
    assert lengths.factor("m") == both.factor("m")


def test_a_second_process_and_a_restarted_one_know_how_much_a_candidate_writes(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with Store(path) as store, Store(path) as others:
        one, other = fusion(store=store), fusion(store=others)
        for _ in range(30):
            serve(one, ("wordy",))
        for process in (one, other):
            assert process.learning is not None
            process.learning.sync()
        expected = one.engine.router.forecast(ask()).of("wordy")
        assert expected["output_tokens"] == pytest.approx(2500, rel=0.25)
        assert other.engine.router.forecast(ask()).of("wordy") == expected
        assert serve(other) == "terse"
        one.remove_candidate("wordy")
    with Store(path) as store:
        again = fusion(store=store)
        assert again.learning is not None
        again.learning.sync()
        assert again.engine.router.forecast(ask()).of("terse")["output_tokens"] < 250


def test_the_routers_own_expectation_is_what_answers_are_compared_with() -> None:
    """However far the forecast is corrected or cut off by then."""
    one = fusion()
    for _ in range(30):
        serve(one, ("wordy",))
    query = ask(max_output_tokens=100)
    forecast = one.engine.router.forecast(query)
    assert forecast.of("wordy")["output_tokens"] == 100.0
    assert forecast.expected_tokens("wordy") == 250.0


def test_many_epochs_are_kept_in_little_memory_and_at_no_loss() -> None:
    rng = np.random.default_rng(0)
    rows = {epoch: np.array([5.0, 500.0, w]) for epoch, w in enumerate(rng.uniform(100, 2000, 700))}
    lengths = OutputLengths()
    for epoch, row in rows.items():
        for _ in range(5):
            lengths.hear("m", 100.0, float(row[2]) / 5, epoch)
    assert len(lengths._rows["m"]) <= 64
    answers, hoped, told = total(rows)
    trusted = 5.0 * hoped / answers
    assert lengths.factor("m") == pytest.approx((told + trusted) / (hoped + trusted), rel=1e-9)
