"""Numbers on the lattice: how probable is every state, and how good would its best answer be?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, Evidence, IntArray, Posterior
from emafusion.estimators.confidence import EDGE, ConfidenceCalibration
from emafusion.estimators.shared_difficulty import logit, sigmoid
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
    blind_p : (r, k, S)
        Confidence of each candidate in a state, not yet run there.
    """
    shape, evidence = counts.shape, problem.evidence
    n, k = picked.shape
    row = np.arange(n)[:, None]
    right = evidence.right[row, picked]
    nodes = right.shape[2]
    inside, outside, stray = _likelihoods(evidence, right, evidence.llr[row, picked])

    # Log weight of (theta, right group, state); group 0: none is right.
    terms = np.empty((n, nodes, len(shape.paths)))
    terms[:, :, :k] = (inside - outside).swapaxes(1, 2)
    terms[:, :, k : 2 * k] = outside.swapaxes(1, 2)
    terms[:, :, 2 * k : -1] = posterior.joint[row[:, :, None], np.arange(nodes)[:, None], order[:, None] + 1]
    terms[:, :, -1] = posterior.joint[:, :, 0]
    weights = (terms @ shape.paths).reshape(n, nodes, -1, shape.size)
    weights += counts.grouping(evidence.eps)[:, None]
    top = weights.reshape(n, -1, shape.size).max(1)
    weights -= top[:, None, None]
    np.exp(weights, out=weights)
    theta = weights.sum(2)
    z = theta.sum(1)
    weights /= z[:, None, None]
    theta /= z[:, None]

    # Candidates tried on the way are right if their group is, or as strays beside it.
    surely = ((1.0 - stray) @ weights.reshape(n, nodes, -1)).reshape(n, -1).take(shape.own, axis=1)
    p = np.where(shape.member, stray @ theta + surely, right @ theta)
    of_belief, of_forecast, added = counts.weights(calibration)
    before, after = calibration.intercepts_[:, picked][..., None]
    known = of_forecast * logit(problem.forecast[row, picked], EDGE)[:, :, None]
    known += np.where(shape.member, after, before)
    confidence = sigmoid(logit(p, EDGE) * of_belief + known + added)
    stop_p = np.where(shape.member, confidence, -1.0).max(1)
    if problem.usable.any():
        stop_p = np.maximum(stop_p, _at_hand(problem, q, calibration, weights, theta, order, counts))
    return np.log(z) + top, stop_p, confidence


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
    everyone = np.arange(len(theta))
    best = np.full((len(theta), theta.shape[2]), -1.0)
    seen = usable & evidence.ran

    def best_of(mine: NDArray[np.bool_], there: NDArray[np.bool_], group: int, ran: bool) -> Array:
        who = np.where(mine, q, -1.0).argmax(1)
        right = evidence.right[everyone, who][:, None]
        if ran:
            inside = weights[:, :, group + 1] if group >= 0 else np.zeros((1, 1, 1))
            _, _, stray = _likelihoods(evidence, right, evidence.llr[everyone, who][:, None])
            p = (inside + (theta - inside) * stray.swapaxes(1, 2)).sum(1)
        else:
            p = (right @ theta)[:, 0]
        of_belief, added = counts.weights_at_hand(calibration, group, ran=ran)
        known = float(calibration.slopes_[int(ran), 1]) * logit(problem.forecast[everyone, who], EDGE)
        known += calibration.intercepts_[int(ran), who]
        confidence = sigmoid(logit(p, EDGE) * of_belief + (known[:, None] + added))
        return np.where(there[:, None], confidence, -1.0)

    unseen = usable & ~evidence.ran
    if unseen.any():  # as good as they were expected to be, and no evidence
        best = best_of(unseen, np.asarray(unseen.any(1)), -1, False)
    for c in range(-1, order.shape[1]):
        mine = seen & ((label < 0) if c < 0 else (label == order[:, c, None]))
        there = np.asarray(mine.any(1))
        if there.any():
            best = np.maximum(best, best_of(mine, there, c, True))
    return best
