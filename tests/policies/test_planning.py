"""The lookahead against plain recursion, and what a good policy must do whatever the numbers."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emafusion.estimators.beliefs import Evidence, infer
from emafusion.estimators.confidence import ConfidenceCalibration, calibrated
from emafusion.estimators.shared_difficulty import SharedDifficulty
from emafusion.policies.lattice import lattice
from emafusion.policies.planning import DEPTH, STOP, _at_once, _solve, plan, worth
from emafusion.policies.problem import Problem
from emafusion.policies.tally import tally

NO_GROUPS = np.zeros((1, 0), dtype=np.int64)
COSTS = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3)
CHANCES = st.lists(st.floats(0.1, 0.95), min_size=3, max_size=3)


def problem(
    p: list[float],
    cost: list[float],
    value: float,
    labels: tuple[int | None, ...] | None = None,
    eps: float = 0.3,
    rho: float = 0.95,
) -> Problem:
    m = len(p)
    labels = labels or (None,) * m
    difficulty = SharedDifficulty().start(m)
    ran = np.array([[x is not None for x in labels]])
    e = Evidence(
        difficulty.right(np.array([p])),
        np.log(difficulty.grid()[1]),
        ran,
        np.array([[-1 if x is None else x for x in labels]]),
        np.zeros((1, m)),
        np.array([eps]),
        np.array([rho]),
    )
    return Problem(e, np.array([p]), np.array([cost]), ~ran, ran, np.array([value]))


def by_recursion(p: list[float], cost: list[float], value: float, depth: int) -> float:
    """Worth of the best policy, by walking every order of tries and every way their answers can group."""
    calibration = ConfidenceCalibration().start(len(p))

    @cache
    def likelihood(labels: tuple[int | None, ...]) -> float:
        e = problem(p, cost, value, labels).evidence
        posterior = infer(e)
        clusters = posterior.sizes.shape[1]
        from emafusion.estimators.beliefs import wrong_groups

        total = 0.0
        for c in range(clusters + 1):
            sizes = posterior.sizes[0].astype(float).copy()
            if c:
                sizes[c - 1] = 0
            grouping = wrong_groups(sizes[None], np.array([0]), e.eps)[0]
            total += float(np.exp(posterior.joint[0, :, c] + grouping).sum())
        return total

    @cache
    def worth(labels: tuple[int | None, ...], left: int) -> float:
        pb = problem(p, cost, value, labels)
        q = calibrated(pb.evidence, infer(pb.evidence), pb.forecast, calibration)[0]
        ran = [j for j, x in enumerate(labels) if x is not None]
        best = stop = value * max((q[j] for j in ran), default=0.0)
        for j in range(len(p)):
            if j in ran:
                continue
            if left == 0:
                best = max(best, value * max(q[j], stop / value) - cost[j])
                continue
            groups = len({x for x in labels if x is not None})
            expected, mass = 0.0, 0.0
            for c in range(groups + 1):
                after = list(labels)
                after[j] = c
                names: dict[int, int] = {}
                canon = tuple(None if x is None else names.setdefault(x, len(names)) for x in after)
                chance = likelihood(canon)
                expected += chance * worth(canon, left - 1)
                mass += chance
            best = max(best, expected / mass - cost[j])
        return best

    return worth((None,) * len(p), depth)


@settings(max_examples=25, deadline=None)
@given(CHANCES, COSTS, st.floats(0.1, 20.0))
def test_the_lattice_finds_the_same_worth_as_plain_recursion(p: list[float], cost: list[float], value: float) -> None:
    solved = plan(problem(p, cost, value), ConfidenceCalibration().start(3), width=3, depth=3)
    assert solved.worth[0] == pytest.approx(by_recursion(p, cost, value, 3), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(CHANCES, COSTS, st.floats(0.1, 20.0))
def test_looking_further_ahead_never_expects_less(p: list[float], cost: list[float], value: float) -> None:
    calibration = ConfidenceCalibration().start(3)
    worths = [plan(problem(p, cost, value), calibration, width=3, depth=d).worth[0] for d in (0, 1, 2, 3)]
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(worths))


@settings(max_examples=40, deadline=None)
@given(CHANCES, COSTS, st.floats(0.1, 20.0))
def test_the_plan_is_worth_at_least_any_direct_answer(p: list[float], cost: list[float], value: float) -> None:
    solved = plan(problem(p, cost, value), ConfidenceCalibration().start(3))
    direct = value * solved.confidence[0] - np.array(cost)
    assert solved.worth[0] >= direct.max() - 1e-9


@settings(max_examples=60, deadline=None)
@given(CHANCES, COSTS, st.floats(0.005, 1.0))
def test_where_no_second_call_can_pay_nothing_is_foreseen_and_nothing_else_comes_of_it(
    p: list[float], cost: list[float], value: float
) -> None:
    assume(sum(c < value for c in cost) <= 1)
    pb, calibration = problem(p, cost, value), ConfidenceCalibration().start(3)
    lattice_ = _solve(
        pb, infer(pb.evidence), plan(pb, calibration).confidence, calibration, NO_GROUPS, tally(3, 0, DEPTH, (), 0, 0)
    )
    for at_once, foreseen in zip(_at_once(pb, plan(pb, calibration).confidence), lattice_):
        assert at_once[0] == pytest.approx(foreseen[0], abs=1e-9)


def test_when_money_is_no_object_it_asks_and_when_nothing_is_worth_it_it_stops() -> None:
    p, cost = [0.6, 0.7, 0.8], [0.001, 0.002, 0.003]
    assert plan(problem(p, cost, 1e-6, (0, None, None)), ConfidenceCalibration().start(3)).action[0] == STOP
    assert plan(problem(p, cost, 1e3, (0, None, None)), ConfidenceCalibration().start(3)).action[0] != STOP


def test_a_cheap_probe_comes_before_a_dear_candidate() -> None:
    solved = plan(problem([0.8, 0.8, 0.85], [0.001, 0.001, 0.1], 1.0), ConfidenceCalibration().start(3))
    assert solved.action[0] in (0, 1)
    assert not solved.commit[0]


def test_agreement_ends_the_cascade_and_disagreement_goes_on() -> None:
    p, cost = [0.7, 0.7, 0.9], [0.001, 0.001, 0.02]
    calibration = ConfidenceCalibration().start(3)
    assert plan(problem(p, cost, 0.5, (0, 0, None), eps=0.1), calibration).action[0] == STOP
    assert plan(problem(p, cost, 0.5, (0, 1, None), eps=0.1), calibration).action[0] == 2


def test_a_hopeless_query_is_not_escalated() -> None:
    hopeless = problem([0.03, 0.04, 0.05], [0.001, 0.01, 0.1], 0.5, (0, None, None))
    assert plan(hopeless, ConfidenceCalibration().start(3)).action[0] == STOP


def test_closed_candidates_are_never_tried() -> None:
    pb = problem([0.5, 0.6, 0.9], [0.1, 0.1, 0.1], 10.0)
    pb.open[:] = [[True, True, False]]
    assert plan(pb, ConfidenceCalibration().start(3)).action[0] in (0, 1)


def test_a_batch_is_solved_like_its_rows_one_by_one() -> None:
    rng = np.random.default_rng(0)
    rows = [
        problem(list(rng.uniform(0.2, 0.9, 5)), list(rng.uniform(0.01, 0.3, 5)), 1.0, labels)
        for labels in [
            (None,) * 5,
            (0, None, None, None, None),
            (0, 1, None, None, None),
            (0, 0, 1, None, None),
            (0, 1, 2, 3, None),
        ]
    ]
    together = Problem(
        Evidence(
            np.concatenate([r.evidence.right for r in rows]),
            rows[0].evidence.log_nodes,
            np.concatenate([r.evidence.ran for r in rows]),
            np.concatenate([r.evidence.label for r in rows]),
            np.concatenate([r.evidence.llr for r in rows]),
            np.concatenate([r.evidence.eps for r in rows]),
            np.concatenate([r.evidence.rho for r in rows]),
        ),
        np.concatenate([r.forecast for r in rows]),
        np.concatenate([r.cost for r in rows]),
        np.concatenate([r.open for r in rows]),
        np.concatenate([r.usable for r in rows]),
        np.concatenate([r.value for r in rows]),
    )
    calibration = ConfidenceCalibration().start(5)
    whole = plan(together, calibration)
    for i, row in enumerate(rows):
        one = plan(row, calibration)
        assert one.action[0] == whole.action[i]
        assert one.worth[0] == pytest.approx(whole.worth[i], abs=1e-9)


@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_every_state_of_a_lattice_is_reached_and_leads_one_level_up(k: int, clusters: int, depth: int) -> None:
    shape = lattice(k, clusters, depth)
    reached = {0}
    for i in range(shape.size):
        for child in shape.children[i].ravel():
            if child >= 0:
                assert shape.level[child] == shape.level[i] + 1
                reached.add(int(child))
    assert reached == set(range(shape.size))


def test_votes_that_only_count_together_are_foreseen() -> None:
    """One more cheap vote cannot overturn the answer at hand, four can: looking one call ahead gives up."""
    p, cost = [0.7, 0.68, 0.68, 0.68, 0.68], [0.01, 1e-4, 1e-4, 1e-4, 1e-4]
    calibration = ConfidenceCalibration().start(5)
    at_hand = problem(p, cost, 0.05, (0, None, None, None, None), eps=0.02, rho=0.98)
    near, far = (plan(at_hand, calibration, depth=depth) for depth in (1, 4))
    assert far.worth[0] >= near.worth[0]
    apart = problem(p, cost, 0.05, (0, 1, None, None, None), eps=0.02, rho=0.98)
    assert plan(apart, calibration).action[0] != STOP


def test_best_buys_come_first_in_the_shortlist() -> None:
    from emafusion.policies.planning import shortlist

    pb = problem([0.3, 0.9, 0.8, 0.85], [1e-4, 1e-2, 1e-3, 1e-4], 1.0)
    picked = shortlist(pb, pb.forecast, 4)[0].tolist()
    assert picked[0] == 3
    assert set(picked) == {0, 1, 2, 3}
    pb.open[:] = [[True, True, True, False]]
    assert shortlist(pb, pb.forecast, 4)[0].tolist()[-1] == 3


@settings(max_examples=40, deadline=None)
@given(CHANCES, COSTS, st.floats(0.1, 20.0))
def test_candidates_are_asked_together_only_if_none_of_them_could_have_made_the_next_needless(
    p: list[float], cost: list[float], value: float
) -> None:
    calibration = ConfidenceCalibration().start(3)
    solved = plan(problem(p, cost, value), calibration)
    together = np.nonzero(solved.together[0])[0].tolist()
    assert (solved.action[0] in together) == (solved.action[0] != STOP)
    assert not (solved.commit[0] and len(together) > 1)
    if len(together) == 2:
        first = int(solved.action[0])
        (second,) = set(together) - {first}
        labels: list[int | None] = [None, None, None]
        labels[first] = 0
        after = plan(problem(p, cost, value, tuple(labels)), calibration, depth=4)
        assert after.action[0] == second


def test_votes_that_are_needed_anyway_are_asked_for_together() -> None:
    solved = plan(problem([0.6, 0.6, 0.6], [1e-4] * 3, 100.0, eps=0.1), ConfidenceCalibration().start(3))
    assert solved.together[0].sum() >= 2


def test_of_moves_worth_the_same_the_better_buy_comes_first_whatever_the_rounding() -> None:
    """Whichever of several votes comes first, all of them are asked for."""
    calibration = ConfidenceCalibration().start(4)
    for p in np.linspace(0.55, 0.65, 11).tolist():
        solved = plan(problem([p] * 4, [1e-4, 1.1e-4, 1.2e-4, 1.3e-4], 100.0, eps=0.1), calibration)
        assert solved.together[0].sum() >= 2
        assert solved.action[0] == 0


@settings(max_examples=40, deadline=None)
@given(CHANCES, COSTS, st.floats(0.1, 20.0))
def test_no_plan_is_worth_more_than_a_good_answer(p: list[float], cost: list[float], value: float) -> None:
    for labels in ((None, None, None), (0, None, None), (0, 0, 1)):
        pb = problem(p, cost, value, labels)
        found = plan(pb, ConfidenceCalibration().start(3)).worth[0]
        assert found <= value
        assert worth(pb, ConfidenceCalibration().start(3))[0] == found
