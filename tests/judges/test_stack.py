"""The stack of judges: what k verdicts are worth together, with labels and without."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion.estimators.judge_stack import MOST, JudgeStack
from emafusion.estimators.scales import logit, sigmoid
from emafusion.estimators.tempering import assumed_correlation, error_correlation
from tests.judges.verdict_columns import Array, auroc, drawn_verdicts, ece

SIX = (0.60, 0.62, 0.64, 0.66, 0.68, 0.70)
NAMES = tuple(f"judge {i}" for i in range(6))
SCORES = st.one_of(st.none(), st.floats(0.0, 1.0))


def drawn(n: int, correlation: float, seed: int, accuracies: tuple[float, ...] = SIX) -> tuple[Array, Array, Array]:
    """Prior log-odds, outcomes, verdicts."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0.3, 0.7, n)
    good = (rng.random(n) < sigmoid(offset)).astype(np.float64)
    return offset, good, drawn_verdicts(good, accuracies, correlation, rng)


def fitted(n: int, correlation: float, seed: int, accuracies: tuple[float, ...] = SIX) -> JudgeStack:
    offset, good, scores = drawn(n, correlation, seed, accuracies)
    names = [f"judge {i}" for i in range(len(accuracies))]
    return JudgeStack.fit(names, scores, np.ones(scores.shape, dtype=bool), good, offset)


def confidence(stack: JudgeStack, offset: Array, scores: Array) -> Array:
    heard = np.ones(scores.shape, dtype=bool)
    return np.asarray(sigmoid(offset + stack.columns(scores, heard, [""] * len(scores))))


# -- without labels ------------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.floats(0.0, 1.0), st.floats(0.1, 4.0))
def test_k_copies_of_a_judge_say_what_one_says(k: int, score: float, weight: float) -> None:
    names = [f"copy {i}" for i in range(k)]
    weights, kin = dict.fromkeys(names, weight), dict.fromkeys(names, "one head")
    one = JudgeStack().llr({"copy 0": score}, weights, kin)
    assert JudgeStack().llr(dict.fromkeys(names, score), weights, kin) == pytest.approx(one)


@given(st.dictionaries(st.sampled_from(NAMES), SCORES), st.dictionaries(st.sampled_from(NAMES), st.floats(0.0, 4.0)))
def test_evidence_is_bounded_and_silence_says_nothing(
    verdicts: dict[str, float | None], weights: dict[str, float]
) -> None:
    assert abs(JudgeStack().llr(verdicts, weights)) <= MOST
    assert JudgeStack().llr(dict.fromkeys(verdicts, None), weights) == 0.0


@given(st.lists(st.floats(0.5, 1.0), min_size=1, max_size=6))
def test_strangers_who_all_approve_say_more_than_any_one_and_less_than_their_sum(scores: list[float]) -> None:
    given_ = dict(zip(NAMES, scores))
    weights = dict.fromkeys(NAMES, 0.5)
    alone = [JudgeStack().llr({name: score}, weights) for name, score in given_.items()]
    together = JudgeStack().llr(given_, weights)
    assert np.mean(alone) - 1e-9 <= together <= sum(alone) + 1e-9


def test_copies_are_found_out_by_their_verdicts_alone() -> None:
    _, _, scores = drawn(2000, 0.0, 0, (0.7, 0.7, 0.7))
    scores[:, 1] = scores[:, 0]
    stack = JudgeStack.tempered(("a", "copy of a", "c"), scores, np.full(3, 0.85))
    assert stack.correlation[0, 1] > 0.95
    assert stack.correlation[0, 2] < 0.1
    weights = dict.fromkeys(stack.judges, 0.85)
    one = stack.llr({"a": 0.9}, weights)
    assert stack.llr({"a": 0.9, "copy of a": 0.9}, weights) == pytest.approx(one, rel=0.05)
    assert stack.llr({"a": 0.9, "c": 0.9}, weights) > 1.8 * one


def test_few_verdicts_leave_the_correlation_as_assumed() -> None:
    assumed = assumed_correlation(("a", "b"))
    assert error_correlation(np.full((2, 2), 0.9), np.ones(2), assumed).tolist() == assumed.tolist()


# -- with labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", [0.2, 0.5])
def test_six_noisy_correlated_judges_beat_the_best_of_them_and_the_majority(correlation: float) -> None:
    stack = fitted(1500, correlation, 1)
    _, good, scores = drawn(6000, correlation, 2)
    even = np.zeros(len(good))
    stacked = confidence(stack, even, scores)
    own = [((scores[:, j] > 0.5) == (good > 0.5)).mean() for j in range(6)]
    votes = (scores > 0.5).mean(1)
    majority = np.where(votes == 0.5, 0.5, ((votes > 0.5) == (good > 0.5)).astype(float)).mean()
    # The base rate is what the prior knows; judged by rank, so that the threshold is nobody's advantage.
    accuracy = ((stacked > np.quantile(stacked, 1 - good.mean())) == (good > 0.5)).mean()
    assert all(0.58 < a < 0.72 for a in own)
    assert accuracy > max(own) + 0.005
    assert accuracy > majority + 0.005
    assert auroc(stacked, good) > max(auroc(scores[:, j], good) for j in range(6)) + 0.005
    assert auroc(stacked, good) > auroc(votes, good) + 0.005


@pytest.mark.parametrize("labels", [600, 3000])  # Platt's line, an isotonic curve
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_panel_is_calibrated_on_held_out_answers(labels: int, correlation: float) -> None:
    errors = []
    for seed in range(4):
        stack = fitted(labels, correlation, 100 + seed)
        offset, good, scores = drawn(8000, correlation, 200 + seed)
        errors.append(ece(confidence(stack, offset, scores), good))
    assert np.mean(errors) <= 0.03


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_any_part_of_the_panel_is_calibrated_too(correlation: float) -> None:
    """The policy asks one judge after the other, and stops: whoever was heard, the confidence must hold."""
    errors = []
    for seed in range(4):
        stack = fitted(3000, correlation, 300 + seed)
        offset, good, scores = drawn(8000, correlation, 400 + seed)
        absent = np.random.default_rng(seed).random(scores.shape) < 0.6
        some = np.where(absent, np.nan, scores)
        p = np.asarray(sigmoid(offset + stack.columns(some, ~absent, [""] * len(some))))
        errors.append(ece(p, good))
    assert np.mean(errors) <= 0.03


def test_a_panel_of_all_copies_is_as_sure_as_one_judge() -> None:
    rng = np.random.default_rng(5)
    offset, good, scores = drawn(2000, 0.0, 5, (0.7,))
    names = [f"copy {i}" for i in range(5)]
    copies = np.repeat(scores, 5, axis=1)
    one = JudgeStack.fit(names[:1], scores, np.ones(scores.shape, dtype=bool), good, offset)
    five = JudgeStack.fit(names, copies, np.ones(copies.shape, dtype=bool), good, offset)
    score = rng.random(200)[:, None]
    alone, together = confidence(one, np.zeros(200), score), confidence(five, np.zeros(200), np.repeat(score, 5, 1))
    assert np.abs(alone - together).max() < 0.02
    # One of the five, heard alone, counts as all of them.
    some = np.full((200, 5), np.nan)
    some[:, 2] = score[:, 0]
    heard = ~np.isnan(some)
    assert np.abs(sigmoid(five.columns(some, heard, [""] * 200)) - alone).max() < 0.08


@pytest.mark.parametrize("kind", ["useless", "anti-correlated", "duplicated"])
@pytest.mark.parametrize("labels", [200, 2000])
def test_a_bad_judge_costs_a_panel_nothing_beyond_noise(kind: str, labels: int) -> None:
    losses = []
    for seed in range(5):
        sets = [drawn(n, 0.3, 10 * seed + i, (0.7, 0.65)) for i, n in enumerate((labels, 8000))]
        both = []
        for extra in (False, True):
            (offset, good, scores), (later, truth, held_out) = sets
            if extra:
                scores, held_out = (_with_bad(s, g, kind, seed) for s, g in ((scores, good), (held_out, truth)))
            names = [f"judge {i}" for i in range(scores.shape[1])]
            stack = JudgeStack.fit(names, scores, np.ones(scores.shape, dtype=bool), good, offset)
            p = np.clip(confidence(stack, later, held_out), 1e-6, 1 - 1e-6)
            both.append(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())
        losses.append(both[1] - both[0])
    assert np.mean(losses) < (0.008 if labels < 1000 else 0.001)


def _with_bad(scores: Array, good: Array, kind: str, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    if kind == "useless":
        bad = rng.random(len(good))
    elif kind == "anti-correlated":
        bad = drawn_verdicts(1.0 - good, (0.65,), 0.0, rng)[:, 0]
    else:
        bad = scores[:, 0]
    return np.column_stack([scores, bad])


def test_a_judge_that_is_always_wrong_is_read_the_other_way_round() -> None:
    rng = np.random.default_rng(6)
    good = (rng.random(3000) < 0.5).astype(np.float64)
    scores = drawn_verdicts(1.0 - good, (0.8,), 0.0, rng)
    stack = JudgeStack.fit(("contrary",), scores, np.ones(scores.shape, dtype=bool), good, np.zeros(3000))
    assert stack.llr({"contrary": 0.1}, {}) > 0.5
    assert stack.llr({"contrary": 0.9}, {}) < -0.5


def test_abstention_is_learned_from() -> None:
    """A judge that falls silent on wrong answers says something by its silence."""
    rng = np.random.default_rng(7)
    good = (rng.random(1500) < 0.5).astype(np.float64)
    scores = np.where(rng.random(1500) < np.where(good > 0.5, 0.1, 0.6), np.nan, 0.7)[:, None]
    stack = JudgeStack.fit(("shy",), scores, np.ones(scores.shape, dtype=bool), good, np.zeros(1500))
    assert stack.llr({"shy": None}, {}) < -0.5
    assert stack.llr({}, {}) == 0.0


def test_a_judge_may_be_good_at_one_task_and_useless_at_another() -> None:
    rng = np.random.default_rng(8)
    good = (rng.random(3000) < 0.5).astype(np.float64)
    task = np.where(rng.random(3000) < 0.5, "sums", "poems")
    skilled = drawn_verdicts(good, (0.85,), 0.0, rng)
    scores = np.where((task == "sums")[:, None], skilled, rng.random((3000, 1)))
    heard = np.ones(scores.shape, dtype=bool)
    stack = JudgeStack.fit(("one-sided",), scores, heard, good, np.zeros(3000), task=task.tolist())
    sums, poems, other = (stack.llr({"one-sided": 0.95}, {}, task=t) for t in ("sums", "poems", "never seen"))
    assert poems < other < sums
    assert sums > 2 * poems


def test_with_few_labels_the_shipped_weights_hold() -> None:
    _, good, scores = drawn(6, 0.0, 9, (0.7,))
    stack = JudgeStack.fit(
        ("a",), scores, np.ones(scores.shape, dtype=bool), good, np.zeros(6), weights=np.array([1.2])
    )
    gained = stack.llr({"a": 0.9}, {}) - stack.llr({"a": 0.1}, {})
    assert gained == pytest.approx(2 * 1.2, rel=0.5)


def test_a_judge_that_the_log_did_not_know_counts_beside_those_that_it_knew() -> None:
    stack = fitted(1000, 0.3, 11, (0.7, 0.7))
    known = stack.llr({"judge 0": 0.9}, {})
    both = stack.llr({"judge 0": 0.9, "new": 0.9}, {"new": 1.0})
    assert known < both < known + 1.0


def test_a_stack_survives_saving() -> None:
    for stack in (fitted(1500, 0.3, 12), JudgeStack(), JudgeStack.tempered(("a",), np.full((5, 1), 0.5), np.ones(1))):
        again = JudgeStack.from_config(json.loads(json.dumps(stack.to_config())))
        given_ = {"judge 0": 0.8, "judge 3": 0.3, "judge 4": None, "a": 0.7}
        assert again.llr(given_, {"a": 1.1}) == pytest.approx(stack.llr(given_, {"a": 1.1}))


def test_evidence_that_moves_the_confidence_less_is_fitted_accordingly() -> None:
    offset, good, scores = drawn(3000, 0.0, 13, (0.75,))
    heard = np.ones(scores.shape, dtype=bool)
    plain = JudgeStack.fit(("a",), scores, heard, good, offset)
    damped = JudgeStack.fit(("a",), scores, heard, good, offset, sensitivity=np.full(3000, 0.5))
    assert damped.llr({"a": 0.9}, {}) == pytest.approx(2 * plain.llr({"a": 0.9}, {}), rel=0.15)
    assert float(logit(np.array(0.9))) > 0
