"""The parts that a stack of judges is fitted from: curves of single judges, shared errors, regularised regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.calibration import CURVE_LABELS, KNOTS
from emafusion.estimators.scales import logit, sigmoid
from emafusion.estimators.tempering import LEAST

__all__ = ["class_means", "evidence_curve", "shared_covariance", "task_deviations", "tuned_weights"]

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

PULLS = (3.0, 12.0, 48.0, 192.0)
"""How strongly weights are drawn to the shipped ones; which of them is chosen out of fold."""
FOLDS = 4
TASK_PULL = 30.0
TASK_ROWS = 100
_SHRINK_ROWS = 30.0


def evidence_curve(scores: Array, target: Array, count: Array) -> tuple[float, Array, Array] | None:
    """An isotonic curve from a judge's log-odds to evidence, where labels allow; turned round if it errs on purpose."""
    if count.sum() < CURVE_LABELS or target.min() == target.max():
        return None
    z = logit(scores, LEAST)
    sign = -1.0 if z.std() > 0 and np.corrcoef(z, target)[0, 1] < 0 else 1.0
    z = sign * z
    # Bins of about equal count, none of which parts equal verdicts: many judges know only a few.
    part = np.searchsorted(np.unique(np.quantile(z, np.linspace(0.0, 1.0, KNOTS + 1)[1:-1])), z, side="right")
    kept, part = np.unique(part, return_inverse=True)
    total = np.bincount(part, count).astype(np.float64)
    x = np.bincount(part, count * z) / total
    base = float((count * target).sum() / count.sum())
    # A few pseudo-observations at the base rate keep a bin of only good answers from claiming certainty.
    rate = (np.bincount(part, count * target) + 2.0 * base) / (total + 2.0)
    y = logit(increasing(rate, total)) - float(logit(np.array(base)))
    return (sign, x, y) if len(kept) > 1 else None


def increasing(rate: Array, count: Array) -> Array:
    """The nearest non-decreasing sequence (pool adjacent violators)."""
    pools: list[list[float]] = []
    for value, n in zip(rate.tolist(), count.tolist()):
        pools.append([value, n, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            last, before = pools.pop(), pools.pop()
            n = last[1] + before[1]
            pools.append([(last[0] * last[1] + before[0] * before[1]) / n, n, last[2] + before[2]])
    return np.repeat([pool[0] for pool in pools], [int(pool[2]) for pool in pools])


def class_means(x: Array, given: Bools, chance: Array, count: Array) -> Array:
    """(k,) mean feature of one class, a few rows' worth drawn to the mean of all."""
    weight = given * (count * chance)[:, None]
    overall = (given * x).sum(0) / np.maximum(given.sum(0), 1)
    return np.asarray(((weight * x).sum(0) + 2.0 * overall) / np.maximum(weight.sum(0) + 2.0, 1.0))


def shared_covariance(x: Array, given: Bools) -> Array:
    """Of features over the rows where both are known, less their class means; off the diagonal shrunk for few rows."""
    known = np.where(given, x, 0.0)
    count = given.T.astype(np.float64) @ given
    out = known.T @ known / np.maximum(count, 1.0) * count / (count + _SHRINK_ROWS)
    own = (known**2).sum(0) / np.maximum(given.sum(0), 1)
    np.fill_diagonal(out, np.maximum(own, 1e-3))
    values, vectors = np.linalg.eigh(out)  # pairwise estimates need not make a covariance
    return np.asarray(vectors * np.maximum(values, 1e-6) @ vectors.T)


def task_deviations(
    design: Array,
    weights: Array,
    share: Array,
    target: Array,
    offset: Array,
    s: Array,
    task: Sequence[str],
    count: Array,
) -> dict[str, Array]:
    """Deviations of each task type with enough rows from the weights of all."""
    out, k = {}, design.shape[1] // 3
    base = offset + s * (design @ weights)
    for name in sorted(set(task)):
        rows = np.array([t == name for t in task], dtype=bool)
        if count[rows].sum() >= TASK_ROWS and not rows.all():
            x = np.column_stack([design[rows, :k], share[rows]]) * s[rows, None]
            pull = np.full(k + 1, TASK_PULL)
            out[name] = drawn_logistic(x, target[rows], base[rows], np.zeros(k + 1), pull, count[rows])
    return out


def tuned_weights(x: Array, y: Array, offset: Array, prior: Array, count: Array, group: NDArray[np.int64]) -> Array:
    """Weights with the pull that predicts best out of fold, and Platt's slope on what they say there."""
    _, number = np.unique(group, return_inverse=True)
    fold = np.random.default_rng(0).permutation(int(number.max(initial=0)) + 1)[number] % FOLDS
    best: tuple[float, Array, float] | None = None
    for pull in PULLS:
        each = np.full(len(prior), pull)
        apart = np.zeros(len(y))
        for f in range(FOLDS):
            rows = fold != f
            apart[~rows] = x[~rows] @ drawn_logistic(x[rows], y[rows], offset[rows], prior, each, count[rows])
        loss = float((count * (np.logaddexp(0.0, offset + apart) - y * (offset + apart))).sum())
        if best is None or loss < best[0]:
            best = loss, apart, pull
    assert best is not None
    slope = drawn_logistic(best[1][:, None], y, offset, np.ones(1), np.array([5.0]), count)[0]
    weights = drawn_logistic(x, y, offset, prior, np.full(len(prior), best[2]), count)
    return np.asarray(weights * float(np.clip(slope, 0.0, 1.25)))


def drawn_logistic(x: Array, y: Array, offset: Array, prior: Array, pull: Array, count: Array) -> Array:
    """Logistic regression with an offset, drawn to ``prior``, by Newton's method with halving steps."""

    def loss(w: Array) -> float:
        eta = offset + x @ w
        return float((count * (np.logaddexp(0.0, eta) - y * eta)).sum() + 0.5 * (pull * (w - prior) ** 2).sum())

    w: Array = prior.copy()
    now = loss(w)
    for _ in range(50):
        p = sigmoid(offset + x @ w)
        gradient = x.T @ (count * (p - y)) + pull * (w - prior)
        step = np.linalg.solve((x * (count * p * (1.0 - p))[:, None]).T @ x + np.diag(pull), gradient)
        size = 1.0
        while loss(w - size * step) > now and size > 1e-6:
            size /= 2.0
        w = w - size * step
        then = loss(w)
        if now - then < 1e-9 * (1.0 + abs(now)):
            break
        now = then
    return w
