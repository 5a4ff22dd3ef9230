"""How far judges favour a candidate, as audits and verdicts show it."""

from __future__ import annotations

import numpy as np
import pytest

from emafusion.learning.online.leaning import Leaning
from emafusion.learning.online.learner import OnlineLearner
from emafusion.learning.online.observation import Observation
from emafusion.learning.online.posterior import NOISE
from emafusion.learning.online.settings import Learning
from tests.learning.online.synthetic import forecast, reduction

VAGUE = 1e6
"""Variance of a gain that says nothing."""


def leaning(errors: list[list[float]], gain: float = 0.0, spread: float = VAGUE) -> Leaning:
    """After audits, each of a verdict of weight 0.3, with these errors; one list a candidate."""
    pairs = np.array(
        [[0.3 * len(e), 0.3 * len(e), 0.3 * sum(e), 0.3 * float(np.square(e).sum()), len(e)] for e in errors]
    )
    m = len(errors)
    return Leaning.of(pairs, NOISE, np.full(m, gain), np.full(m, spread))


def around(centre: float, off: float, n: int) -> list[float]:
    return [centre + off, centre - off] * (n // 2)


def test_before_any_audit_judges_are_taken_to_be_fair_and_nobody_is_sure() -> None:
    found = leaning([[], []])
    np.testing.assert_allclose(found.mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(np.sqrt(found.variance), 0.12, atol=0.01)
    assert (found.doubt < 0.02).all()


def test_a_steady_error_is_known_from_fewer_audits_than_an_unsteady_one() -> None:
    steady, unsteady = (leaning([around(0.45, off, 30)]) for off in (0.3, 1.0))
    assert steady.mean[0] == pytest.approx(0.45, abs=0.07)
    assert unsteady.mean[0] < 0.8 * steady.mean[0]
    assert steady.variance[0] < 0.5 * unsteady.variance[0]


def test_a_few_audits_that_happen_to_agree_do_not_make_anyone_sure() -> None:
    assert leaning([[0.4] * 3]).mean[0] < 0.2


def test_verdicts_that_outdo_what_is_known_lend_weight_to_audits_that_show_favour() -> None:
    audits = [around(0.3, 0.75, 20)]
    unlikely, likely, neither = (leaning(audits, gain, 0.02) for gain in (0.0, 0.45, 0.3))
    assert unlikely.mean[0] < neither.mean[0] < likely.mean[0]
    assert likely.mean[0] < 0.3


def test_verdicts_alone_do_not_say_by_how_much_a_candidate_is_favoured() -> None:
    found = leaning([[]], gain=0.5, spread=0.01)
    assert found.mean[0] == pytest.approx(0.0)
    assert found.variance[0] > 4 * leaning([[]]).variance[0]


def test_who_is_surely_favoured_is_doubted_by_a_standard_deviation_and_nobody_else_is() -> None:
    favoured, fair, disliked = (leaning([around(e, 0.5, 60)]) for e in (0.6, 0.0, -0.6))
    assert favoured.doubt[0] == pytest.approx(float(np.sqrt(favoured.variance[0])), rel=0.1)
    assert fair.doubt[0] < 0.01
    assert disliked.doubt[0] < 0.01


def test_a_favoured_candidate_does_not_stain_the_others() -> None:
    found = leaning([around(0.45, 0.5, 60), [], []])
    assert np.abs(found.mean[1:]).max() < 0.08


def test_audits_go_on_for_longer_where_judges_are_unfair() -> None:
    names, chances = ("a", "b"), []
    learner = OnlineLearner(Learning(audit=0.02), reduction=reduction())
    features = learner.features(forecast([0.7, 0.7]))
    chances.append([learner.audit_chance(n, names) for n in names])
    rng = np.random.default_rng(0)
    for i in range(120):
        for name, judged in (("a", 0.7), ("b", 0.95)):
            good = bool(rng.random() < 0.7)
            said = bool(rng.random() < (judged if name == "b" else (0.77 if good else 0.23)))
            judge = 0.89 if said else 0.41
            learner.observe(
                [Observation(str(i), name, float(i), features, 0.7, judge=judge, truth=float(good), weight=0.25)]
            )
        if i in (30, 119):
            chances.append([learner.audit_chance(n, names) for n in names])
    first, midway, last = chances
    assert first[0] == first[1] > 0.15
    assert first[0] > midway[0] > last[0] >= 0.02
    assert midway[1] > midway[0]
    assert last[1] < midway[1]
