"""How forecasts are corrected by what was learned, and how what was learned is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emafusion.encoders import HashingEncoder, default_encoder
from emafusion.learning.online.learner import OnlineLearner
from emafusion.learning.online.observation import EPOCH, Observation
from emafusion.learning.online.reduction import DIMENSIONS, Reduction
from emafusion.learning.online.settings import Learning
from tests.learning.online.synthetic import forecast, reduction


def told(learner: OnlineLearner, truth: float, n: int, candidate: str = "a", kind: int = 0, at: float = 0.0) -> None:
    """``n`` answers of a candidate whose truth is known; its forecast is 0.7."""
    features = learner.features(forecast([0.7], kind))
    learner.observe(Observation(f"{i}", candidate, at + i, features, 0.7, truth=truth) for i in range(n))


def fresh(**given: float) -> OnlineLearner:
    return OnlineLearner(Learning(**given), reduction=reduction())  # type: ignore[arg-type]


def test_before_any_answer_a_forecast_stays_as_it_is() -> None:
    before = forecast([0.7, 0.4])
    after = fresh().correct(before)
    assert after.p_good == before.p_good
    assert after.spread == pytest.approx(before.spread)
    assert after.uncorrected == before.p_good


def test_answers_move_the_forecast_towards_them_and_make_it_surer() -> None:
    learner = fresh()
    told(learner, 0.0, 30)
    after = learner.correct(forecast([0.7, 0.7]))
    assert after.p_good[0] < 0.35
    assert after.spread[0] < 0.1
    assert after.p_good[0] < after.p_good[1]


def test_a_candidate_never_asked_is_corrected_by_what_is_shared_and_stays_unsure() -> None:
    learner = fresh()
    for name in "abc":
        told(learner, 0.2, 40, name)
    after = learner.correct(forecast([0.7] * 4))
    assert after.p_good[3] < 0.6
    assert after.spread[3] > 2 * after.spread[0]


def test_a_stronger_prior_is_moved_less() -> None:
    moved = []
    for strength in (2.0, 10.0, 100.0):
        learner = fresh(prior_strength=strength)
        told(learner, 0.0, 10)
        moved.append(learner.correct(forecast([0.7])).p_good[0])
    assert moved == sorted(moved)


def test_a_wide_forecast_is_moved_more_than_a_sure_one() -> None:
    moved = []
    for spread in (0.3, 0.05):
        learner = fresh()
        learner.correct(forecast([0.7], spread=spread))
        told(learner, 0.0, 10)
        moved.append(learner.correct(forecast([0.7], spread=spread)).p_good[0])
    assert moved[0] < moved[1]


def test_old_answers_count_less() -> None:
    learner = fresh(memory=0.99)
    told(learner, 0.0, 30, at=0.0)
    told(learner, 1.0, 30, at=1000.0)
    assert learner.correct(forecast([0.7])).p_good[0] > 0.8


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 400), st.floats(0, 1)), min_size=1, max_size=12))
def test_workers_that_share_sums_learn_what_one_would(said: list[tuple[str, float, float]]) -> None:
    features = np.array([1.0, 0.5, -0.5])
    observations = [Observation(str(i), c, t, features, 0.6, truth=y) for i, (c, t, y) in enumerate(said)]
    alone, first, second = fresh(), fresh(), fresh()
    alone.observe(observations)
    first.observe(observations[::2])
    second.observe(observations[1::2])
    first.merge(second.sums())
    copy = fresh()
    copy.replace(first.sums())
    for learner in (first, copy):
        learner.tick = alone.tick
        learner.merge({})
        np.testing.assert_allclose(
            learner.correct(forecast([0.6, 0.6])).p_good, alone.correct(forecast([0.6, 0.6])).p_good, atol=1e-9
        )


def test_a_revision_is_as_if_the_last_word_had_been_the_first() -> None:
    revised, straight = fresh(), fresh()
    before = Observation("d", "a", 3.0, np.array([1.0, 0.5, 0.0]), 0.7, judge=0.9, weight=0.3)
    after = before.given(None, 0.0)
    revised.observe([before])
    revised.revise(before, after)
    straight.observe([after])
    np.testing.assert_allclose(revised.sums()["a", 0], straight.sums()["a", 0], atol=1e-12)
    with pytest.raises(ValueError, match="cannot be revised"):
        revised.revise(before, Observation("d", "b", 3.0, before.features, 0.7))


def test_a_change_lets_what_came_before_count_little_and_the_forecast_for_little() -> None:
    learner = fresh()
    told(learner, 1.0, 100)
    sure = learner.correct(forecast([0.7]))
    learner.forget("a", before=200.0)
    after = learner.correct(forecast([0.7]))
    assert after.spread[0] > 2 * sure.spread[0]
    assert learner.changes() == {"a": 200 // EPOCH}
    told(learner, 0.0, 10, at=210.0)
    assert learner.correct(forecast([0.7])).p_good[0] < 0.4
    learner.replace(learner.sums())
    assert learner.changes() == {"a": 200 // EPOCH}


def test_a_forgotten_candidate_is_as_it_was_forecast() -> None:
    learner = fresh()
    told(learner, 0.0, 20)
    learner.forget("a")
    assert learner.correct(forecast([0.7])).p_good[0] == pytest.approx(0.7)


def test_a_judge_that_audits_show_to_favour_a_candidate_is_not_believed() -> None:
    def learned(audits: int) -> float:
        learner = fresh()
        features = learner.features(forecast([0.7]))
        for i in range(200):
            judge, truth = 0.83, (0.5 if i < audits else None)
            learner.observe([Observation(str(i), "a", float(i), features, 0.7, judge=judge, truth=truth, weight=0.3)])
        return learner.correct(forecast([0.7])).p_good[0]

    assert learned(0) > 0.8
    assert learned(40) < 0.6


def test_judges_alone_never_make_a_forecast_as_sure_as_the_truth_does() -> None:
    spread = []
    for truth in (True, False):
        learner = fresh()
        features = learner.features(forecast([0.5]))
        word = {"truth": 0.5} if truth else {"judge": 0.5}
        learner.observe([Observation(str(i), "a", 0.0, features, 0.5, weight=1.0, **word) for i in range(500)])
        spread.append(learner.correct(forecast([0.5])).spread[0])
    assert spread[0] < 0.5 * spread[1]


def test_who_joins_later_is_a_newcomer_and_audited_oftener() -> None:
    learner = fresh(audit=0.02)
    learner.correct(forecast([0.7, 0.7]))
    learner.correct(forecast([0.7, 0.7, 0.7]))
    names = ("a", "b", "c")
    assert learner.standing(names).newcomer.tolist() == [False, False, True]
    chances = [learner.audit_chance(n, names) for n in names]
    assert chances[2] > chances[0] > 0.02
    assert fresh(audit=0.0).audit_chance("a", names) == 0.0


def test_answers_of_a_suspect_are_audited_often_until_it_is_none() -> None:
    learner = fresh(audit=0.02)
    names = ("a", "b")
    learner.correct(forecast([0.7, 0.7]))
    usual = learner.audit_chance("a", names)
    learner.suspect(frozenset({"a"}))
    assert (learner.audit_chance("a", names), learner.audit_chance("b", names)) == (0.5, usual)
    learner.suspect(frozenset())
    assert learner.audit_chance("a", names) == usual
    off = fresh(audit=0.0)
    off.suspect(frozenset({"a"}))
    assert off.audit_chance("a", names) == 0.0


def test_sums_of_another_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="another encoder or version"):
        fresh().merge({("a", 0): np.zeros(3)})


def test_a_query_without_a_vector_is_corrected_by_level_alone() -> None:
    learner = fresh()
    told(learner, 0.0, 20)
    from dataclasses import replace

    assert learner.correct(replace(forecast([0.7]), embedding=None)).p_good[0] < 0.5


@pytest.mark.parametrize("encoder", [default_encoder(), HashingEncoder(64)], ids=["shipped", "hashing"])
def test_every_process_reduces_vectors_alike_and_to_about_unit_length(encoder: HashingEncoder) -> None:
    first, second = Reduction.of(encoder), Reduction.of(encoder)
    np.testing.assert_array_equal(first.basis, second.basis)
    vectors = encoder.encode(["What is 2 + 2?", "Write a poem on the sea.", "Translate this into French: good day"])
    features = np.array([first.features(v) for v in vectors])
    assert features.shape == (3, 1 + DIMENSIONS)
    assert (features[:, 0] == 1.0).all()
    assert 0.1 < (features[:, 1:] ** 2).sum(1).mean() < 4.0
