"""Preferences and signals count once, whichever process they come through and however often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emafusion import Fusion
from emafusion.learning.online.hints import Answer, Hint
from emafusion.learning.online.preferences import preference
from emafusion.policies.moves import Try
from emafusion.store import Store
from emafusion.types import Decision
from tests.engine.scripted import ScriptedPolicy
from tests.learning.online.test_loop import fusion, serve


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/emafusion.sqlite"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def workers(url: str) -> Iterator[list[Fusion]]:
    """What two processes hold: a fusion and a connection of their own each, over one database."""
    with Store(url) as one, Store(url) as other:
        yield [fusion(store=one), fusion(store=other)]


def asked_both(one: Fusion) -> Decision:
    """A decision that two candidates answered, in the database."""
    one.engine = replace(one.engine, policy=ScriptedPolicy([Try(("small", "mid"))]))
    decision = serve(one)
    assert one.store is not None
    assert one.store.flush()
    return decision


def sums(one: Fusion) -> dict[tuple[str, int], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    assert one.store is not None
    assert one.store.flush()
    return one.store.statistics()


def assert_same_sums(one: Fusion, answers: list[Answer]) -> None:
    found = sums(one)
    for answer in answers:
        observation = answer.observation
        np.testing.assert_allclose(found[observation.key], observation.contribution(), rtol=1e-9, atol=1e-12)


def known(one: Fusion, decision: Decision) -> list[Answer]:
    assert one.store is not None
    assert one.store.flush()
    return one.store.answers(decision.id)


def test_one_user_may_speak_of_many_decisions_under_one_key(workers: list[Fusion]) -> None:
    one, _ = workers
    first, second = asked_both(one), asked_both(one)
    one.feedback(first.id, thumbs=True, key="u7")
    one.feedback(second.id, thumbs=False, key="u7")
    one.feedback(second.id, 0.25, key="u7")
    assert one.store is not None
    assert one.store.flush()
    said = {d["id"]: [f["score"] for f in d["feedbacks"]] for d in one.store.decisions()}
    assert said == {first.id: [1.0], second.id: [0.25]}


def test_a_preference_that_two_processes_and_a_restarted_one_tell_counts_once(url: str, workers: list[Fusion]) -> None:
    one, other = workers
    decision = asked_both(one)
    mid, small = (replace(a, hints=()) for a in known(one, decision))
    for worker in (one, other, one):
        worker.feedback(decision.id, preferred="mid", over="small", key="u7")
        sums(worker)
    with Store(url) as again:
        fusion(store=again).feedback(decision.id, preferred="mid", over="small", key="u7")
        assert again.flush()
    won, lost = preference(mid.seen.forecast, small.seen.forecast, "u7")
    assert won.judge is not None
    assert_same_sums(one, [mid.told(won), small.told(lost)])


def test_a_preference_of_another_key_is_another_persons_and_counts(workers: list[Fusion]) -> None:
    one, other = workers
    decision = asked_both(one)
    for key in ("u7", "u8", "u7"):
        for worker in (one, other):
            worker.feedback(decision.id, preferred="mid", over="small", key=key)
            sums(worker)
    assert [h.key for h in known(one, decision)[0].hints] == [f"{decision.id}:u7", f"{decision.id}:u8"]
    once = known(one, decision)[0]
    assert once.observation.weight > replace(once, hints=once.hints[:1]).observation.weight


def test_a_preference_that_is_turned_round_in_another_process_replaces_the_first(workers: list[Fusion]) -> None:
    one, other = workers
    decision = asked_both(one)
    mid, small = (replace(a, hints=()) for a in known(one, decision))
    one.feedback(decision.id, preferred="mid", over="small", key="u7")
    sums(one)
    other.feedback(decision.id, preferred="small", over="mid", key="u7")
    sums(other)
    won, lost = preference(small.seen.forecast, mid.seen.forecast, "u7")
    assert_same_sums(one, [small.told(won), mid.told(lost)])
    assert one.store is not None
    kept = one.store.decision(decision.id)
    assert kept is not None
    assert [(f["candidate"], f["against"]) for f in kept["feedbacks"]] == [("small", "mid")]


def test_a_score_under_the_same_key_takes_the_preference_back(workers: list[Fusion]) -> None:
    one, other = workers
    decision = asked_both(one)
    one.feedback(decision.id, preferred="mid", over="small", key="u7")
    sums(one)
    other.feedback(decision.id, 1.0, key="u7")
    sums(other)
    answers = known(one, decision)
    assert {a.hints for a in answers} == {(Hint(f"{decision.id}:u7", None),)}
    assert {a.seen.truth for a in answers if a.seen.candidate == decision.answered_by} == {1.0}


def test_a_signal_that_two_processes_see_counts_once(workers: list[Fusion]) -> None:
    one, other = workers
    decision = serve(one, only=("small",))
    (before,) = known(one, decision)
    for worker in (one, other, one):
        worker.signal(decision.id, "schema_failure")
        sums(worker)
    (after,) = known(one, decision)
    assert after.seen.judge == before.seen.judge
    assert len(after.hints) == 1
    assert_same_sums(other, [after])


def test_a_late_hint_of_one_process_does_not_undo_what_another_was_told(workers: list[Fusion]) -> None:
    one, other = workers
    decision = serve(one, only=("small",))
    one.feedback(decision.id, 0.0)
    sums(one)
    other.feedback(decision.id, 1.0)
    sums(other)
    one.signal(decision.id, "retried")
    (answer,) = known(one, decision)
    assert answer.seen.truth == 1.0
