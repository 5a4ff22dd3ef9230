"""Numbers on the lattice: how probable is every state, and how good would its best answer be?"""

from __future__ import annotations

import numpy as np

from emafusion.estimators.beliefs import Array, Evidence, IntArray, Posterior
from emafusion.estimators.confidence import ConfidenceCalibration
from emafusion.policies.problem import Problem
from emafusion.policies.tally import Tally

__all__ = ["evaluate"]


def evaluate(
    problem: Problem,
    posterior: Posterior,
    q: Array,
    calibration: ConfidenceCalibration,
    picked: IntArray,
    order: IntArray,
    counts: Tally,
) -> tuple[Array, Array, Array]:
    """Numbers on the lattice of ``counts``, for requests that share it.

    Parameters
    ----------
    picked : int (r, k)
        Candidates that are looked at.
    order : int (r, clusters)
        Existing groups that are told apart; the others are wrong for good.

    Returns
    -------
    log_z : (r, S)
        Log-likelihood of each state's evidence: ratios are the probabilities of moving between states.
    stop_p : (r, S)
        Confidence of the best answer in a state, -1 with none.
    blind_p : (r, S, k)
        Confidence of each candidate not yet run in a state.
    """
    shape = counts.shape
    n, k = picked.shape
    row = np.arange(n)[:, None]
    evidence = problem.evidence
    right = evidence.right[row, picked]
    inside, outside, stray = _likelihoods(evidence, right, evidence.llr[row, picked])

    # Log weight of (state, right group, theta); group 0: none is right.
    terms = np.empty((n, shape.paths.shape[1], right.shape[2]))
    np.subtract(inside, outside, out=terms[:, :k])
    terms[:, k : 2 * k] = outside
    base = posterior.joint.swapaxes(1, 2)
    terms[:, 2 * k : -1] = base[row, order + 1]
    terms[:, -1] = base[:, 0]
    joint = (shape.paths @ terms).reshape(n, shape.size, -1, right.shape[2])
    joint += counts.grouping(evidence.eps)[..., None]
    flat = joint.reshape(n, shape.size, -1)
    top = flat.max(2)
    flat -= top[:, :, None]
    weights = np.exp(joint, out=joint)
    z = flat.sum(2)
    weights /= z[:, :, None, None]
    log_z = np.log(z) + top

    theta = weights.sum(2)
    forecast = problem.forecast[row, picked][:, None, :]
    before, after = calibration.intercepts_[:, picked][:, :, None]
    blind_p = calibration.weighed(
        theta @ right.swapaxes(1, 2), forecast, counts.weights(calibration, ran=False), ran=False, intercept=before
    )
    # Candidates tried on the way: right if their group is, or as strays beside it.
    surely = weights.reshape(n, -1, right.shape[2]) @ (1.0 - stray).swapaxes(1, 2)
    ran_p = theta @ stray.swapaxes(1, 2) + surely.reshape(n, -1).take(shape.own, axis=1)
    ran_p = calibration.weighed(
        ran_p, forecast, counts.weights(calibration, ran=True), ran=True, intercept=after
    )
    stop_p = np.where(shape.member, ran_p, -1.0).max(2)
    if problem.usable.any():
        stop_p = np.maximum(stop_p, _at_hand(problem, q, calibration, weights, theta, order, counts))
    return log_z, stop_p, blind_p


def _likelihoods(evidence: Evidence, right: Array, llr: Array) -> tuple[Array, Array, Array]:
    """:meth:`Evidence.likelihoods` of some candidates."""
    some = Evidence(right, evidence.log_nodes, evidence.ran, evidence.label, llr, evidence.eps, evidence.rho)
    return some.likelihoods()


def _at_hand(
    problem: Problem,
    q: Array,
    calibration: ConfidenceCalibration,
    weights: Array,
    theta: Array,
    order: IntArray,
    counts: Tally,
) -> Array:
    """Confidence, in every state, of the best answer that is already at hand: (n, S)."""
    evidence, usable, label = problem.evidence, problem.usable, problem.evidence.label
    n, states = theta.shape[:2]
    best = np.full((n, states), -1.0)
    everyone = np.arange(n)
    seen = usable & evidence.ran

    def confidence(who: IntArray, p: Array, own: IntArray, *, ran: bool) -> Array:
        known = calibration.of_counts(own, counts.ran, ran=ran)
        forecast, intercept = problem.forecast[everyone, who], calibration.intercepts_[int(ran), who]
        return calibration.weighed(p, forecast[:, None], known, ran=ran, intercept=intercept[:, None])

    if not np.array_equal(seen, usable):  # as good as they were expected to be, and no evidence
        unseen = usable & ~seen
        who = np.where(unseen, q, -1.0).argmax(1)
        p = (theta @ evidence.right[everyone, who][:, :, None])[:, :, 0]
        best = np.where(unseen.any(1)[:, None], confidence(who, p, counts.ran, ran=False), -1.0)
    for c in range(-1, order.shape[1]):
        mine = seen & ((label < 0) if c < 0 else (label == order[:, c, None]))
        there = mine.any(1)
        if not there.any():
            continue
        who = np.where(mine, q, -1.0).argmax(1)
        llr = evidence.llr[everyone, who]
        _, _, stray = _likelihoods(evidence, evidence.right[everyone, who][:, None], llr[:, None])
        if c < 0:
            p, own = (theta @ stray.swapaxes(1, 2))[:, :, 0], np.ones(states, dtype=np.int64)
        else:
            inside = weights[:, :, c + 1]
            p, own = (inside + (theta - inside) * stray).sum(2), counts.sizes[:, c]
        best = np.maximum(best, np.where(there[:, None], confidence(who, p, own, ran=True), -1.0))
    return best
