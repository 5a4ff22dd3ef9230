"""The policy over a whole log at once: every request in lockstep, in arrays.

The same planning code that serves one request here serves thousands, which makes fitting by simulation and frontiers
of dozens of objectives affordable. Replay through the engine itself is :mod:`emafusion.evaluation.replay`; a test
holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from emafusion.engine.request import SURPRISE
from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.beliefs import Array, Evidence, IntArray
from emafusion.policies.planning import DEPTH, STOP, WIDTH, plan
from emafusion.policies.problem import Problem

__all__ = ["Recording", "Run", "simulate"]

Visit = Callable[[IntArray, NDArray[np.bool_]], None]


@dataclass(frozen=True)
class Recording:
    """n recorded queries as a policy meets them.

    Attributes
    ----------
    p, expected_cost : (n, m)
        Forecast before any answer.
    rho, eps : (n,)
    label, usable, llr : (n, m)
        What each answer would show the panel once it was given.
    asked : bool (n, m)
        Candidates that have an outcome; others cannot be tried.
    seen : bool (n, m)
        Answers that there are to look at; others say nothing when they are given.
    cost, score : (n, m)
        What a call cost, and how good its answer was (NaN where unknown); the policy sees neither beforehand.
    """

    p: Array
    expected_cost: Array
    rho: Array
    eps: Array
    label: IntArray
    usable: NDArray[np.bool_]
    llr: Array
    asked: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    cost: Array
    score: Array

    def __len__(self) -> int:
        return len(self.p)

    def take(self, rows: IntArray) -> Recording:
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def evidence(self, model: BeliefModel, right: Array, rows: IntArray, ran: NDArray[np.bool_]) -> Evidence:
        """What is known of ``rows`` once ``ran`` have answered."""
        ran = ran & self.seen[rows]
        return Evidence(
            right=right[rows],
            log_nodes=np.log(model.difficulty.grid()[1]),
            ran=ran,
            label=np.where(ran, self.label[rows], -1),
            llr=np.where(ran, self.llr[rows], 0.0),
            eps=self.eps[rows],
            rho=self.rho[rows],
        )


@dataclass(frozen=True)
class Run:
    """What a policy did with each of n queries: candidate, its confidence, USD spent, score (NaN if unknown), calls."""

    answered: IntArray
    confidence: Array
    cost: Array
    score: Array
    ran: NDArray[np.bool_]


def simulate(
    recording: Recording,
    model: BeliefModel,
    value: Array | float,
    *,
    only: NDArray[np.bool_] | None = None,
    width: int = WIDTH,
    depth: int = DEPTH,
    visit: Visit | None = None,
) -> Run:
    """Run the lookahead policy over a recording.

    Parameters
    ----------
    value
        USD that a good answer is worth, for all or each.
    only : bool (m,)
        Candidates to which the choice is confined.
    visit
        Called at every step with the rows still open and what has run for them.
    """
    n, m = recording.p.shape
    values = np.broadcast_to(np.asarray(value, dtype=np.float64), (n,))
    right = model.difficulty.right(recording.p)
    ran = np.zeros((n, m), dtype=bool)
    cost, confidence = np.zeros(n), np.zeros(n)
    answered, committed = np.full(n, -1), np.full(n, -1)
    allowed = (
        recording.asked if only is None else recording.asked & (only | ~(recording.asked & only).any(1, keepdims=True))
    )
    partly = not recording.seen[recording.asked].all()
    if partly and not recording.seen.any():
        depth = 0
    active = np.arange(n)
    while len(active):
        here = ran[active]
        if visit is not None:
            visit(active, here)
        open_ = allowed[active] & ~here
        usable = here & recording.usable[active]
        some = np.asarray(usable.any(1) | open_.any(1))
        usable = np.where(some[:, None], usable, here)
        problem = Problem(
            recording.evidence(model, right, active, here),
            recording.p[active],
            recording.expected_cost[active],
            open_,
            usable,
            values[active],
            np.asarray((here & ~recording.seen[active]).any(1)) if partly else None,
        )
        solved = plan(problem, model.calibration, width=width, depth=depth)
        action = np.where(
            (solved.action == STOP) & (solved.answer < 0), _least_loss(solved.confidence, problem), solved.action
        )
        # As in the engine: what was to be accepted unseen is, unless it shows what no plan counts on.
        best = np.where(committed[active] >= 0, committed[active], solved.answer)
        action = np.where(committed[active] >= 0, STOP, action)
        stop = np.asarray(action == STOP)
        ended = active[stop]
        answered[ended] = best[stop]
        confidence[ended] = solved.confidence[stop, best[stop]]
        going, tried = active[~stop], action[~stop]
        now = solved.together[~stop]
        now[np.arange(len(going)), tried] = True
        ran[going] |= now
        cost[going] += np.where(now, recording.cost[going], 0.0).sum(1)
        stands = solved.commit[~stop] & recording.usable[going, tried] & (recording.llr[going, tried] > SURPRISE)
        committed[going[stands]] = tried[stands]
        active = going
    return Run(answered, confidence, cost, recording.score[np.arange(n), answered], ran)


def _least_loss(confidence: Array, problem: Problem) -> IntArray:
    """Something must answer, though nothing is worth its cost: the candidate that loses the least."""
    utility = problem.value[:, None] * confidence - problem.cost
    return np.asarray(np.where(problem.open, utility, -np.inf).argmax(1))
