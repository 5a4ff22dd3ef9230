"""Whom chance asks first, and with what probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emafusion.learning.online.exploring import Standing, best_probabilities, choose, propensities
from emafusion.learning.online.settings import Learning

P, COST = np.array([0.8, 0.75, 0.6, 0.9]), np.array([0.01, 0.02, 0.0, 2.0])


def standing(heard: float | list[float], newcomer: tuple[int, ...] = (), m: int = 4) -> Standing:
    return Standing(
        np.full(m, 0.1), np.full(m, 10.0), np.broadcast_to(np.asarray(heard, float), m), np.isin(np.arange(m), newcomer)
    )


@given(
    st.integers(0, 3),
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    st.lists(st.floats(0, 40), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
    st.floats(0, 0.5),
)
@example(3, [0.0] * 4, [0.0] * 4, [True] * 4, [False, True, True, False], 0.03)  # others sum to 1 and a rounding more
def test_propensities_are_probabilities_of_those_that_are_allowed(
    first: int, p: list[float], heard: list[float], new: list[bool], allowed: list[bool], exploration: float
) -> None:
    allowed[first] = True
    known = Standing(np.full(4, 0.1), np.full(4, 10.0), np.array(heard), np.array(new))
    chances = propensities(first, p, COST, 1.0, known, Learning(exploration=exploration), allowed)
    assert chances.sum() == pytest.approx(1.0)
    assert chances.min() >= 0.0
    assert not chances[~np.array(allowed)].any()


def test_draws_come_as_often_as_their_propensities_say() -> None:
    rng = np.random.default_rng(0)
    chances = propensities(0, P, COST, 1.0, standing(2.0), Learning(exploration=0.2))
    drawn = [choose(rng, ("a", "b", "c", "d"), chances, 0) for _ in range(20_000)]
    often = np.array([sum(d.candidate == n for d in drawn) for n in "abcd"]) / len(drawn)
    np.testing.assert_allclose(often, chances, atol=4 * np.sqrt(0.25 / len(drawn)))
    assert all(d.explored == (d.candidate != "a") for d in drawn)
    assert drawn[0].propensities == dict(zip("abcd", chances.tolist()))


def test_no_exploration_leaves_the_choice_to_the_policy() -> None:
    chances = propensities(1, P, COST, 1.0, standing(0.0, newcomer=(2,)), Learning(exploration=0.0))
    assert chances.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_known_candidates_get_the_share_that_was_set_and_none_is_left_out() -> None:
    chances = propensities(0, P, np.zeros(4), 1.0, standing(100.0), Learning(exploration=0.03))
    assert chances[0] == pytest.approx(0.97)
    assert chances.min() > 0.001


def test_a_draft_that_costs_more_than_is_allowed_is_never_explored() -> None:
    assert propensities(0, P, COST, 1.0, standing(0.0), Learning(exploration=0.5))[3] == 0.0
    capped = propensities(0, P, COST, 5.0, standing(0.0), Learning(exploration=0.5, exploring_usd=0.015))
    assert capped[1] == capped[3] == 0.0
    assert capped[2] > 0.0


def test_little_known_candidates_and_newcomers_get_more() -> None:
    settings = Learning(exploration=0.01)
    known = propensities(0, P, np.zeros(4), 1.0, standing(100.0), settings)
    little = propensities(0, P, np.zeros(4), 1.0, standing([100.0, 0.0, 100.0, 100.0]), settings)
    new = propensities(0, P, np.zeros(4), 1.0, standing([100.0, 0.0, 100.0, 100.0], newcomer=(1,)), settings)
    assert known[1] < little[1] < new[1] <= 0.6


def test_a_crowd_of_newcomers_does_not_crowd_out_the_policy() -> None:
    chances = propensities(0, P, np.zeros(4), 1.0, standing(0.0, newcomer=(1, 2, 3)), Learning())
    assert chances.min() >= 0.0
    assert chances[1:].sum() <= 1.0


def test_probabilities_of_being_best_are_those_of_drawing() -> None:
    mean, sd = np.array([0.5, 0.6, 0.55]), np.array([0.2, 0.05, 0.1])
    drawn = np.random.default_rng(1).normal(mean, sd, (100_000, 3)).argmax(1)
    np.testing.assert_allclose(best_probabilities(mean, sd), np.bincount(drawn) / 100_000, atol=0.01)
