"""How much candidates write is summed by all processes: each decision once, and nothing is lost or forgotten twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from emafusion.learning.online.lengths import OutputLengths, total
from emafusion.store import Store
from tests.store.decisions import NAMES, of_any_length
from tests.store.workers import OBSERVATIONS, run

Lengths = dict[tuple[str, int], NDArray[np.float64]]


def assert_same(found: Lengths, expected: Lengths) -> None:
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        np.testing.assert_allclose(found[key], row, rtol=1e-9)


def factors(rows: Lengths) -> list[float]:
    lengths = OutputLengths()
    lengths.replace(rows)
    return [lengths.factor(name) for name in NAMES]


def test_four_processes_and_one_end_with_the_same(url: str, tmp_path: Path) -> None:
    run("write", url, 4)
    alone = OutputLengths()
    for i in range(OBSERVATIONS):
        alone.learn(of_any_length(i)[1].decision)
    with Store(tmp_path / "alone.sqlite") as store:
        for i in range(OBSERVATIONS):
            store.record(*of_any_length(i))
        assert store.flush()
        expected = store.lengths()
    with Store(url) as shared:
        found = shared.lengths()
    assert_same(found, expected)
    assert len({epoch for _, epoch in found}) > 20
    in_memory = [alone.factor(name) for name in NAMES]
    assert factors(found) == pytest.approx(in_memory, rel=1e-9)
    assert max(in_memory) / min(in_memory) > 1.01


def test_a_decision_that_is_sent_again_counts_once(url: str) -> None:
    for _ in range(2):
        with Store(url) as store:
            store.record(*of_any_length(10))
            store.record(*of_any_length(10))
            assert store.flush()
            assert {row[0] for row in store.lengths().values()} == {1.0}


def test_lengths_that_nobody_told_or_expected_are_not_counted(url: str) -> None:
    query, result = of_any_length(2)  # the third answer's length is an estimate
    stranger = replace(result.decision.attempts[0], candidate="a judge's model")
    attempts = (*result.decision.attempts, stranger)
    with Store(url) as store:
        store.record(query, replace(result, decision=replace(result.decision, attempts=attempts)))
        assert store.flush()
        assert {candidate for candidate, _ in store.lengths()} == {"small", "large"}


def test_epochs_of_long_ago_are_put_together_and_come_to_the_same(url: str) -> None:
    with Store(url) as store:
        for i in range(60):
            store.record(*of_any_length(i))
        assert store.flush()
        before = store.lengths()
        store.fold(3, lambda row, epochs: row)
        after = store.lengths()
        assert {epoch for _, epoch in after} == {epoch for _, epoch in before if epoch >= 3}
        store.fold(3, lambda row, epochs: row)
        assert_same(store.lengths(), after)
    assert factors(after) == pytest.approx(factors(before), rel=1e-12)
    old = {epoch: row for (name, epoch), row in before.items() if name == "small" and epoch <= 3}
    np.testing.assert_allclose(after["small", 3], total(old), rtol=1e-12)


def test_a_candidate_that_is_forgotten_is_forgotten_here_too(url: str) -> None:
    with Store(url) as store:
        store.record(*of_any_length(0))
        store.forget("small")
        assert "small" not in {candidate for candidate, _ in store.lengths()}
