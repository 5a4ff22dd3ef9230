"""What a finished decision teaches, with feedback and without, and what it must not teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion.learning.online.evidence import verdict_evidence
from emafusion.learning.online.hints import Answer, Hint
from emafusion.learning.online.observation import Observation
from emafusion.learning.online.preferences import Signal, preference, signalled
from emafusion.learning.online.rewards import audit_truth, fill_in, observations, told
from emafusion.types import Attempt, Decision, Reply, Verdict
from tests.learning.online.synthetic import forecast

FEATURES = np.array([1.0, 0.2])


def attempt(name: str, confidence: float, cluster: int = -1, *, failed: bool = False) -> Attempt:
    return Attempt(name, None if failed else Reply("x"), confidence=confidence, cluster=cluster)


def decision(*attempts: Attempt, judged: tuple[str, ...] = (), audited: str | None = None) -> Decision:
    f = replace(forecast([0.7, 0.8, 0.9]), uncorrected=(0.5, 0.6, 0.9), right_agree=0.95, wrong_agree=0.1)
    return Decision(
        id="d",
        answered_by=attempts[0].candidate,
        confidence=0.9,
        cost_usd=0.0,
        draft_cost_usd=0.0,
        judge_cost_usd=0.0,
        reference="c",
        saved_usd=0.0,
        objective={},
        forecast=f,
        attempts=attempts,
        verdicts=tuple(Verdict(j, c, 0.9) for j, c in (pair.split(":") for pair in judged)),
        reason="",
        audited=audited,
        tick=7.0,
    )


def test_a_lone_answer_accepted_unseen_teaches_nothing() -> None:
    (observation,) = observations(decision(attempt("a", 0.7, 0)), FEATURES)
    assert observation.judge is None
    assert not observation.contribution().any()


def test_rules_alone_teach_nothing_for_they_speak_up_only_against_answers() -> None:
    (observation,) = observations(decision(attempt("a", 0.2, 0), judged=("rules:a",)), FEATURES)
    assert observation.judge is None


def test_a_verdict_teaches_from_the_forecast_before_any_correction() -> None:
    (observation,) = observations(decision(attempt("a", 0.9), judged=("llm:a",)), FEATURES)
    assert observation.forecast == 0.5
    assert observation.tick == 7.0
    # From 0.7 to 0.9 is a likelihood ratio of (9 / 1) / (7 / 3); that takes 0.5 to its share.
    ratio = 9.0 / (7.0 / 3.0)
    assert observation.judge == pytest.approx(ratio / (1.0 + ratio))
    assert 0.0 < observation.weight < 1.0


def test_evidence_that_says_neither_yes_nor_no_does_not_confirm_the_forecast() -> None:
    (observation,) = observations(decision(attempt("a", 0.7), judged=("llm:a",)), FEATURES)
    assert not observation.contribution().any()


def test_two_answers_that_can_be_compared_teach_and_one_that_cannot_does_not() -> None:
    both = observations(decision(attempt("a", 0.9, 0), attempt("b", 0.4, 1)), FEATURES)
    assert [o.judge is not None for o in both] == [True, True]
    mixed = observations(decision(attempt("a", 0.9, 0), attempt("b", 0.8, -1)), FEATURES)
    assert [o.judge is not None for o in mixed] == [False, False]


def test_a_candidate_that_failed_is_not_observed() -> None:
    assert [
        o.candidate for o in observations(decision(attempt("a", 0.9, 0), attempt("b", 0.0, failed=True)), FEATURES)
    ] == ["a"]


def test_feedback_is_for_the_answer_and_those_that_agree() -> None:
    made = decision(attempt("a", 0.9, 0), attempt("b", 0.9, 0), attempt("c", 0.3, 1))
    assert told(made, 0.0) == {"a": 0.0, "b": 0.0}
    assert told(decision(attempt("a", 0.9, -1), attempt("b", 0.9, -1)), 1.0) == {"a": 1.0}
    filled = fill_in(observations(made, FEATURES, audit=0.01)[0], 1.0)
    assert (filled.truth, filled.propensity) == (1.0, 1.0)


@pytest.mark.parametrize("quality", [0.2, 0.8])
def test_audits_mean_the_quality_though_the_reference_errs(quality: float) -> None:
    right, rho, eps = 0.9, 0.95, 0.1
    agree = quality * right * rho + (1 - quality) * (1 - right) * eps
    truths = [audit_truth(decision(attempt("a", 0.7, 0), attempt("c", 0.9, k), audited="c")) for k in (0, 1)]
    assert truths[0] is not None
    assert truths[1] is not None
    assert agree * truths[0] + (1 - agree) * truths[1] == pytest.approx(quality)


def test_an_audit_that_cannot_be_compared_says_nothing() -> None:
    assert audit_truth(decision(attempt("a", 0.7, -1), attempt("c", 0.9, 0), audited="c")) is None
    assert audit_truth(decision(attempt("a", 0.7, 0))) is None


def test_judges_are_compared_with_an_audit_that_they_have_not_seen() -> None:
    made = decision(attempt("a", 0.99, 0), attempt("c", 0.99, 0), judged=("llm:a",), audited="c")
    without, _ = observations(made, FEATURES, audit=0.02)
    assert without.judge is None
    assert without.propensity == 0.02
    heard, _ = observations(made, FEATURES, audit=0.02, confidences={"a": 0.8})
    assert heard.judge is not None
    assert heard.judge < 0.8
    assert heard.truth is not None
    assert heard.truth > 1.0


@given(st.floats(0.05, 0.95), st.floats(0.1, 4.0))
def test_evidence_moves_a_forecast_nowhere_on_average(p: float, strength: float) -> None:
    right = 1 / (1 + np.exp(-strength))
    good = p * right + (1 - p) * (1 - right)
    (up, weight), (down, _) = (verdict_evidence(p, s * strength) for s in (1, -1))
    assert good * up + (1 - good) * down == pytest.approx(p)
    assert 0.0 <= weight <= 1.0
    # By the weight it moves with the quality.
    assert right * up + (1 - right) * down - ((1 - right) * up + right * down) == pytest.approx(weight)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_preferences_raise_the_preferred_lower_the_other_and_are_unbiased(p: float, q: float) -> None:
    won, lost = preference(p, q, "k")
    lost_instead = preference(q, p, "k")[1]
    assert won.judge is not None
    assert lost.judge is not None
    assert lost_instead.judge is not None
    assert won.judge > p
    assert lost.judge < q
    wins = p * (0.5 * q + 0.88 * (1 - q)) + (1 - p) * (0.12 * q + 0.5 * (1 - q))
    assert wins * won.judge + (1 - wins) * lost_instead.judge == pytest.approx(p)
    assert 0.0 < won.weight < 0.6


def test_signals_lower_and_their_absence_raises_a_little() -> None:
    bad = [signalled(0.7, "k", s) for s in ("rephrased", "retried", "schema_failure")]
    judged = [hint.judge for hint in bad if hint.judge is not None]
    assert judged == sorted(judged, reverse=True)
    assert judged[0] < 0.7
    quiet = signalled(0.7, "k", "rephrased", present=False)
    assert quiet.judge is not None
    assert 0.7 < quiet.judge < 0.8
    assert quiet.weight < 0.2


def test_a_signal_adds_to_what_a_judge_said() -> None:
    judge, weight = verdict_evidence(0.7, 1.2)
    seen = Observation("d", "a", 0.0, FEATURES, 0.7, judge=judge, weight=weight)
    both = Answer(seen).told(signalled(0.7, "k", "retried")).observation
    assert both.judge is not None
    assert both.judge < judge
    assert both.weight > weight


@given(st.permutations(["retried", "rephrased", "schema_failure"]))
def test_hints_come_to_the_same_in_any_order_and_told_again(order: list[Signal]) -> None:
    seen = Observation("d", "a", 0.0, FEATURES, 0.7, judge=0.8, weight=0.3)
    first = Answer(seen)
    for signal in ("retried", "rephrased", "schema_failure", "retried"):
        first = first.told(signalled(0.7, signal, signal))
    told = Answer(seen)
    for signal in order:
        told = told.told(signalled(0.7, signal, signal, present=False)).told(signalled(0.7, signal, signal))
    assert told.observation == first.observation


def test_a_hint_that_is_taken_back_leaves_what_was_seen() -> None:
    seen = Observation("d", "a", 0.0, FEATURES, 0.7, judge=0.8, weight=0.3)
    told = Answer(seen).told(signalled(0.7, "k", "retried"))
    assert told.observation != seen
    assert told.told(Hint("k", None)).observation == seen
