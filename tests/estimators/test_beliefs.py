"""The belief model against enumeration by hand, and its invariants."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emafusion.estimators.beliefs import Evidence, infer, wrong_groups
from emafusion.estimators.shared_difficulty import SharedDifficulty, logit, sigmoid

P = st.floats(0.05, 0.95)


def evidence(
    p: list[float], labels: list[int | None], *, eps: float = 0.3, rho: float = 0.9, llr: list[float] | None = None
) -> Evidence:
    """One query; a label of None has not run, -1 ran and agrees with none."""
    difficulty = SharedDifficulty().start(len(p))
    return Evidence(
        right=difficulty.right(np.array([p])),
        log_nodes=np.log(difficulty.grid()[1]),
        ran=np.array([[label is not None for label in labels]]),
        label=np.array([[-1 if label is None else label for label in labels]]),
        llr=np.array([llr or [0.0] * len(p)]),
        eps=np.array([eps]),
        rho=np.array([rho]),
    )


def by_hand(e: Evidence) -> np.ndarray:
    """Enumerate theta, the right group and strays, with how wrong answers repeat written out as a sequence."""
    m = e.ran.shape[1]
    ran = [j for j in range(m) if e.ran[0, j]]
    labels = {j: int(e.label[0, j]) if e.label[0, j] >= 0 else 100 + j for j in ran}
    total, good = 0.0, np.zeros(m)
    for h, weight in enumerate(np.exp(e.log_nodes)):
        for right_group in [None, *sorted({g for g in labels.values() if g < 100})]:
            for stray in itertools.product([False, True], repeat=len(ran)):
                prob, is_right = weight, {}
                for j, astray in zip(ran, stray):
                    r, boost, rho = e.right[0, j, h], math.exp(e.llr[0, j]), e.rho[0]
                    inside = labels[j] == right_group
                    if inside and astray:
                        prob = 0.0
                        break
                    prob *= r * rho * boost if inside else (r * (1 - rho) * boost if astray else 1 - r)
                    is_right[j] = inside or astray
                outside = [labels[j] for j in ran if labels[j] != right_group]
                for i, g in enumerate(outside):
                    before, new = outside[:i], (1 - e.eps[0]) / e.eps[0]
                    if before:
                        prob *= (before.count(g) or new) / (len(before) + new)
                total += prob
                for j in range(m):
                    good[j] += prob * (is_right.get(j, False) if j in is_right else e.right[0, j, h] * (j not in ran))
    return good / total


@settings(max_examples=40, deadline=None)
@given(
    st.lists(P, min_size=4, max_size=4),
    st.lists(st.sampled_from([None, -1, 0, 1]), min_size=4, max_size=4),
    st.floats(0.05, 0.9),
    st.floats(0.3, 0.99),
)
def test_the_posterior_equals_enumeration_by_hand(
    p: list[float], labels: list[int | None], eps: float, rho: float
) -> None:
    e = evidence(p, labels, eps=eps, rho=rho, llr=[0.5, -1.0, 0.0, 2.0])
    np.testing.assert_allclose(infer(e).p[0], by_hand(e), atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.4, 0.95), min_size=3, max_size=3), st.floats(0.02, 0.1))
def test_where_errors_are_diverse_agreement_raises_the_belief_above_disagreement(p: list[float], eps: float) -> None:
    agreed = infer(evidence(p, [0, 0, None], eps=eps)).p[0]
    disputed = infer(evidence(p, [0, 1, None], eps=eps)).p[0]
    assert (agreed[:2] >= disputed[:2]).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(P, min_size=3, max_size=3))
def test_where_wrong_answers_always_coincide_agreement_says_less(p: list[float]) -> None:
    rare = infer(evidence(p, [0, 0, 0], eps=0.05)).p[0, 0]
    common = infer(evidence(p, [0, 0, 0], eps=0.95)).p[0, 0]
    assert common <= rare + 1e-9


@settings(max_examples=50, deadline=None)
@given(st.lists(P, min_size=3, max_size=3))
def test_one_candidates_failure_lowers_the_hope_in_those_not_yet_run(p: list[float]) -> None:
    before = infer(evidence(p, [None, None, None])).p[0, 2]
    after = infer(evidence(p, [0, None, None], llr=[-6.0, 0.0, 0.0])).p[0, 2]
    assert after < before


def test_before_any_answer_the_belief_is_the_forecast() -> None:
    p = [0.2, 0.5, 0.8, 0.95]
    np.testing.assert_allclose(infer(evidence(p, [None] * 4)).p[0], p, atol=0.03)


@settings(max_examples=30, deadline=None)
@given(st.lists(P, min_size=4, max_size=4), st.permutations(range(4)))
def test_the_order_of_candidates_does_not_matter(p: list[float], order: list[int]) -> None:
    labels = [0, 1, 0, None]
    straight = infer(evidence(p, labels)).p[0]
    turned = infer(evidence([p[i] for i in order], [labels[i] for i in order])).p[0]
    np.testing.assert_allclose(turned, straight[order], atol=1e-9)


@settings(deadline=None)
@given(st.integers(1, 5), st.floats(0.01, 0.99))
def test_the_chances_of_all_groupings_of_wrong_answers_add_up_to_one(n: int, eps: float) -> None:
    def groupings(k: int) -> list[list[int]]:
        out: list[list[int]] = [[]]
        for _ in range(k):
            out = [[*g, c] for g in out for c in range(max(g, default=-1) + 2)]
        return out

    total = 0.0
    for grouping in groupings(n):
        sizes = np.bincount(grouping, minlength=n)
        total += math.exp(float(wrong_groups(sizes[None], np.array([0]), np.array([eps]))[0]))
    assert total == pytest.approx(1.0, abs=1e-6)


def test_fitting_recovers_how_strongly_failures_are_shared() -> None:
    rng = np.random.default_rng(0)
    n, m = 6000, 4
    theta = rng.standard_normal((n, 1))
    p = rng.uniform(0.3, 0.9, (n, m))
    shared = (rng.random((n, m)) < sigmoid(1.6 * logit(p) + 2.0 * theta)).astype(float)
    apart = (rng.random((n, m)) < p).astype(float)
    together, independent = (SharedDifficulty().fit(p, s).weights_[:, 2].mean() for s in (shared, apart))
    assert together == pytest.approx(2.0, abs=0.3)
    assert abs(independent) < 0.4


def test_fitting_takes_unknown_scores_and_candidates_without_any() -> None:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.2, 0.9, (300, 3))
    scores = (rng.random((300, 3)) < p).astype(float)
    scores[::2, 1] = np.nan
    scores[:, 2] = np.nan
    weights = SharedDifficulty().fit(p, scores).weights_
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights[2], SharedDifficulty().start(1).weights_[0])
