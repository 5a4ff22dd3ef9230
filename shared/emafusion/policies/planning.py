"""Exact lookahead on the belief lattice: what is each next move worth?

Cascade routing (Dekoninck et al., arXiv 2410.10347, section 3) asks which superset of the models run so far to run,
by the expected best posterior less cost. Here the expectation is not sampled: the states of a :class:`Lattice` are few,
their probabilities follow from the belief model, and optimal stopping over them is solved by backward induction. Every
state may still be followed by one more candidate accepted unseen, so a lattice of depth d looks d + 1 calls ahead.

Everything is in units of USD: a good answer is worth ``value``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, IntArray, Posterior, infer
from emafusion.estimators.confidence import ConfidenceCalibration, calibrated
from emafusion.estimators.shared_difficulty import logit
from emafusion.policies.foresight import evaluate
from emafusion.policies.lattice import Lattice, lattice
from emafusion.policies.problem import Problem

__all__ = ["DEPTH", "STOP", "WIDTH", "Plan", "plan"]

STOP = -1
MOST_CLUSTERS = 3
"""Groups of answers that are told apart while looking ahead; the rest can no longer win."""
IMPOSSIBLE = -1e9
WIDTH, DEPTH = 5, 4
"""Defaults of the lookahead. A wider or deeper one found nothing better on the benchmark, and costs more time."""
STRENGTH = 1.5
"""How much more than in proportion a candidate's odds of being right count against its price: two weak votes are not
as good as one strong one."""
CHUNK = 512
"""Requests that are solved together, which bounds memory."""


@dataclass(frozen=True)
class Plan:
    """What to do now, for each of n requests.

    Attributes
    ----------
    action : int (n,)
        Candidate to try, or ``STOP``.
    answer : int (n,)
        Candidate whose answer is the best at hand; -1 with none.
    confidence : (n, m)
        Calibrated probability of a good answer, run or not.
    worth : (n,)
        Expected value less cost of what follows, in USD.
    stop_worth : (n,)
        The same if one stops now.
    commit : bool (n,)
        Whatever ``action`` answers, it will be accepted.
    posterior : Posterior
    """

    action: IntArray
    answer: IntArray
    confidence: Array
    worth: Array
    stop_worth: Array
    commit: NDArray[np.bool_]
    together: NDArray[np.bool_]
    posterior: Posterior


def plan(problem: Problem, calibration: ConfidenceCalibration, *, width: int = WIDTH, depth: int = DEPTH) -> Plan:
    """Solve every request of ``problem``.

    Parameters
    ----------
    width
        Candidates that are looked at for further calls, chosen for each request by :func:`shortlist`.
    depth
        Calls to look ahead before anything has run, besides the last one accepted unseen; one less for each group of
        answers at hand, of two at most.
    """
    evidence = problem.evidence
    posterior = infer(evidence)
    q = calibrated(evidence, posterior, problem.forecast, calibration)
    n = len(q)
    acceptable = np.where(problem.usable, q, -1.0)
    answer = np.where(problem.usable.any(1), acceptable.argmax(1), -1)
    action, worth = np.full(n, STOP), np.full(n, IMPOSSIBLE)
    stop_worth, commit = np.full(n, IMPOSSIBLE), np.zeros(n, dtype=bool)
    together = np.zeros(q.shape, dtype=bool)
    # Requests with the same number of groups share a lattice.
    groups = np.minimum((posterior.sizes > 0).sum(1), MOST_CLUSTERS)
    silent = np.zeros(n, dtype=bool) if problem.silent is None else problem.silent
    for c, nothing in sorted(set(zip(groups.tolist(), silent.tolist()))):
        rows = np.nonzero((groups == c) & (silent == nothing))[0]
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            whole = len(part) == n
            solved = _solve(
                problem if whole else problem.take(part),
                posterior if whole else posterior.take(part),
                q if whole else q[part],
                calibration,
                c,
                width,
                0 if nothing else max(depth - min(c, 2), min(depth, 1)),
            )
            action[part], worth[part], stop_worth[part], commit[part], together[part] = solved
    return Plan(action, answer, q, worth, stop_worth, commit, together, posterior)


def shortlist(problem: Problem, q: Array, width: int) -> IntArray:
    """The candidates worth looking at, (n, k): the best buys over a range of values of a good answer.

    At a thousandth of the value the cheap probes win, at four times it the strong ones; ranks are taken in turn until
    ``width`` are found, so the list is spread over the whole price range. Best buys come first: those with the highest
    odds of being right, to the power of :data:`STRENGTH`, a USD.
    """
    cost, can = problem.cost, problem.open
    factors = np.array([1.0, 1 / 8, 4.0, 1 / 64, 1 / 512])
    worth = problem.value[:, None, None] * factors[None, :, None] * q[:, None, :] - cost[:, None, :]
    worth = np.where(can[:, None, :], worth, IMPOSSIBLE)
    rank = (-worth).argsort(2).argsort(2).min(1).astype(np.float64)  # best rank under any factor
    rank += 1e-3 * (-worth[:, 0]).argsort(1).argsort(1)
    rank = np.where(can, rank, np.inf)
    picked = np.argpartition(rank, min(width, rank.shape[1]) - 1, axis=1)[:, :width]
    row = np.arange(len(picked))[:, None]
    bargain = STRENGTH * logit(q[row, picked], 0.005) - np.log(np.maximum(cost[row, picked], 1e-12))
    return np.asarray(picked[row, np.where(can[row, picked], -bargain, np.inf).argsort(1)])


def _solve(
    problem: Problem,
    posterior: Posterior,
    q: Array,
    calibration: ConfidenceCalibration,
    clusters: int,
    width: int,
    depth: int,
) -> tuple[IntArray, Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
    picked = shortlist(problem, q, min(width, q.shape[1]))
    shape = lattice(picked.shape[1], clusters, depth)
    row = np.arange(len(picked))[:, None]
    can, cost = problem.open[row, picked], problem.cost[row, picked]
    log_z, stop_p, blind_p = evaluate(problem, posterior, q, calibration, picked, shape)

    value = problem.value[:, None]
    stop = value * np.maximum(stop_p, 0.0)
    worth, act = stop.copy(), np.full(stop.shape, STOP)
    for level in range(shape.depth, -1, -1):
        at = shape.spans[level]
        move = value[:, :, None] * np.maximum(blind_p[:, at], stop_p[:, at, None])
        if level < shape.depth:
            move = np.where(shape.foreseen[at], _expected(shape, at, log_z, worth), move)
        move = move - cost[:, None, :]
        move = np.where(can[:, None, :] & ~shape.member[at][None], move, IMPOSSIBLE)
        gain = move.max(2)
        act[:, at] = np.where(gain > worth[:, at], move.argmax(2), STOP)
        np.maximum(gain, worth[:, at], out=worth[:, at])
    now = act[:, 0]
    chosen = np.where(now >= 0, picked[np.arange(len(now)), np.maximum(now, 0)], STOP)
    together = np.zeros(q.shape, dtype=bool)
    together[row, picked] = _together(shape, act, now)
    return chosen, worth[:, 0], stop[:, 0], _commits(shape, act, now), together


def _together(shape: Lattice, act: IntArray, now: IntArray) -> NDArray[np.bool_]:
    """The candidate to be tried now, and those that every state it can lead to tries next: (n, k)."""
    n = len(now)
    out = np.zeros((n, shape.k), dtype=bool)
    rows, tried = np.nonzero(now >= 0)[0], now[now >= 0]
    at = np.zeros((len(rows), shape.size), dtype=bool)
    at[:, 0] = True
    while len(rows):
        out[rows, tried] = True
        where, state = np.nonzero(at)
        after = shape.children[state, tried[where]]
        at = np.zeros((len(rows), shape.size), dtype=bool)
        place, child = np.nonzero(after >= 0)
        at[where[place], after[place, child]] = True
        least = np.where(at, act[rows], shape.k).min(1)
        most = np.where(at, act[rows], STOP).max(1)
        same = (least == most) & (most >= 0)
        rows, tried, at = rows[same], most[same], at[same]
    return out


def _expected(shape: Lattice, at: slice, log_z: Array, worth: Array) -> Array:
    """Expected worth after trying each candidate from each of the states ``at``: (n, states, k)."""
    reached = shape.reached[at]
    z = np.where(shape.children[at] >= 0, log_z[:, reached], -np.inf)
    top = z.max(3, keepdims=True)
    w = np.exp(z - np.where(np.isfinite(top), top, 0.0))
    total = w.sum(3)
    return np.asarray((w * worth[:, reached]).sum(3) / np.where(total > 0, total, 1.0))


def _commits(shape: Lattice, act: IntArray, now: IntArray) -> NDArray[np.bool_]:
    """Whether the candidate about to be tried ends the request whatever it says: no answer is at hand to prefer,
    and every state that it can lead to stops."""
    n = len(now)
    if shape.clusters:
        return np.zeros(n, dtype=bool)
    if shape.depth == 0:
        return now >= 0
    tried = np.maximum(now, 0)
    stops = (shape.children[0][tried] < 0) | (act[np.arange(n)[:, None], shape.reached[0][tried]] == STOP)
    return np.asarray((now >= 0) & stops.all(1))
