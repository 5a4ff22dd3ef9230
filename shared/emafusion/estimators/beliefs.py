"""From answers to probabilities: which group of agreeing answers is right, and how good is each candidate given that.

The model, given a query x and the shared difficulty theta of :mod:`emafusion.estimators.shared_difficulty`:

* at most one group of agreeing answers is the right one (or none is);
* a right candidate's answer falls into the right group with probability ``rho(x)``, else it stands alone (another
  wording, another format of the same thing);
* two wrong answers fall together with probability ``eps(x)`` (1 for yes/no questions, little for open numbers);
* any other evidence on an answer (a rule, a judge, its length) multiplies the odds that it is right by ``exp(llr)``.

Nothing here assumes that candidates or judges are independent: they share theta, and a group of five that agree on a
question where wrong answers coincide (``eps`` high) gains little over a group of two.

All arrays carry a leading axis of n queries, so one request and ten thousand are the same code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Evidence", "Posterior", "infer", "log_gamma", "log_rising", "novelty", "wrong_groups"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

FLOOR = 1e-12
_LOG_GAMMA = np.array([0.0, *(math.lgamma(i) for i in range(1, 1025))])


def log_gamma(counts: Array | IntArray) -> Array:
    """log Gamma of whole numbers from 0 (taken as 0) to 1,024: a table, so that serving needs numpy alone."""
    return np.asarray(_LOG_GAMMA[np.asarray(counts, dtype=np.int64)])


@dataclass(frozen=True)
class Evidence:
    """What is known of n queries at one moment.

    Attributes
    ----------
    right : (n, m, H)
        P(right | x, theta) for every candidate.
    log_nodes : (H,)
        Log weights of the nodes of theta.
    ran : bool (n, m)
    label : int (n, m)
        Group of agreeing answers, 0.. in any order; -1 where nothing ran or the answer agrees with none.
    llr : (n, m)
        Log-likelihood ratio right : wrong of all other evidence on each answer; 0 where nothing is known.
    eps, rho : (n,)
    """

    right: Array
    log_nodes: Array
    ran: NDArray[np.bool_]
    label: IntArray
    llr: Array
    eps: Array
    rho: Array

    def take(self, rows: IntArray) -> Evidence:
        """The same for some of the queries."""
        each = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "log_nodes"}
        return replace(self, **each)

    def likelihoods(self) -> tuple[Array, Array, Array]:
        """Log-likelihood of each candidate's evidence if it is in the right group, and if it is not; and P(right | not
        in the right group, theta): (n, m, H) each."""
        rho, boost = self.rho[:, None, None], self.llr[:, :, None]
        lone = (1.0 - rho) * self.right * np.exp(boost)
        other = np.maximum(1.0 - self.right + lone, FLOOR)
        return np.log(np.maximum(rho * self.right, FLOOR)) + boost, np.log(other), lone / other


@dataclass(frozen=True)
class Posterior:
    """Beliefs after the evidence.

    Attributes
    ----------
    p : (n, m)
        Probability that each candidate's answer is good, run or not yet run.
    joint : (n, H, C + 1)
        Log weight, without the factor for how wrong answers group, of (theta, which group is right); column 0: none.
    sizes : (n, C)
        Members of each group.
    alone : (n,)
        Candidates that ran and agree with none.
    correct : (n, C + 1)
        Probability that each group is the right one; column 0: none of them.
    """

    p: Array
    joint: Array
    sizes: IntArray
    alone: IntArray
    correct: Array

    def take(self, rows: IntArray) -> Posterior:
        """The same for some of the queries."""
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def novelty(eps: Array) -> Array:
    """Concentration of the Chinese restaurant process in which two wrong answers coincide with probability ``eps``."""
    e = np.minimum(np.maximum(eps, 1e-3), 0.999)
    return np.asarray((1.0 - e) / e)


def log_rising(alpha: Array, most: int) -> Array:
    """log of (alpha + 1) ... (alpha + k - 1) for k = 0 .. most: (n, most + 1)."""
    steps = np.log(alpha[:, None] + np.arange(1, max(most, 1)))
    return np.concatenate([np.zeros((len(alpha), 2)), np.cumsum(steps, axis=1)], axis=1)[:, : most + 1]


def wrong_groups(sizes: Array | IntArray, singles: IntArray, eps: Array) -> Array:
    """Log-probability that wrong answers fall into groups of these ``sizes`` (n, C) plus ``singles`` alone (n,).

    A Chinese restaurant process: a further wrong answer repeats an earlier one in proportion to how often that
    occurred, or is new. Exchangeable, so order does not matter. Empty groups have size 0.
    """
    return np.asarray(_wrong_but(sizes, singles, eps)[:, 0])


def _wrong_but(sizes: Array | IntArray, singles: IntArray, eps: Array) -> Array:
    """The same (n, C + 1) without the members of one group after the other; column 0: with all of them."""
    if int((sizes.sum(1) + singles).max(initial=0)) <= 1:  # one answer alone can group in one way only
        return np.zeros((len(sizes), sizes.shape[1] + 1))
    counts = np.zeros((len(sizes), sizes.shape[1] + 1), dtype=np.int64)
    counts[:, 1:] = sizes
    there, gammas = counts > 0, log_gamma(counts)
    wrong = (counts.sum(1) + singles)[:, None] - counts
    groups = (there.sum(1) + singles)[:, None] - there
    alpha = novelty(eps)
    rising = log_rising(alpha, int(wrong.max(initial=0)))[np.arange(len(alpha))[:, None], wrong]
    spread = np.maximum(groups - 1, 0) * np.log(alpha)[:, None]
    return np.asarray(spread + (gammas.sum(1, keepdims=True) - gammas) - rising)


def infer(evidence: Evidence) -> Posterior:
    """Posterior over (theta, right group) by enumeration, and the marginals that decisions need."""
    if not evidence.ran.any():
        return _prior(evidence)
    inside, outside, stray = evidence.likelihoods()
    ran = evidence.ran
    ran_too, grouped = ran[:, :, None], ran & (evidence.label >= 0)
    clusters = int(evidence.label.max(initial=-1)) + 1
    member = (grouped[:, :, None] & (evidence.label[:, :, None] == np.arange(clusters))).astype(np.float64)
    sizes = member.sum(1)
    alone = (ran & ~grouped).sum(1)

    none_right = (outside * ran_too).sum(1) + evidence.log_nodes
    gains = (inside - outside).swapaxes(1, 2) @ member
    joint = np.empty((*none_right.shape, clusters + 1))
    joint[:, :, 0] = none_right
    joint[:, :, 1:] = none_right[:, :, None] + gains
    if not sizes.all():
        joint[:, :, 1:][np.broadcast_to((sizes == 0)[:, None, :], gains.shape)] = -np.inf

    logs = joint + _wrong_but(sizes, alone, evidence.eps)[:, None, :]
    weights = np.exp(logs - logs.max((1, 2), keepdims=True))
    weights /= weights.sum((1, 2), keepdims=True)

    in_right = member @ weights[:, :, 1:].swapaxes(1, 2)  # joint with theta
    theta = weights.sum(2)[:, None, :]
    good = np.where(ran_too, in_right + (theta - in_right) * stray, theta * evidence.right)
    return Posterior(p=good.sum(2), joint=joint, sizes=sizes.astype(np.int64), alone=alone, correct=weights.sum(1))


def _prior(evidence: Evidence) -> Posterior:
    """What :func:`infer` comes to while nothing has run: theta is as likely as its nodes' weights say."""
    n, _, nodes = evidence.right.shape
    weights = np.exp(evidence.log_nodes - evidence.log_nodes.max())
    return Posterior(
        p=evidence.right @ (weights / weights.sum()),
        joint=np.broadcast_to(evidence.log_nodes[:, None], (n, nodes, 1)),
        sizes=np.zeros((n, 0), dtype=np.int64),
        alone=np.zeros(n, dtype=np.int64),
        correct=np.ones((n, 1)),
    )
