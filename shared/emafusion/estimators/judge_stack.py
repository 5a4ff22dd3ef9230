"""Stacking: from the verdicts on one answer to one log-likelihood ratio, right : wrong.

Fitted, it is a regularised logistic regression of outcomes on the judges' log-odds and abstentions, beside what was
believed before them (forecast, rules and agreement, as an offset). Its weights are drawn to the shipped ones, and those
of a task type to the weights of all. Platt's line calibrates a judge with few labels, an isotonic curve one with about
1,000 or more. Judges share errors: the regression divides the weight among them, and a judge that was not asked is
imputed from those that were, so that one of two copies alone counts as much as both.

Unfitted, verdicts count by their shipped weights, tempered (:mod:`emafusion.estimators.tempering`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.calibration import CURVE_LABELS, KNOTS
from emafusion.estimators.scales import logit, sigmoid
from emafusion.estimators.tempering import (
    LEAST,
    STRANGERS,
    SURE,
    assumed_correlation,
    error_correlation,
    shares,
    verdict_llr,
)

__all__ = ["JudgeStack"]

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST = 5.0
"""Bound on what all judges together may say: no panel is surer than 150 to 1."""
PULLS = (3.0, 12.0, 48.0, 192.0)
"""How strongly weights are drawn to the shipped ones; which of them is chosen out of fold."""
FOLDS = 4
TASK_PULL = 30.0
TASK_ROWS = 100
_SHRINK_ROWS = 30.0


@dataclass(frozen=True, eq=False)
class JudgeStack:
    """How verdicts weigh.

    Attributes
    ----------
    judges : k names
        Those that were fitted or whose errors' correlation is known; others count by their shipped weights.
    correlation : (k, k)
        Of their errors; used where nothing was fitted.
    curves : for each judge None (log-odds as they are) or (sign, knots x, knots y)
    scale, centre : (k,)
        From log-odds, or from the curve, to the feature: 0 half-way between the means over right and wrong answers.
    covariance : (k, k)
        Of the features among answers that are all right or all wrong, for imputing judges that were not asked. In the
        Gaussian model of linear discriminant analysis that gives any subset of judges the very weights it deserves.
    weights : (3 k,)
        Of features, of having given a verdict, of having abstained. None: not fitted.
    tasks : task -> (k + 1,)
        Deviations by task type, of the weights of features and of the intercept.
    """

    judges: tuple[str, ...] = ()
    correlation: Array = field(default_factory=lambda: np.zeros((0, 0)))
    curves: tuple[tuple[float, Array, Array] | None, ...] = ()
    scale: Array = field(default_factory=lambda: np.zeros(0))
    centre: Array = field(default_factory=lambda: np.zeros(0))
    covariance: Array = field(default_factory=lambda: np.zeros((0, 0)))
    weights: Array | None = None
    tasks: Mapping[str, Array] = field(default_factory=dict)

    # -- serving -----------------------------------------------------------------------------------------------

    def llr(
        self,
        verdicts: Mapping[str, float | None],
        weights: Mapping[str, float],
        families: Mapping[str, str] | None = None,
        task: str = "",
    ) -> float:
        """Log-likelihood ratio of the verdicts on one answer.

        Parameters
        ----------
        verdicts
            Score in [0, 1] by judge; None where it abstained.
        weights
            Shipped weight by judge.
        families
            Judges of one family are taken for copies of each other as long as nothing was fitted.
        """
        if not verdicts:
            return 0.0
        known = [name for name in verdicts if name in self.judges]
        fitted, met = 0.0, 0.0
        if self.weights is not None and known:
            scores = np.full((1, len(self.judges)), np.nan)
            heard = np.zeros(scores.shape, dtype=bool)
            for name in known:
                heard[0, self.judges.index(name)] = True
                score = verdicts[name]
                if score is not None:
                    scores[0, self.judges.index(name)] = score
            fitted, met = float(self.columns(scores, heard, [task])[0]), float((~np.isnan(scores)).any())
            verdicts = {name: score for name, score in verdicts.items() if name not in known}
        names = list(verdicts)
        scores = np.array([np.nan if verdicts[n] is None else verdicts[n] for n in names], dtype=np.float64)
        each = verdict_llr(scores, np.array([weights.get(n, 1.0) for n in names]))
        told = shares(self._assumed(names, families or {}), ~np.isnan(scores))
        return float(np.clip(fitted + (each * told).sum() / (1.0 + STRANGERS * met), -MOST, MOST))

    def columns(self, scores: Array, heard: Bools, task: Sequence[str]) -> Array:
        """The same for n answers: (n,) from scores (n, k), NaN where there is none, and who was heard (n, k)."""
        if self.weights is None or not len(self.judges):
            return np.zeros(len(scores))
        given = ~np.isnan(scores)
        design = self._design(scores, given, heard)
        out = design @ self.weights
        k, share = len(self.judges), given.mean(1)
        for name, deviation in self.tasks.items():
            mine = np.array([t == name for t in task], dtype=bool)
            out[mine] += design[mine, :k] @ deviation[:k] + share[mine] * deviation[k]
        # Nobody said anything: nothing was learned.
        return np.where(heard.any(1), np.clip(out, -MOST, MOST), 0.0)

    def _assumed(self, names: Sequence[str], families: Mapping[str, str]) -> Array:
        out = assumed_correlation([families.get(n, n) for n in names])
        at = [(i, self.judges.index(n)) for i, n in enumerate(names) if n in self.judges]
        for i, a in at:
            for j, b in at:
                out[i, j] = self.correlation[a, b]
        return out

    # -- fitting -----------------------------------------------------------------------------------------------

    @classmethod
    def tempered(cls, judges: Sequence[str], scores: Array, weights: Array, families: Sequence[str] = ()) -> JudgeStack:
        """Without labels: only how much the judges err alike, from verdicts (n, k)."""
        assumed = assumed_correlation(families or judges)
        return cls(judges=tuple(judges), correlation=error_correlation(scores, weights, assumed))

    @classmethod
    def fit(
        cls,
        judges: Sequence[str],
        scores: Array,
        heard: Bools,
        target: Array,
        offset: Array,
        *,
        sensitivity: Array | None = None,
        task: Sequence[str] = (),
        weights: Array | None = None,
        families: Sequence[str] = (),
        count: Array | None = None,
        group: NDArray[np.int64] | None = None,
    ) -> JudgeStack:
        """Fit on n answers with known outcomes.

        Parameters
        ----------
        scores, heard : (n, k)
            Verdicts in [0, 1], NaN where there is none; whether the judge was asked.
        target : (n,)
            Outcomes in [0, 1]; corrected pseudo-labels may leave that range.
        offset : (n,)
            Log-odds of a good answer before any verdict.
        sensitivity : (n,)
            How far one unit of evidence moves those log-odds; 1 by default.
        task
            Likeliest task type of each row.
        weights : (k,)
            Shipped weights, to which the fitted ones are drawn.
        count : (n,)
            How many labels each row is worth; 1 by default.
        group : (n,)
            Rows of one group are one answer in several states: never in two folds.
        """
        n, k = scores.shape
        shipped = np.ones(k) if weights is None else np.asarray(weights, dtype=np.float64)
        s = np.ones(n) if sensitivity is None else sensitivity
        start = cls.tempered(judges, scores, shipped, families)
        given = ~np.isnan(scores)
        c = np.ones(n) if count is None else count
        bounded = bool((target >= 0).all() and (target <= 1).all())
        curves = tuple(
            _curve(scores[given[:, j], j], target[given[:, j]], c[given[:, j]]) if bounded else None for j in range(k)
        )
        scale = np.array([shipped[j] / SURE if curves[j] is None else 1.0 for j in range(k)])
        self = replace(start, curves=curves, scale=scale, centre=np.zeros(k), covariance=np.eye(k))
        raw = self._features(scores)
        right, wrong = _class_means(raw, given, target, c), _class_means(raw, given, 1.0 - target, c)
        y = np.clip(target, 0.0, 1.0)[:, None]
        around = raw - y * right - (1.0 - y) * wrong
        self = replace(self, centre=(right + wrong) / 2.0, covariance=_covariance(around, given))
        design = self._design(scores, given, heard)
        prior = np.concatenate([shares(start.correlation, np.ones(k, dtype=bool)), np.zeros(2 * k)])
        groups = np.arange(n) if group is None else np.asarray(group)
        found = _tuned(design * s[:, None], target, offset, prior, c, groups)
        self = replace(self, weights=found)
        return replace(self, tasks=_by_task(design, found, given.mean(1), target, offset, s, task, c))

    def _features(self, scores: Array) -> Array:
        """(n, k) judges' own log-odds or their curves', not centred; 0 where there is no verdict."""
        z = logit(np.where(np.isnan(scores), 0.5, scores), LEAST)
        for j, curve in enumerate(self.curves):
            if curve is not None:
                sign, x, y = curve
                z[:, j] = np.interp(sign * z[:, j], x, y)
        return z * self.scale

    def _design(self, scores: Array, given: Bools, heard: Bools) -> Array:
        """Features (imputed where missing), who gave a verdict, who abstained: (n, 3 k)."""
        x = np.where(given, self._features(scores) - self.centre, 0.0)
        for pattern in np.unique(given, axis=0):
            if pattern.all() or not pattern.any():
                continue
            rows = (given == pattern).all(1)
            inside = self.covariance[np.ix_(pattern, pattern)] + 1e-6 * np.eye(int(pattern.sum()))
            across = self.covariance[np.ix_(pattern, ~pattern)]
            x[np.ix_(rows, ~pattern)] = x[np.ix_(rows, pattern)] @ np.linalg.solve(inside, across)
        return np.hstack([x, given.astype(np.float64), (heard & ~given).astype(np.float64)])

    # -- saving ------------------------------------------------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        return {
            "judges": list(self.judges),
            "correlation": self.correlation.tolist(),
            "curves": [None if c is None else [c[0], c[1].tolist(), c[2].tolist()] for c in self.curves],
            "scale": self.scale.tolist(),
            "centre": self.centre.tolist(),
            "covariance": self.covariance.tolist(),
            "weights": None if self.weights is None else self.weights.tolist(),
            "tasks": {name: deviation.tolist() for name, deviation in self.tasks.items()},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> JudgeStack:
        k = len(config["judges"])
        return cls(
            judges=tuple(config["judges"]),
            correlation=np.asarray(config["correlation"], dtype=np.float64).reshape(k, k),
            curves=tuple(
                None if c is None else (float(c[0]), np.asarray(c[1]), np.asarray(c[2])) for c in config["curves"]
            ),
            scale=np.asarray(config["scale"], dtype=np.float64),
            centre=np.asarray(config["centre"], dtype=np.float64),
            covariance=np.asarray(config["covariance"], dtype=np.float64).reshape(-1, k) if k else np.zeros((0, 0)),
            weights=None if config["weights"] is None else np.asarray(config["weights"], dtype=np.float64),
            tasks={name: np.asarray(deviation) for name, deviation in config["tasks"].items()},
        )


def _curve(scores: Array, target: Array, count: Array) -> tuple[float, Array, Array] | None:
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
    y = logit(_increasing(rate, total)) - float(logit(np.array(base)))
    return (sign, x, y) if len(kept) > 1 else None


def _increasing(rate: Array, count: Array) -> Array:
    """The nearest non-decreasing sequence (pool adjacent violators)."""
    pools: list[list[float]] = []
    for value, n in zip(rate.tolist(), count.tolist()):
        pools.append([value, n, 1.0])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            last, before = pools.pop(), pools.pop()
            n = last[1] + before[1]
            pools.append([(last[0] * last[1] + before[0] * before[1]) / n, n, last[2] + before[2]])
    return np.repeat([pool[0] for pool in pools], [int(pool[2]) for pool in pools])


def _class_means(x: Array, given: Bools, chance: Array, count: Array) -> Array:
    """(k,) mean feature of one class, a few rows' worth drawn to the mean of all."""
    weight = given * (count * chance)[:, None]
    overall = (given * x).sum(0) / np.maximum(given.sum(0), 1)
    return np.asarray(((weight * x).sum(0) + 2.0 * overall) / np.maximum(weight.sum(0) + 2.0, 1.0))


def _covariance(x: Array, given: Bools) -> Array:
    """Of features over the rows where both are known, less their class means; off the diagonal shrunk for few rows."""
    known = np.where(given, x, 0.0)
    count = given.T.astype(np.float64) @ given
    out = known.T @ known / np.maximum(count, 1.0) * count / (count + _SHRINK_ROWS)
    own = (known**2).sum(0) / np.maximum(given.sum(0), 1)
    np.fill_diagonal(out, np.maximum(own, 1e-3))
    values, vectors = np.linalg.eigh(out)  # pairwise estimates need not make a covariance
    return np.asarray(vectors * np.maximum(values, 1e-6) @ vectors.T)


def _by_task(
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
            out[name] = _logistic(x, target[rows], base[rows], np.zeros(k + 1), pull, count[rows])
    return out


def _tuned(x: Array, y: Array, offset: Array, prior: Array, count: Array, group: NDArray[np.int64]) -> Array:
    """Weights with the pull that predicts best out of fold, and Platt's slope on what they say there."""
    _, number = np.unique(group, return_inverse=True)
    fold = np.random.default_rng(0).permutation(int(number.max(initial=0)) + 1)[number] % FOLDS
    best: tuple[float, Array, float] | None = None
    for pull in PULLS:
        each = np.full(len(prior), pull)
        apart = np.zeros(len(y))
        for f in range(FOLDS):
            rows = fold != f
            apart[~rows] = x[~rows] @ _logistic(x[rows], y[rows], offset[rows], prior, each, count[rows])
        loss = float((count * (np.logaddexp(0.0, offset + apart) - y * (offset + apart))).sum())
        if best is None or loss < best[0]:
            best = loss, apart, pull
    assert best is not None
    slope = _logistic(best[1][:, None], y, offset, np.ones(1), np.array([5.0]), count)[0]
    weights = _logistic(x, y, offset, prior, np.full(len(prior), best[2]), count)
    return np.asarray(weights * float(np.clip(slope, 0.0, 1.25)))


def _logistic(x: Array, y: Array, offset: Array, prior: Array, pull: Array, count: Array) -> Array:
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
