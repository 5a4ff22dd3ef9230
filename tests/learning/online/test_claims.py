"""What learning while serving is for, each claim on a small stream; the benchmark log's are a command.

See tests/benchmarks/simulate_stream.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from emafusion.learning.online.settings import Learning
from tests.learning.online.synthetic import Array, forecast, serve

TRUE = np.array([0.55, 0.85, 0.6, 0.65])
MISLED = [0.75, 0.6, 0.75, 0.6]
"""Forecasts before any answer: the best candidate looks like one of the worst."""


def test_a_misleading_prior_is_overcome_without_labels() -> None:
    served = serve(700, lambda i, kind: TRUE, MISLED, seed=1)
    assert served.share(1, 500) > 0.7
    assert served.regret < 0.7 * 700 * (0.85 - 0.575)
    assert not served.alarms


def test_kinds_of_query_are_told_apart() -> None:
    by_kind = np.array([[0.9, 0.5], [0.5, 0.9]])
    apart = []
    for seed in range(4):
        learner = serve(900, lambda i, kind: by_kind[kind], [0.7, 0.7], seed=seed).learner
        first, second = (learner.correct(forecast([0.7, 0.7], kind)).p_good for kind in (0, 1))
        apart.append([first[0] - first[1], second[1] - second[0]])
    assert (np.mean(apart, axis=0) > 0.05).all()


def test_a_candidate_that_collapses_is_left_and_the_alarm_says_so() -> None:
    def truth(i: int, kind: int) -> Array:
        return np.array([0.7, 0.85 if i < 500 else 0.1, 0.6])

    served = serve(750, truth, [0.7, 0.85, 0.6], seed=3)
    assert served.share(1, 300, 500) > 0.7
    assert served.share(1, 650) < 0.1
    assert [a.candidate for a in served.alarms] == ["b"]
    assert "'b' fell" in str(served.alarms[0])


def test_a_better_and_cheaper_newcomer_is_adopted() -> None:
    cost = [0.2, 0.2, 0.01]
    served = serve(800, lambda i, kind: np.array([0.7, 0.75, 0.92]), [0.7, 0.75, 0.65], seed=4, joins=400, cost=cost)
    assert served.share(2, 0, 400) == 0.0
    assert served.share(2, 550) > 0.6


def test_a_judge_that_favours_a_candidate_moves_its_share_only_without_audits() -> None:
    quality, favoured = np.array([0.85, 0.75]), np.array([0.0, 0.3])

    def late(audit: float, seed: int) -> tuple[float, float]:
        """The favoured candidate's share in the end, and what its quality is taken to be."""
        served = serve(
            700, lambda i, kind: quality, [0.85, 0.75], seed=seed, favoured=favoured, settings=Learning(audit=audit)
        )
        return served.share(1, 500), served.learner.correct(forecast([0.85, 0.75])).p_good[1]

    without, audited = (np.array([late(audit, s) for s in range(n)]) for audit, n in ((0.0, 2), (0.02, 5)))
    assert np.median(without[:, 0]) > 0.9
    assert np.median(audited[:, 0]) < 0.05
    assert without[:, 1].mean() > 0.88
    assert audited[:, 1].mean() == pytest.approx(0.75, abs=0.04)


def test_regret_is_below_that_of_epsilon_greedy_from_nothing() -> None:
    learned = np.mean([serve(600, lambda i, kind: TRUE, [0.6, 0.75, 0.65, 0.6], seed=s).regret for s in (7, 8)])
    assert learned < np.mean([_epsilon_greedy(600, s) for s in (7, 8)])


def _epsilon_greedy(n: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    total, asked, regret = np.zeros(4), np.zeros(4), 0.0
    for _ in range(n):
        means = np.where(asked > 0, total / np.maximum(asked, 1), np.inf)
        j = int(rng.integers(4)) if rng.random() < 0.1 else int(means.argmax())
        good = rng.random() < TRUE[j]
        total[j] += (float(rng.random() < (0.77 if good else 0.23)) - 0.23) / 0.54
        asked[j] += 1
        regret += 0.85 - TRUE[j]
    return float(regret)
