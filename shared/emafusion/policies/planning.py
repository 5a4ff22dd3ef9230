"""Exact lookahead on the belief lattice: what is each next move worth?

Cascade routing (Dekoninck et al., arXiv 2410.10347, section 3) asks which superset of the models run so far to run,
by the expected best posterior less cost. Here the expectation is not sampled: the states of a :class:`Lattice` are few,
their probabilities follow from the belief model, and optimal stopping over them is solved by backward induction. Every
state may still be followed by one more candidate accepted unseen, so a lattice of depth d looks d + 1 calls ahead.

Everything is in units of USD: a good answer is worth ``value``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, IntArray, Posterior, infer
from emafusion.estimators.confidence import ConfidenceCalibration, calibrated
from emafusion.estimators.shared_difficulty import logit
from emafusion.policies.foresight import evaluate
from emafusion.policies.lattice import Lattice
from emafusion.policies.problem import Problem
from emafusion.policies.tally import Tally, tally

__all__ = ["DEPTH", "STOP", "WIDTH", "Plan", "plan", "worth"]

STOP = -1
MOST_CLUSTERS = 3
"""Groups of answers that are told apart while looking ahead; the rest can no longer win."""
IMPOSSIBLE = -1e9
WIDTH, DEPTH = 5, 4
"""Defaults of the lookahead. A wider or deeper one found nothing better on the benchmark, and costs more time."""
STRENGTH = 1.5
"""How much more than in proportion a candidate's odds of being right count against its price: two weak votes are not
as good as one strong one."""
TIE = 1e-9
"""Share of a good answer's value by which moves must differ to be told apart: where two candidates are to be asked
whatever the first one says, either order is worth the same but for rounding. The better buy goes first."""
CHUNK = 512
"""Requests that are solved together, which bounds memory."""
FACTORS = np.array([1.0, 1 / 8, 4.0, 1 / 64, 1 / 512])[:, None]
"""Multiples of the value of a good answer at which the best buys are looked for."""

Moves: TypeAlias = tuple[IntArray, Array, Array, NDArray[np.bool_], NDArray[np.bool_]]
"""Action, worth, worth of stopping, whether to commit, and what to try together; see :class:`Plan`."""


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
    posterior, q, moves = _solved(problem, calibration, width, depth)
    action, worth_, stop_worth, commit, together = moves
    answer = np.where(problem.usable.any(1), np.where(problem.usable, q, -1.0).argmax(1), -1)
    return Plan(action, answer, q, worth_, stop_worth, commit, together, posterior)


def worth(problem: Problem, calibration: ConfidenceCalibration, *, width: int = WIDTH, depth: int = DEPTH) -> Array:
    """:attr:`Plan.worth` alone (n,), for comparing what could be done."""
    return _solved(problem, calibration, width, depth)[2][1]


def _solved(
    problem: Problem, calibration: ConfidenceCalibration, width: int, depth: int
) -> tuple[Posterior, Array, Moves]:
    posterior = infer(problem.evidence)
    q = calibrated(problem.evidence, posterior, problem.forecast, calibration)
    n, m = q.shape
    if problem.silent is None and not posterior.sizes.shape[1] and not posterior.alone.any():  # nothing ran yet
        if not _may_call_twice(problem):
            return posterior, q, _at_once(problem, q)
        counts = tally(min(width, m), 0, depth, (), 0, 0)
        if n <= CHUNK:
            return posterior, q, _solve(problem, posterior, q, calibration, np.zeros((n, 0), dtype=np.int64), counts)
    strength = np.where(posterior.sizes > 0, posterior.correct[:, 1:], -1.0)
    order = np.argsort(-strength, axis=1)[:, :MOST_CLUSTERS]
    parts = _alike(problem, posterior, order, min(width, m), depth)
    if len(parts) == 1 and n <= CHUNK:
        (counts,) = parts
        return posterior, q, _solve(problem, posterior, q, calibration, order[:, : counts.shape.clusters], counts)
    moves: Moves = (
        np.full(n, STOP),
        np.full(n, IMPOSSIBLE),
        np.full(n, IMPOSSIBLE),
        np.zeros(n, dtype=bool),
        np.zeros(q.shape, dtype=bool),
    )
    for counts, rows in parts.items():
        for start in range(0, len(rows), CHUNK):
            part = np.array(rows[start : start + CHUNK])
            kept = order[part, : counts.shape.clusters]
            solved = _solve(problem.take(part), posterior.take(part), q[part], calibration, kept, counts)
            for whole, some in zip(moves, solved):
                whole[part] = some
    return posterior, q, moves


def _may_call_twice(problem: Problem) -> bool:
    """Whether a second call could pay for itself in any request: it costs less than a good answer is worth."""
    pays = problem.open & (problem.cost < problem.value[:, None])
    return bool((pays.sum(1) > 1).any())


def _at_once(problem: Problem, q: Array) -> Moves:
    """What the lattice comes to where no second call can pay: the best call, if any is worth it, ends the request."""
    gain = np.where(problem.open, problem.value[:, None] * q - problem.cost, IMPOSSIBLE)
    best, rows = gain.argmax(1), np.arange(len(gain))
    worth, together = np.maximum(gain[rows, best], 0.0), np.zeros(q.shape, dtype=bool)
    pays = worth > 0.0
    together[rows, best] = pays
    return np.where(pays, best, STOP), worth, np.zeros(len(gain)), pays, together


def _alike(problem: Problem, posterior: Posterior, order: IntArray, width: int, depth: int) -> dict[Tally, list[int]]:
    """Requests whose answers are as many and group in the same sizes, by what is counted for them."""
    n = len(order)
    there = (posterior.sizes > 0).sum(1)
    sizes = np.take_along_axis(posterior.sizes, order, axis=1).tolist()
    total, groups = posterior.sizes.sum(1) + posterior.alone, there + posterior.alone
    silent = [False] * n if problem.silent is None else problem.silent.tolist()
    rows: dict[tuple[tuple[int, ...], int, int, bool], list[int]] = {}
    for i, key in enumerate(zip(map(tuple, sizes), total.tolist(), groups.tolist(), silent)):
        rows.setdefault(key, []).append(i)
    out = {}
    for (size, answers, formed, nothing), mine in rows.items():
        kept = tuple(s for s in size if s)
        ahead = 0 if nothing else max(depth - min(len(kept), 2), min(depth, 1))
        out[tally(width, len(kept), ahead, kept, answers, formed)] = mine
    return out


def shortlist(problem: Problem, q: Array, width: int) -> IntArray:
    """The candidates worth looking at, (n, k): the best buys over a range of values of a good answer.

    At a thousandth of the value the cheap probes win, at four times it the strong ones; ranks are taken in turn until
    ``width`` are found, so the list is spread over the whole price range. Best buys come first: those with the highest
    odds of being right, to the power of :data:`STRENGTH`, a USD.
    """
    cost, can = problem.cost, problem.open
    loss = cost[:, None, :] - problem.value[:, None, None] * FACTORS * q[:, None, :]
    rank = np.where(can[:, None, :], loss, -IMPOSSIBLE).argsort(2).argsort(2)
    best = np.where(can, rank.min(1) + 1e-3 * rank[:, 0], np.inf)  # best rank under any factor
    picked = np.argpartition(best, min(width, best.shape[1]) - 1, axis=1)[:, :width]
    row = np.arange(len(picked))[:, None]
    bargain = STRENGTH * logit(q[row, picked], 0.005) - np.log(np.maximum(cost[row, picked], 1e-12))
    return np.asarray(picked[row, np.where(can[row, picked], -bargain, np.inf).argsort(1)])


def _solve(
    problem: Problem,
    posterior: Posterior,
    q: Array,
    calibration: ConfidenceCalibration,
    order: IntArray,
    counts: Tally,
) -> Moves:
    """Requests that share a tally; ``order`` (n, clusters) are the groups of answers that are told apart."""
    shape = counts.shape
    picked = shortlist(problem, q, shape.k)
    row = np.arange(len(picked))[:, None]
    can, cost = problem.open[row, picked], problem.cost[row, picked]
    log_z, stop_p, blind_p = evaluate(problem, posterior, q, calibration, picked, order, counts)

    value = problem.value[:, None]
    stop_worth = value * np.maximum(stop_p, 0.0)
    # Each candidate accepted unseen, in every state; then, level by level towards now, what is foreseen instead.
    price = np.where(can, cost, -IMPOSSIBLE)
    move = value[:, :, None] * np.maximum(blind_p, stop_p[:, None]) - price[:, :, None]
    move = np.where(shape.untried, move, IMPOSSIBLE)
    worth = np.maximum(stop_worth, move.max(1))
    chance, toll = _chances(shape, log_z), price.take(shape.tried, axis=1)
    for level in range(shape.depth - 1, -1, -1):
        at, ahead = shape.spans[level], shape.tries[level]
        expected = (chance[:, :, ahead.place] * worth.take(ahead.children, axis=1)).sum(1)
        move[:, ahead.candidate, ahead.state] = expected - toll[:, ahead.place]
        np.maximum(stop_worth[:, at], move[:, :, at].max(1), out=worth[:, at])
    act = np.where(worth > stop_worth, (move >= (worth - TIE * value)[:, None]).argmax(1), STOP)
    now = act[:, 0]
    chosen = np.where(now >= 0, picked[row[:, 0], now], STOP)
    commit, foreseen = _commits(shape, act)
    together = np.zeros(q.shape, dtype=bool)
    together[row, picked] = foreseen
    return chosen, worth[:, 0], stop_worth[:, 0], commit, together


def _commits(shape: Lattice, act: IntArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the candidate about to be tried ends the request whatever it says (n,): no answer is at hand to prefer,
    and every state that it can lead to stops. And the candidates to be tried now: it, and those that every state it
    can lead to tries next (n, k)."""
    commit, together = np.zeros(len(act), dtype=bool), np.zeros((len(act), shape.k), dtype=bool)
    for i, acts in enumerate(act.tolist()):
        states, tried = [0], acts[0]
        while tried != STOP:
            together[i, tried] = True
            states = [after for state in states for after in shape.following[state][tried]]
            then = {acts[state] for state in states}
            if len(then) != 1:
                break
            (tried,) = then
        commit[i] = not shape.clusters and acts[0] != STOP and all(acts[s] == STOP for s in shape.following[0][acts[0]])
    return commit, together


def _chances(shape: Lattice, log_z: Array) -> Array:
    """Probabilities of the states that trying a candidate can lead to: (n, C + 1, E)."""
    padded = np.full((len(log_z), shape.size + 1), -np.inf)
    padded[:, :-1] = log_z
    chance = padded.take(shape.ahead, axis=1)
    if chance.size:
        chance -= chance.max(1, keepdims=True)
        np.exp(chance, out=chance)
        chance /= chance.sum(1, keepdims=True)
    return chance
