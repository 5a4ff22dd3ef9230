"""What an observation adds to the learned sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion.learning.online.observation import EPOCH, GAMMA, Observation
from emafusion.learning.online.sums import Sums, row_length

SHARE = st.floats(0.0, 1.0)
OBSERVATIONS = st.builds(
    Observation,
    decision_id=st.just("d"),
    candidate=st.sampled_from(["a", "b"]),
    tick=st.floats(0, 3 * EPOCH),
    features=st.lists(st.floats(-2, 2), min_size=3, max_size=3).map(np.array),
    forecast=st.floats(0.01, 0.99),
    judge=st.none() | SHARE,
    truth=st.none() | SHARE,
    weight=SHARE,
    propensity=st.floats(0.01, 1.0),
)


def observation(**given: float | None) -> Observation:
    known = {"tick": 0.0, "forecast": 0.6, "weight": 0.5, "judge": None, "truth": None, "propensity": 1.0} | given
    return Observation(decision_id="d", candidate="a", features=np.array([1.0, 0.3]), **known)  # type: ignore[arg-type]


def sums(observation: Observation) -> Sums:
    return Sums.unpack(observation.contribution(), 3)


def test_nothing_is_added_while_nobody_has_spoken() -> None:
    added = observation().contribution()
    assert added.shape == (row_length(3),)
    assert not added.any()


@given(st.lists(OBSERVATIONS, max_size=6), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_the_order(observations: list[Observation], random: object) -> None:
    def total(listed: list[Observation]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.sum([o.contribution() for o in listed], axis=0) if listed else np.zeros(1)

    shuffled = list(observations)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    np.testing.assert_allclose(total(observations), total(shuffled), rtol=1e-9, atol=1e-9)


@given(OBSERVATIONS, SHARE)
def test_a_later_word_replaces_an_earlier_one(before: Observation, truth: float) -> None:
    after = before.given(None, truth)
    row = before.contribution()
    np.testing.assert_allclose(row - before.contribution() + after.contribution(), after.contribution(), atol=1e-9)
    assert after.truth == truth
    assert after.judge == before.judge


@given(st.lists(OBSERVATIONS, min_size=1, max_size=6))
def test_a_sum_of_grams_is_positive_semidefinite(observations: list[Observation]) -> None:
    gram = Sums.unpack(np.sum([o.contribution() for o in observations], axis=0), 4).gram
    assert np.linalg.eigvalsh(gram).min() >= -1e-9


@given(OBSERVATIONS)
def test_packing_loses_nothing(observation: Observation) -> None:
    row = observation.contribution()
    np.testing.assert_array_equal(Sums.unpack(row, 4).pack(), row)


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="has length"):
        Sums.unpack(observation().contribution(), 4)


def test_a_truth_counts_as_evidence_that_tells_everything() -> None:
    told = sums(observation(truth=1.0, forecast=0.5))
    judged = sums(observation(judge=1.0, weight=1.0, forecast=0.5))
    np.testing.assert_allclose(told.gram, judged.gram)
    np.testing.assert_allclose(told.moment, judged.moment)


def test_weak_evidence_adds_little_certainty() -> None:
    weak, strong = (sums(observation(judge=0.7, weight=w)) for w in (0.1, 0.5))
    assert weak.gram[0, 0] == pytest.approx(0.2 * strong.gram[0, 0])


def test_the_least_squares_of_evidence_find_the_quality() -> None:
    """A judge that is right in 77 of 100 cases, read as a posterior, is unbiased for a quality of 0.3."""
    forecast, right = 0.6, 0.77
    yes = forecast * right / (forecast * right + (1 - forecast) * (1 - right))
    no = forecast * (1 - right) / (forecast * (1 - right) + (1 - forecast) * right)
    weight = (yes - no) * (2 * right - 1)
    said_good = 0.3 * right + 0.7 * (1 - right)
    rows = [
        share * observation(judge=judge, weight=weight).contribution()
        for share, judge in ((said_good, yes), (1 - said_good, no))
    ]
    total = Sums.unpack(np.sum(rows, axis=0), 3)
    assert forecast + total.moment[0] / total.gram[0, 0] == pytest.approx(0.3)


def test_both_words_give_a_pair_that_weighs_more_the_rarer_it_was_asked_for() -> None:
    pair = sums(observation(judge=0.8, truth=0.0, weight=0.5, propensity=0.1)).pairs
    error = 0.2 / 0.5 + 0.6
    heard = 5.0 * 0.25 / 0.24
    np.testing.assert_allclose(pair, [heard, 10 * heard, heard * error, heard * error**2, 10.0])
    assert not sums(observation(judge=0.8)).pairs.any()
    assert not sums(observation(truth=0.8)).pairs.any()


def test_within_an_epoch_a_later_decision_weighs_more_by_what_forgetting_will_take_from_the_earlier() -> None:
    early, late = (sums(observation(truth=1.0, tick=t)).gram[0, 0] for t in (EPOCH, EPOCH + 10))
    assert early / late == pytest.approx(GAMMA**10)
    assert observation(tick=EPOCH + 10).key == ("a", 1)
