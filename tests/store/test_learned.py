"""Learned sums: whoever sends what in whichever order, the sums are those of what is known in the end."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emafusion.errors import ConfigError
from emafusion.learning.online.hints import Answer, Hint
from emafusion.learning.online.observation import Observation
from emafusion.store import Store
from tests.store.observed import observed, words
from tests.store.workers import OBSERVATIONS, run

Sums = dict[tuple[str, int], NDArray[np.float64]]


def summed(observations: Iterable[Observation]) -> Sums:
    """The sums by definition."""
    sums: Sums = {}
    for x in observations:
        sums[x.key] = sums.get(x.key, 0.0) + x.contribution()
    return sums


def assert_same(found: Sums, expected: Sums) -> None:
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-9, atol=1e-12)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "emafusion.sqlite"


def test_sums_are_kept_by_candidate_and_epoch(url: str) -> None:
    seen = [observed(i, judge=0.5) for i in range(300)]
    with Store(url) as store:
        store.learn(seen)
        assert store.flush()
        assert_same(store.statistics(), summed(seen))
    assert len({x.key for x in seen}) > 3 * 3


def test_what_is_known_already_changes_nothing(path: Path) -> None:
    with Store(path) as store:
        store.learn([observed(0, judge=0.5), observed(0, judge=0.5)])
        assert store.flush()
        once = store.statistics()
        store.learn([observed(0, judge=0.5), observed(0)])
        assert store.flush()
        assert_same(store.statistics(), once)
        assert_same(once, summed([observed(0, judge=0.5)]))


def test_a_later_word_takes_back_what_an_earlier_one_added(url: str) -> None:
    with Store(url) as store:
        store.learn([observed(0, judge=0.9)])
        assert store.flush()
        store.learn([observed(0, truth=0.0)])
        assert store.flush()
        assert_same(store.statistics(), summed([observed(0, judge=0.9, truth=0.0)]))
        store.learn([observed(0, judge=0.1)])
        assert store.flush()
        assert_same(store.statistics(), summed([observed(0, judge=0.1, truth=0.0)]))


def test_only_words_are_revised_and_the_rest_stays_as_first_seen(path: Path) -> None:
    first = observed(0, judge=0.5)
    later = replace(first, features=first.features + 1.0, tick=99_999.0, forecast=0.0, truth=1.0, propensity=0.25)
    with Store(path) as store:
        store.learn([first, later])
        assert store.flush()
        assert_same(store.statistics(), summed([replace(first, truth=1.0, propensity=0.25)]))


def test_an_observation_without_words_adds_nothing(path: Path) -> None:
    with Store(path) as store:
        store.learn([observed(0)])
        assert store.flush()
        assert store.statistics() == {}
        assert store.dropped == 0


maybe = st.none() | st.sampled_from([0.0, 0.25, 1.0])


@given(st.lists(st.tuples(st.integers(0, 4), maybe, maybe), max_size=25))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_the_sums_are_those_of_the_last_words(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[int, float | None, float | None]]
) -> None:
    last: dict[int, Observation] = {}
    with Store(tmp_path_factory.mktemp("words") / "x.sqlite") as store:
        for i, (number, judge, truth) in enumerate(said):
            store.learn([observed(number, judge, truth)])
            last[number] = last.get(number, observed(number)).given(judge, truth)
            if i % 5 == 0:
                store.flush()
        assert store.flush()
        assert_same(store.statistics(), summed(x for x in last.values() if x.judge is not None or x.truth is not None))


def test_sums_of_another_length_are_refused_and_say_what_to_do(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(path) as store:
        store.learn([observed(0, judge=0.5)])
        assert store.flush()
        before = store.statistics()
        store.learn([replace(observed(3, judge=0.5), features=np.ones(2))])
        assert store.flush()
        assert store.dropped == 1
        assert "forget the candidate" in caplog.text
        assert_same(store.statistics(), before)


def test_a_candidate_can_be_forgotten(path: Path) -> None:
    with Store(path) as store:
        store.learn([observed(i, judge=0.5) for i in range(9)])
        store.forget("small")
        assert {candidate for candidate, _ in store.statistics()} == {"large", "other"}
        store.learn([observed(0, judge=0.5)])
        assert store.flush()
        assert_same({("small", 0): store.statistics()["small", 0]}, summed([observed(0, judge=0.5)]))


def test_a_hint_counts_once_however_often_and_by_whom_it_is_told(url: str) -> None:
    seen, hint = observed(0, judge=0.9), Hint("k", 0.2, 0.4)
    with Store(url) as one, Store(url) as other:
        one.learn([seen])
        assert one.flush()
        for store in (one, other, one):
            store.learn([replace(seen, judge=None)], [hint])
            assert store.flush()
        once = Answer(seen, (hint,)).observation
        assert_same(one.statistics(), summed([once]))
        (known,) = other.answers("d0")
        assert known.hints == (hint,)
        assert known.observation.judge == once.judge


def test_a_hint_of_the_same_key_replaces_and_takes_back_what_was_told_before(url: str) -> None:
    seen = observed(0, judge=0.9)
    with Store(url) as one, Store(url) as other:
        for store, hints in ((one, [Hint("k", 0.2, 0.4), Hint("l", 0.3, 0.4)]), (other, [Hint("k", 0.8, 0.1)])):
            store.learn([seen], hints)
            assert store.flush()
        now = Answer(seen, (Hint("k", 0.8, 0.1), Hint("l", 0.3, 0.4)))
        assert_same(one.statistics(), summed([now.observation]))
        one.learn([seen], [Hint("k", None), Hint("l", None)])
        assert one.flush()
        assert_same(one.statistics(), summed([seen]))


@pytest.mark.parametrize(("database", "count"), [("sqlite", 2), ("postgresql", 4)])
def test_processes_that_learn_at_the_same_time_lose_nothing(
    database: str, count: int, path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{path}" if database == "sqlite" else request.getfixturevalue("postgres_url")
    run("learn", url, count)
    last = [(words(i)[0][-1], next(reversed(words(i)[1]), None)) for i in range(OBSERVATIONS)]
    with Store(path.with_name("alone.sqlite")) as alone:
        alone.learn([observed(i, judge, truth) for i, (judge, truth) in enumerate(last)])
        assert alone.flush()
        expected = alone.statistics()
    with Store(url) as store:
        assert_same(store.statistics(), expected)
    assert_same(expected, summed(observed(i, judge, truth) for i, (judge, truth) in enumerate(last)))


def test_workers_never_get_the_same_decision_number(url: str) -> None:
    blocks: list[int] = []

    def work() -> None:
        with Store(url) as store:
            blocks.extend(store.next_ticks(7) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(blocks) == list(range(0, 3 * 10 * 7, 7))


def test_no_decision_numbers_at_all_cannot_be_asked_for(path: Path) -> None:
    with Store(path) as store, pytest.raises(ConfigError, match="one number or more"):
        store.next_ticks(0)
