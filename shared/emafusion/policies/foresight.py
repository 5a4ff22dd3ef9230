"""Numbers on the lattice: how probable is every state, and how good would its best answer be?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emafusion.estimators.beliefs import Array, IntArray, Posterior, log_gamma, log_rising, novelty
from emafusion.estimators.confidence import ConfidenceCalibration
from emafusion.policies.lattice import Lattice
from emafusion.policies.problem import Problem

__all__ = ["evaluate"]

_NONE = np.zeros((1, 1, 1), dtype=np.int64)


def evaluate(
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
    unseen = np.asarray(usable & ~evidence.ran)
    if unseen.any():  # as good as they were expected to be, and no evidence
        who = np.where(unseen, q, -1.0).argmax(1)
        p = (theta * evidence.right[everyone, who][:, None, :]).sum(2)
        mine_first = problem.forecast[everyone, who][:, None]
        intercept = calibration.intercepts_[0][who][:, None]
        confidence = calibration.confidence(p, mine_first, _NONE[0], ran_count, ran=False, intercept=intercept)
        best = np.where(np.asarray(unseen.any(1))[:, None], confidence, -1.0)
    for c in range(-1, order.shape[1]):
        mine = np.asarray(usable & evidence.ran & ((label < 0) if c < 0 else (label == order[:, c, None])))
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
