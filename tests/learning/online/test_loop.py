"""Decisions and feedback in, corrected forecasts out: learning as a fusion does it while it serves."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from emafusion import Candidate, ConfigError, Fusion, Learning, Message, Objective, Price, Query
from emafusion.asked import build_query
from emafusion.engine.drivers import run
from emafusion.learning.online.observation import Observation
from emafusion.store import Store
from emafusion.types import Decision
from tests.engine.scripted import ScriptedTransport, ask

QUIET = Learning(exploration=0.0, audit=0.0, drift=False)
CHEAP = Objective(usd_value=0.001)
ANSWERS = {"small": "390", "mid": "391", "big": "391"}


def fusion(learning: Learning | bool | None = QUIET, **options: Any) -> Fusion:
    prices = {"small": (0.1, 0.4), "mid": (1.0, 4.0), "big": (5.0, 15.0)}
    pool = [Candidate(n, name=n, price=Price(*p), ability=0.7) for n, p in prices.items()]
    return Fusion(pool, judges=(), learning=learning, **options)


def serve(one: Fusion, query: Query | None = None, answers: dict[str, str] | None = None, **options: Any) -> Decision:
    query = query or ask()
    result = run(one.steps(query, options.pop("objective", CHEAP), **options), ScriptedTransport(answers or ANSWERS))
    one.finish(query, result)
    return result.decision


def hopes(one: Fusion) -> dict[str, float]:
    forecast = one.engine.router.forecast(ask())
    return dict(zip(forecast.candidates, forecast.p_good))


def test_without_learning_forecasts_stay_as_they_are() -> None:
    one = fusion(None)
    before = hopes(one)
    one.feedback(serve(one, only=("small",)).id, 0.0)
    assert hopes(one) == before
    assert one.learning is None


def test_feedback_that_answers_were_bad_lowers_the_hope_in_their_author_most() -> None:
    one = fusion()
    before = hopes(one)
    for _ in range(15):
        one.feedback(serve(one, only=("small",)).id, 0.0)
    after = hopes(one)
    assert after["small"] < before["small"] - 0.2
    assert before["small"] - after["small"] > 1.3 * (before["big"] - after["big"])


def test_a_candidate_that_keeps_failing_its_users_is_no_longer_asked_first() -> None:
    one, dear = fusion(), Objective(usd_value=0.02)
    assert serve(one, objective=dear).first == ("small",)
    for _ in range(40):
        decision = serve(one, objective=dear)
        one.feedback(decision.id, 1.0 if decision.answered_by != "small" else 0.0)
    assert serve(one, objective=dear).first != ("small",)


def test_feedback_counts_once_and_the_last_word_counts() -> None:
    one, other = fusion(), fusion()
    a, b = serve(one, only=("small",)), serve(other, only=("small",))
    for score in (0.0, 1.0, 1.0):
        one.feedback(a.id, score)
    other.feedback(b.id, 1.0)
    assert hopes(one)["small"] == pytest.approx(hopes(other)["small"], abs=1e-9)


@pytest.mark.parametrize("said", [{"thumbs": True}, {"truth": "391"}, {"score": 1.0}])
def test_thumbs_and_truths_and_scores_teach_alike(said: dict[str, Any]) -> None:
    one = fusion()
    before = hopes(one)["mid"]
    one.feedback(serve(one, only=("mid",)).id, **said)
    assert hopes(one)["mid"] > before


def test_a_truth_grades_every_candidate_that_answered() -> None:
    one = fusion()
    before = hopes(one)
    query = ask()
    steps = one.engine.steps(query, CHEAP, one.trade_off.terms(CHEAP))
    result = run(steps, ScriptedTransport(ANSWERS))
    one.finish(query, result)
    one.feedback(result.decision.id, truth="390")
    after = hopes(one)
    assert after["small"] > before["small"]


def test_a_truth_that_cannot_be_compared_is_refused() -> None:
    one = fusion()
    decision = serve(
        one, ask("Write a poem about the sea."), {"small": "The sea is wide and blue and deep."}, only=("small",)
    )
    with pytest.raises(ConfigError, match="cannot be compared"):
        one.feedback(decision.id, truth="Roses are red, violets are blue, and the sea does not come into it at all.")


def test_a_preference_raises_one_and_lowers_the_other() -> None:
    from dataclasses import replace

    from emafusion.policies.moves import Try
    from tests.engine.scripted import ScriptedPolicy

    one = fusion()
    one.engine = replace(one.engine, policy=ScriptedPolicy([Try(("small", "mid"))]))
    decision = serve(one)
    before = hopes(one)
    for key in "abcabc":
        one.feedback(decision.id, preferred="mid", over="small", key=key)
    after = hopes(one)
    assert after["mid"] > before["mid"]
    assert after["small"] < before["small"]
    with pytest.raises(ConfigError, match="candidates that answered"):
        one.feedback(decision.id, preferred="big", over="small")


@pytest.mark.parametrize(
    "said",
    [{}, {"score": 2.0}, {"score": 1.0, "thumbs": True}, {"preferred": "small"}, {"preferred": "a", "over": "a"}],
)
def test_feedback_that_makes_no_sense_is_refused(said: dict[str, Any]) -> None:
    one = fusion()
    decision = serve(one)
    with pytest.raises(ConfigError):
        one.feedback(decision.id, **said)


def test_a_schema_that_could_not_be_used_downstream_speaks_against_the_author() -> None:
    one = fusion()
    before = hopes(one)["small"]
    for _ in range(10):
        one.signal(serve(one, only=("small",)).id, "schema_failure")
    assert hopes(one)["small"] < before


def turns(*texts: str, thread: str | None) -> Query:
    messages = [m for t in texts[:-1] for m in (Message("user", t), Message("assistant", "391"))]
    return build_query([*messages, Message("user", texts[-1])], thread=thread)


def heard(one: Fusion, decision: Decision) -> Observation:
    assert one.learning is not None
    (known,) = [o for o in one.learning.observations(decision.id) if o.candidate == decision.answered_by]
    return known


QUESTION = "How many days are there in the month of February in the year 2024?"
AGAIN = "How many days does the month of February have in the year 2024?"


def test_a_question_that_is_asked_again_in_its_thread_speaks_against_the_answer() -> None:
    one = fusion()
    first = serve(one, turns(QUESTION, thread="t"), only=("small",))
    serve(one, turns(QUESTION, AGAIN, thread="t"), only=("mid",))
    known = heard(one, first)
    assert known.judge is not None
    assert known.judge < known.forecast


def test_a_thread_that_goes_on_speaks_for_the_answer_before() -> None:
    one = fusion()
    first = serve(one, turns(QUESTION, thread="t"), only=("small",))
    serve(one, turns(QUESTION, "Translate the word 'cheese' into French, please.", thread="t"), only=("mid",))
    known = heard(one, first)
    assert known.judge is not None
    assert known.judge > known.forecast


def test_the_same_question_of_two_users_says_nothing() -> None:
    one = fusion()
    first = serve(one, turns(QUESTION, thread=None), only=("small",))
    serve(one, turns(QUESTION, thread=None), only=("small",))
    assert heard(one, first).judge is None


def test_what_is_explored_is_logged_with_its_propensities() -> None:
    one = fusion(Learning(exploration=0.5, audit=0.0, drift=False))
    decisions = [serve(one, objective=Objective(usd_value=0.02)) for _ in range(60)]
    assert {d.explored for d in decisions} == {True, False}
    for d in decisions:
        assert sum(d.propensities.values()) == pytest.approx(1.0)
        assert d.propensities[d.first[0]] > 0.0
    assert [d.tick for d in decisions] == sorted({d.tick for d in decisions})


def test_a_candidate_that_seems_to_fall_is_audited_often_before_an_alarm_is_raised() -> None:
    one = fusion(Learning(exploration=0.0, audit=0.02))
    assert one.learning is not None
    learner, names = one.learning.learner(), one.pool.names
    for _ in range(40):
        one.feedback(serve(one, only=("small",)).id, 1.0)
    assert learner.audit_chance("small", names) < 0.5
    for _ in range(12):
        one.feedback(serve(one, only=("small",)).id, 0.0)
        if learner.audit_chance("small", names) >= 0.5:
            break
    assert learner.audit_chance("small", names) >= 0.5 > learner.audit_chance("big", names)
    assert not one.learning.alarms


def test_audits_ask_the_reference_and_teach_the_truth() -> None:
    one = fusion(Learning(exploration=0.0, audit=0.05, drift=False))
    decisions = [serve(one, only=None) for _ in range(40)]
    audited = [d for d in decisions if d.audited]
    assert 2 <= len(audited) <= 36
    assert {d.audited for d in audited} == {"big"}
    assert any(heard(one, d).truth is not None for d in audited)


def test_learning_that_fails_leaves_requests_alone(caplog: pytest.LogCaptureFixture) -> None:
    one = fusion(True)
    assert one.learning is not None

    def broken() -> Any:
        raise RuntimeError("no learner today")

    one.learning.learner = broken  # type: ignore[method-assign]
    one._serve(one._assembly.over(one.pool, None))
    assert serve(one).answered_by in one.pool
    assert serve(one).answered_by in one.pool
    assert caplog.text.count("forecasts go uncorrected") == 1


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "emafusion.sqlite")


def test_two_processes_worth_of_learners_share_what_they_learn(path: str) -> None:
    one, other = fusion(store=path), fusion(store=Store(path))
    before = hopes(other)["small"]
    for _ in range(15):
        one.feedback(serve(one, only=("small",)).id, 0.0)
    assert one.learning is not None
    assert other.learning is not None
    one.learning.sync()
    other.learning.sync()
    assert hopes(other)["small"] < before - 0.2
    assert hopes(other)["small"] == pytest.approx(hopes(one)["small"], abs=0.02)


def test_late_feedback_in_another_process_teaches(path: str) -> None:
    one = fusion(store=path)
    ids = [serve(one, only=("small",)).id for _ in range(15)]
    assert one.store is not None
    one.store.flush()
    other = fusion(store=Store(path))
    assert other.learning is not None
    before = hopes(other)["small"]
    for id in ids[:8]:
        other.feedback(id, 0.0)
    for id in ids[8:]:
        other.feedback(id, truth="391")
    other.learning.sync()
    assert hopes(other)["small"] < before - 0.15


def test_what_was_learned_is_there_after_a_restart(path: str) -> None:
    one = fusion(store=path)
    for _ in range(15):
        one.feedback(serve(one, only=("small",)).id, 0.0)
    assert one.store is not None
    assert one.learning is not None
    one.learning.sync()
    one.store.close()
    again = fusion(store=path)
    assert again.learning is not None
    again.learning.sync()
    assert hopes(again)["small"] == pytest.approx(hopes(one)["small"], abs=1e-3)


def test_sums_of_long_ago_are_put_together_and_come_out_the_same(path: str) -> None:
    one = fusion(store=path)
    loop = one.learning
    assert loop is not None
    loop._due = float("inf")  # not by itself
    for _ in range(4):
        loop._tick += 4_000.0
        for _ in range(5):
            one.feedback(serve(one, only=("small",)).id, 0.0)
    assert one.store is not None
    one.store.flush()
    loop.learner().replace(one.store.statistics())
    rows, before = len(one.store.statistics()), hopes(one)["small"]
    loop.sync()
    assert len(one.store.statistics()) < rows
    assert hopes(one)["small"] == pytest.approx(before, abs=1e-3)


def test_a_removed_candidate_disappears_from_the_sums(path: str) -> None:
    one = fusion(store=path)
    for name in ("small", "mid"):
        one.feedback(serve(one, only=(name,)).id, 0.0)
    assert one.store is not None
    one.store.flush()
    one.remove_candidate("small")
    deadline = time.monotonic() + 10.0
    while any(name == "small" for name, _ in one.store.statistics()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {name for name, _ in one.store.statistics()} == {"mid"}


def test_many_threads_learn_at_once_and_lose_nothing() -> None:
    one = fusion()

    def work() -> None:
        for _ in range(25):
            one.feedback(serve(one, only=("small",)).id, 0.0)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert one.learning is not None
    standing = one.learning.learner().standing(("small",))
    assert standing.heard[0] > 90


def test_a_store_that_goes_away_costs_no_request(path: str, caplog: pytest.LogCaptureFixture) -> None:
    one = fusion(store=path)
    assert one.store is not None
    assert one.learning is not None
    one.store.close()
    one.learning.sync()
    assert serve(one).answered_by in one.pool


@pytest.mark.parametrize("given", [3, "yes", object()])
def test_learning_must_be_a_setting(given: Any) -> None:
    with pytest.raises(ConfigError, match="learning must be"):
        fusion(given)
