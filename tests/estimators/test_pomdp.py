"""The POMDP: both solvers against the optimal policy, found by going through the whole tree of beliefs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emafusion.estimators.pomdp import Action, Array, Plans, Process, reachable, solve_at_points, solve_exactly


def best_by_search(process: Process, value: float, stage: int, joint: Array) -> float:
    """Worth of the optimal policy from an unnormalised belief, by trying every action after every observation."""
    worths = []
    for action in process.stages[stage]:
        now = float((value * action.quality - action.cost) @ joint)
        if action.then is not None:
            now += sum(best_by_search(process, value, action.then, joint * seen) for seen in action.branches())
        worths.append(now)
    return max(worths)


def random_process(seed: int) -> tuple[Process, Array]:
    """Two or three states and observations, up to three stages: an exact solution of more can take minutes."""
    rng = np.random.default_rng(seed)
    states, stages, seen = int(rng.integers(2, 4)), int(rng.integers(1, 4)), int(rng.integers(2, 4))
    actions = []
    for stage in range(stages):
        here = [Action(rng.random(states), rng.random(states) * 0.3) for _ in range(2)]
        for then in range(stage + 1, stages):
            likelihood = rng.dirichlet(np.ones(seen), states).T
            here.append(Action(np.zeros(states), rng.random(states) * 0.2, likelihood, then))
        actions.append(tuple(here))
    return Process(tuple(actions)), rng.dirichlet(np.ones(states))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(0.2, 5.0))
def test_the_exact_solution_is_optimal_at_every_belief(seed: int, value: float) -> None:
    process, prior = random_process(seed)
    plans = solve_exactly(process, value)
    rng = np.random.default_rng(seed + 1)
    for belief in [prior, *rng.dirichlet(np.ones(process.states), 3)]:
        optimal = best_by_search(process, value, 0, belief)
        assert plans.choose(0, belief[None], value)[1][0] == pytest.approx(optimal, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 5.0))
def test_with_all_reachable_beliefs_the_point_based_solution_is_optimal_too(seed: int, value: float) -> None:
    process, prior = random_process(seed)
    plans = solve_at_points(process, [value], prior, points=10_000)
    optimal = best_by_search(process, value, 0, prior)
    assert plans.choose(0, prior[None], value)[1][0] == pytest.approx(optimal, abs=1e-6)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 5.0))
def test_carried_out_step_by_step_the_table_earns_what_it_promises(seed: int, value: float) -> None:
    process, prior = random_process(seed)
    plans = solve_exactly(process, value)

    def earned(stage: int, joint: Array) -> float:
        if joint.sum() <= 0.0:
            return 0.0
        (number,), _ = plans.choose(stage, (joint / joint.sum())[None], value)
        action = process.stages[stage][number]
        now = float((value * action.quality - action.cost) @ joint)
        if action.then is None:
            return now
        return now + sum(earned(action.then, joint * seen) for seen in action.branches())

    assert earned(0, prior) == pytest.approx(best_by_search(process, value, 0, prior), abs=1e-6)


def test_fewer_points_promise_no_more_than_the_optimum_and_nearly_as_much() -> None:
    for seed in range(20):
        process, prior = random_process(seed)
        plans = solve_at_points(process, [1.0], prior, points=4, most=16, seed=seed)
        optimal = best_by_search(process, 1.0, 0, prior)
        assert optimal - 0.02 <= plans.choose(0, prior[None], 1.0)[1][0] <= optimal + 1e-9


def test_one_table_serves_values_between_those_that_it_was_solved_at() -> None:
    for seed in range(20):
        process, prior = random_process(seed)
        plans = solve_at_points(process, list(np.geomspace(0.2, 5.0, 9)), prior, points=2_000, most=2_000)
        for value in (0.3, 0.9, 2.7):
            optimal = best_by_search(process, value, 0, prior)
            assert optimal - 0.01 <= plans.choose(0, prior[None], value)[1][0] <= optimal + 1e-9


def test_a_table_survives_json() -> None:
    process, prior = random_process(3)
    plans = solve_at_points(process, [1.0], prior)
    again = Plans.from_config(json.loads(json.dumps(plans.to_config())))
    for stage in range(len(process.stages)):
        action, worth = plans.choose(stage, prior[None], 1.0)
        same, near = again.choose(stage, prior[None], 1.0)
        assert (action == same).all()
        assert near == pytest.approx(worth, abs=1e-8)


def test_reachable_beliefs_are_beliefs_and_never_more_than_asked_for() -> None:
    process, prior = random_process(11)
    beliefs, _ = reachable(process, prior, 5)
    assert all(len(each) <= 5 for each in beliefs)
    assert np.allclose(np.vstack(beliefs).sum(1), 1.0)
    assert all((a == b).all() for a, b in zip(beliefs, reachable(process, prior, 5)[0]))


def test_what_is_no_process_is_refused() -> None:
    one = np.ones(2)
    with pytest.raises(ValueError, match="later stage"):
        Process(((Action(one, one, None, 0),),))
    with pytest.raises(ValueError, match="no action"):
        Process(((),))
    with pytest.raises(ValueError, match="sum to one"):
        Action(one, one, np.ones((2, 2)), 1)
    with pytest.raises(ValueError, match="shows nothing"):
        Action(one, one, np.full((2, 2), 0.5))
