"""Exact lookahead on the belief lattice: what is each next move worth?

Cascade routing (Dekoninck et al., arXiv 2410.10347, section 3) asks which superset of the models run so far to run,
by the expected best posterior less cost. Here the expectation is not sampled: the states of a :class:`Lattice` are few,
their probabilities follow from the belief model, and optimal stopping over them is solved by backward induction. The
last level may still be followed by one more candidate accepted unseen, so a lattice of depth d looks d + 1 calls ahead.

Everything is in units of USD: a good answer is worth ``value``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, Evidence, IntArray, Posterior, infer, log_gamma, log_rising, novelty
from emafusion.estimators.confidence import ConfidenceCalibration, calibrated
from emafusion.policies.lattice import Lattice, lattice

__all__ = ["STOP", "Plan", "Problem", "plan"]

STOP = -1
MOST_CLUSTERS = 3
"""Groups of answers that are told apart while looking ahead; the rest can no longer win."""
IMPOSSIBLE = -1e9
CHUNK = 512
"""Requests that are solved together, which bounds memory."""
_NONE = np.zeros((1, 1, 1), dtype=np.int64)


@dataclass(frozen=True)
class Problem:
    """n requests at one moment of their lives.

    Attributes
    ----------
    evidence : Evidence
    forecast : (n, m)
        Prior probability of a good answer.
    cost : (n, m)
        Expected USD of a call.
    open : bool (n, m)
        Candidates that may still be tried.
    usable : bool (n, m)
        Answers that may be accepted (ran, and are not unusable).
    value : (n,)
        USD that a good answer is worth.
    floor : (n,) or None
        If given, stopping is acceptable only at a confidence of this share of ``reference``'s.
    reference : int
    """

    evidence: Evidence
    forecast: Array
    cost: Array
    open: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    value: Array

    def take(self, rows: IntArray) -> Problem:
        return replace(
            self,
            evidence=self.evidence.take(rows),
            **{name: getattr(self, name)[rows] for name in ("forecast", "cost", "open", "usable", "value")},
        )


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
    posterior: Posterior


def plan(problem: Problem, calibration: ConfidenceCalibration, *, width: int = 6, depth: int = 2) -> Plan:
    """Solve every request of ``problem``.

    Parameters
    ----------
    width
        Candidates that are looked at for further calls, chosen for each request by :func:`shortlist`.
    depth
        Calls to look ahead before anything has run (one less afterwards), besides the last one accepted unseen.
    """
    evidence = problem.evidence
    posterior = infer(evidence)
    q = calibrated(evidence, posterior, problem.forecast, calibration)
    n = len(q)
    acceptable = np.where(problem.usable, q, -1.0)
    answer = np.where(problem.usable.any(1), acceptable.argmax(1), -1)
    action, worth = np.full(n, STOP), np.full(n, IMPOSSIBLE)
    stop_worth, commit = np.full(n, IMPOSSIBLE), np.zeros(n, dtype=bool)
    # Requests with the same number of groups share a lattice.
    groups = np.minimum((posterior.sizes > 0).sum(1), MOST_CLUSTERS)
    for c in sorted(set(groups.tolist())):
        rows = np.nonzero(groups == c)[0]
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
                depth if c == 0 else depth - 1,
            )
            action[part], worth[part], stop_worth[part], commit[part] = solved
    return Plan(action, answer, q, worth, stop_worth, commit, posterior)


def shortlist(problem: Problem, q: Array, width: int) -> IntArray:
    """The candidates worth looking at, (n, k): the best buys over a range of values of a good answer.

    At a thousandth of the value the cheap probes win, at four times it the strong ones; ranks are taken in turn until
    ``width`` are found, so the list is spread over the whole price range.
    """
    cost, can = problem.cost, problem.open
    factors = np.array([1.0, 1 / 8, 4.0, 1 / 64, 1 / 512])
    worth = problem.value[:, None, None] * factors[None, :, None] * q[:, None, :] - cost[:, None, :]
    worth = np.where(can[:, None, :], worth, IMPOSSIBLE)
    rank = (-worth).argsort(2).argsort(2).min(1).astype(np.float64)  # best rank under any factor
    rank += 1e-3 * (-worth[:, 0]).argsort(1).argsort(1)
    rank = np.where(can, rank, np.inf)
    return np.sort(np.argpartition(rank, min(width, rank.shape[1]) - 1, axis=1)[:, :width], axis=1)


def _solve(
    problem: Problem,
    posterior: Posterior,
    q: Array,
    calibration: ConfidenceCalibration,
    clusters: int,
    width: int,
    depth: int,
) -> tuple[IntArray, Array, Array, NDArray[np.bool_]]:
    picked = shortlist(problem, q, min(width, q.shape[1]))
    shape = lattice(picked.shape[1], clusters, depth)
    row = np.arange(len(picked))[:, None]
    can, cost = problem.open[row, picked], problem.cost[row, picked]
    log_z, stop_p, blind_p = _evaluate(problem, posterior, q, calibration, picked, shape)

    value = problem.value[:, None]
    stop = value * np.maximum(stop_p, 0.0)
    worth, act = stop.copy(), np.full(stop.shape, STOP)
    for level in range(shape.depth, -1, -1):
        at = shape.spans[level]
        if level == shape.depth:
            unseen = value[:, :, None] * np.maximum(blind_p[:, at], stop_p[:, at, None])
            move = unseen - cost[:, None, :]
        else:
            move = _expected(shape, at, log_z, worth) - cost[:, None, :]
        move = np.where(can[:, None, :] & ~shape.member[at][None], move, IMPOSSIBLE)
        gain = move.max(2)
        act[:, at] = np.where(gain > worth[:, at], move.argmax(2), STOP)
        np.maximum(gain, worth[:, at], out=worth[:, at])
    now = act[:, 0]
    chosen = np.where(now >= 0, picked[np.arange(len(now)), np.maximum(now, 0)], STOP)
    return chosen, worth[:, 0], stop[:, 0], _commits(shape, act, now)


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


def _evaluate(
    problem: Problem,
    posterior: Posterior,
    q: Array,
    calibration: ConfidenceCalibration,
    picked: IntArray,
    shape: Lattice,
) -> tuple[Array, Array, Array]:
    """Numbers on the lattice.

    Returns
    -------
    log_z : (r, S)
        Log-likelihood of each state's evidence: ratios are the probabilities of moving between states.
    stop_p : (r, S)
        Confidence of the best answer in a state, -1 with none.
    blind_p : (r, S, k)
        Confidence of each candidate not yet run in a state.
    """
    evidence = problem.evidence
    row = np.arange(len(picked))[:, None]
    seen = replace(evidence, right=evidence.right[row, picked], llr=evidence.llr[row, picked])
    inside, outside = seen.logs()
    right, stray = seen.right, seen.stray()
    n, _, nodes = right.shape

    # Existing groups: the most probable ones are told apart, the others are wrong for good.
    strength = np.where(posterior.sizes > 0, posterior.correct[:, 1:], -1.0)
    order = np.argsort(-strength, axis=1)[:, : shape.clusters]
    sizes_now = posterior.sizes[row, order]
    kept = posterior.joint[:, :, 1:][row[:, :, None], np.arange(nodes)[:, None], order[:, None, :]]
    none = posterior.joint[:, :, 0]
    total_now = posterior.sizes.sum(1) + posterior.alone
    groups_now = (posterior.sizes > 0).sum(1) + posterior.alone

    tried = shape.member.astype(np.float64)
    gain = inside - outside
    all_out = tried @ outside
    # Log weight of (theta, right group) in every state; column 0: none is right.
    joint = np.empty((n, shape.size, nodes, 1 + shape.clusters + shape.depth))
    joint[..., 0] = none[:, None, :] + all_out
    for c in range(shape.clusters + shape.depth):
        base = kept[:, None, :, c] if c < shape.clusters else none[:, None, :]
        joint[..., c + 1] = base + all_out + shape.joined[c] @ gain

    joined = shape.joined.sum(2).T.astype(np.int64)  # (S, C)
    sizes = np.concatenate([sizes_now, np.zeros((n, shape.depth), dtype=np.int64)], 1)[:, None, :] + joined[None]
    joint += _grouping(evidence.eps, sizes, total_now, groups_now, shape, joined)[:, :, None, :]

    top = joint.max((2, 3), keepdims=True)
    weights = np.exp(joint - top)
    z = weights.sum((2, 3))
    weights /= z[:, :, None, None]
    log_z = np.log(z) + top[:, :, 0, 0]

    theta = weights.sum(3)
    unseen = theta @ right.swapaxes(1, 2)
    forecast = problem.forecast[row, picked][:, None, :]
    ran_count = evidence.ran.sum(1)[:, None] + shape.level[None, :]
    intercepts = calibration.intercepts_
    blind_p = calibration.confidence(
        unseen, forecast, _NONE, ran_count[:, :, None], ran=False, intercept=intercepts[0][picked][:, None, :]
    )

    stop_p = np.full(log_z.shape, -1.0)
    if shape.depth:
        # Candidates tried on the way: right if their group is, or as strays beside it.
        ran_p = theta @ stray.swapaxes(1, 2)
        surely = (1.0 - stray).swapaxes(1, 2)
        for c in range(shape.clusters + shape.depth):
            ran_p += (weights[..., c + 1] @ surely) * shape.joined[c]
        own_size = np.einsum("nsc,csk->nsk", sizes, shape.joined)
        ran_p = calibration.confidence(
            ran_p, forecast, own_size, ran_count[:, :, None], ran=True, intercept=intercepts[1][picked][:, None, :]
        )
        stop_p = np.where(shape.member[None], ran_p, -1.0).max(2)

    if problem.usable.any():
        stop_p = np.maximum(stop_p, _at_hand(problem, q, calibration, weights, theta, sizes, order, ran_count))
    return log_z, stop_p, blind_p


def _grouping(
    eps: Array, sizes: IntArray, total_now: IntArray, groups_now: IntArray, shape: Lattice, joined: IntArray
) -> Array:
    """Log-probability of how the wrong answers group, for each right group (column 0: none): (n, S, 1 + C).

    Groups that are no longer told apart are part of the totals, and a constant otherwise.
    """
    alpha = novelty(eps)
    started = (joined > 0)[None] & (np.arange(joined.shape[1]) >= shape.clusters)
    total = total_now[:, None] + shape.level[None, :]
    groups = groups_now[:, None] + started.sum(2)
    gammas = log_gamma(sizes)
    zero = np.zeros((*total.shape, 1), dtype=np.int64)
    n_wrong = total[..., None] - np.concatenate([zero, sizes], 2)
    n_groups = groups[..., None] - np.concatenate([zero, sizes > 0], 2)
    rising = log_rising(alpha, int(total.max()))[np.arange(len(eps))[:, None], n_wrong.reshape(len(eps), -1)]
    inner = gammas.sum(2, keepdims=True) - np.concatenate([np.zeros(zero.shape), gammas], 2)
    out = np.maximum(n_groups - 1, 0) * np.log(alpha)[:, None, None] + inner - rising.reshape(n_wrong.shape)
    out[..., 1:][sizes == 0] = -np.inf
    return np.asarray(out)


def _at_hand(
    problem: Problem,
    q: Array,
    calibration: ConfidenceCalibration,
    weights: Array,
    theta: Array,
    sizes: IntArray,
    order: IntArray,
    ran_count: Array,
) -> Array:
    """Confidence, in every state, of the best answer that is already at hand: (n, S)."""
    evidence = problem.evidence
    n, states = theta.shape[:2]
    best = np.full((n, states), -1.0)
    usable = problem.usable
    label = evidence.label
    everyone = np.arange(n)
    for c in range(-1, order.shape[1]):
        mine = np.asarray(usable & ((label < 0) if c < 0 else (label == order[:, c, None])))
        there = np.asarray(mine.any(1))
        if not there.any():
            continue
        who = np.where(mine, q, -1.0).argmax(1)
        stray = evidence.stray()[everyone, who]
        inside = weights[..., c + 1] if c >= 0 else np.zeros_like(theta)
        p = (inside + (theta - inside) * stray[:, None, :]).sum(2)
        own = sizes[:, :, c] if c >= 0 else np.ones((n, states), dtype=np.int64)
        mine_first = problem.forecast[everyone, who][:, None]
        intercept = calibration.intercepts_[1][who][:, None]
        confidence = calibration.confidence(p, mine_first, own, ran_count, ran=True, intercept=intercept)
        best = np.maximum(best, np.where(there[:, None], confidence, -1.0))
    return best
