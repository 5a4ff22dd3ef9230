"""What would another policy have earned on the decisions that this one took? Doubly robust, with an honest bound.

An action is the candidate asked first; what follows it (a cascade, judges) is as it was logged. The reward is the
answer's quality less the decision's cost, both in good answers: ``quality - cost_usd / value``.

* **Estimate.** Doubly robust (Dudik, Langford and Li, arXiv 1103.4601): what a direct model expects, corrected by
  importance-weighted surprises. The difference of two policies is estimated decision by decision, so decisions on which
  they agree add nothing, not even noise.
* **Unknown qualities.** A decision without known truth is not left out: what the judges' confidence is worth, learned
  from earlier decisions whose truth is known, stands in, and the known ones correct it with the weight of those that
  they stand for (prediction-powered inference, arXiv 2301.09633). Judges that are wrong cost variance, never bias. It
  rests on one assumption: whether a truth becomes known does not depend on it.
* **Lower bound.** A bettor stakes capital on the policy, decision by decision. If it is worth no more than ``m`` the
  capital ever grows 20-fold with probability at most 0.05 (Ville's inequality; Waudby-Smith and others, arXiv
  2210.10768). It holds from the first decision on and may be computed after each, because predictions and stakes know
  only what came before (but for the share of known truths and the greatest cost, which are taken as given).
  :mod:`emafusion.estimators.certificate` bets in the same way on one sample of fixed size.
* **Clipping.** A bet needs a greatest loss, not a greatest gain. So weights stay whole, and the direct model is cut
  where weight times model would exceed what may be lost, which keeps the mean. A first move that the logging policy
  made with probability under ``1 / CLIP`` cannot be weighed: in the bound it counts as worthless for the policy that is
  to be shown better and as perfect for the other, so the bound can only be too low.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from emafusion.evaluation.direct_model import Array, Predictions
from emafusion.evaluation.logged_decisions import CEILING, LoggedDecisions

__all__ = ["CLIP", "DELTA", "Estimate", "difference", "evidence", "value_of"]

DELTA = 0.05
"""Probability that a bound is wrong."""
CLIP = 1000.0
"""Largest importance weight that is believed."""
HORIZONS = tuple(250.0 * 4.0**j for j in range(6))
"""Decisions for which a stake is the best; capital is spread over them, for nobody knows how many it will take."""
RUIN = 0.75
"""Share of the capital that may be lost in one decision."""
NOISE = 0.16
"""Variance of a reward around its expectation, by which stakes are planned: costs power where wrong, not validity."""
TRUST = 500.0
"""Decisions after which the spread that was seen counts as much as the planned one."""
UNSEEN_SPREAD, UNSEEN_DECISIONS = 25.0, 10.0
"""Mean squared weight before any decision was seen, and how many decisions that counts for."""


@dataclass(frozen=True)
class Estimate:
    """A value, or the difference of two, in good answers a decision (0.01: one point).

    Attributes
    ----------
    value, standard_error
        Doubly robust.
    lower, upper
        Each holds with probability 0.95, at any number of decisions.
    self_normalised
        Doubly robust with weights that are divided by their sum; for comparison.
    weighted, direct
        By importance weights alone, and by the direct model alone; for comparison.
    effective_size
        Decisions that the weighted ones are worth (Kish).
    decisions, known
        All, and those whose quality is known.
    supported
        Share of first moves in question that the logging policy might have made.
    """

    value: float
    standard_error: float
    lower: float
    upper: float
    self_normalised: float
    weighted: float
    direct: float
    effective_size: float
    decisions: int
    known: int
    supported: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def value_of(
    logged: LoggedDecisions, policy: Array, *, predictions: Predictions | None = None, delta: float = DELTA
) -> Estimate:
    """What a policy earns a decision.

    Parameters
    ----------
    policy : (n, m)
        Its probability of asking each candidate first.
    predictions
        Those of ``logged``, where they are at hand.
    """
    return _Signed(logged, predictions or logged.predictions(), policy).estimate(delta)


def difference(
    logged: LoggedDecisions,
    policy: Array,
    other: Array,
    *,
    predictions: Predictions | None = None,
    delta: float = DELTA,
) -> Estimate:
    """What ``policy`` earns more than ``other``, paired by decision.

    Examples
    --------
    >>> from emafusion.evaluation.logged_decisions import LoggedDecisions
    >>> n = 4000
    >>> rng = np.random.default_rng(0)
    >>> action = rng.integers(0, 2, n)
    >>> quality = (rng.random(n) < np.array([0.6, 0.8])[action]).astype(float)
    >>> half, unknown = np.full((n, 2), 0.5), np.full((n, 2), np.nan)
    >>> logged = LoggedDecisions(action, half, quality, np.full(n, np.nan), np.zeros(n), unknown, unknown)
    >>> first, second = np.eye(2)[np.zeros(n, int)], np.eye(2)[np.ones(n, int)]
    >>> found = difference(logged, second, first)
    >>> 0.1 < found.lower < 0.2 < found.upper < 0.3
    True
    """
    return _Signed(logged, predictions or logged.predictions(), policy - other).estimate(delta)


def evidence(
    logged: LoggedDecisions,
    policy: Array,
    other: Array,
    *,
    predictions: Predictions | None = None,
    delta: float = DELTA,
) -> Array:
    """(n,) log of the capital, after each decision, of who bets that ``policy`` earns more than ``other``.

    Where it reaches ``log(1 / delta)`` the lower bound of the difference is above zero.
    """
    return _Signed(logged, predictions or logged.predictions(), policy - other).capital(0.0, delta)


class _Signed:
    """Decisions weighed by a target whose parts may be negative: the weights of a policy, or of a difference."""

    def __init__(self, logged: LoggedDecisions, predictions: Predictions, target: Array) -> None:
        n = len(logged)
        self.logged, self.target, self.rows = logged, target, np.arange(n)
        cost = np.minimum(logged.cost, CEILING)
        # Rewards are moved up so that the worst is 0 and the best is `top`.
        self.shift = float(cost.max())
        self.top = 1.0 + self.shift
        self.known = ~np.isnan(logged.quality)
        self.share = float(self.known.mean())
        self.truth = np.where(self.known, logged.quality, 0.0) - cost + self.shift
        self.judged = predictions.judged - cost + self.shift
        self.model = np.clip(predictions.quality - predictions.cost + self.shift, 0.0, self.top)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(target != 0.0, target / logged.propensity, 0.0)
        self.fits = np.abs(weight) <= CLIP
        self.weight = np.where(self.fits, weight, 0.0)

    def estimate(self, delta: float) -> Estimate:
        offset = self.shift * float(self.target.sum(1).mean())
        mine = self.weight[self.rows, self.logged.action]
        surprise = self._told(self.judged) - self.model[self.rows, self.logged.action]
        direct = (self.target * self.model).sum(1)
        each = self._uncut()
        in_question = np.abs(self.target).sum()
        return Estimate(
            value=float(each.mean()) - offset,
            standard_error=float(each.std() / np.sqrt(len(each))),
            lower=self.lower(delta) - offset,
            upper=-_Signed.of(self, -self.target).lower(delta) - offset,
            self_normalised=float(direct.mean()) + self._normalised(mine, surprise) - offset,
            weighted=float((mine * self._told(np.zeros(len(mine)))).mean()) - offset,
            direct=float(direct.mean()) - offset,
            effective_size=float(np.abs(mine).sum() ** 2 / max((mine**2).sum(), 1e-300)),
            decisions=len(each),
            known=int(self.known.sum()),
            supported=float((np.abs(self.target) * self.fits).sum() / in_question) if in_question else 1.0,
        )

    @staticmethod
    def of(other: _Signed, target: Array) -> _Signed:
        """The same decisions with the opposite target."""
        made = object.__new__(_Signed)
        made.__dict__.update(other.__dict__)
        made.target, made.weight = target, -other.weight
        return made

    def _uncut(self) -> Array:
        """(n,) doubly robust value of each decision."""
        at = self.rows, self.logged.action
        return np.asarray(
            (self.target * self.model).sum(1) + self.weight[at] * (self._told(self.judged) - self.model[at])
        )

    def _told(self, judged: Array) -> Array:
        """(n,) reward: as judged, corrected where the truth is known by as much as it stands for."""
        surprise = np.where(self.known, self.truth - judged, 0.0)
        return np.asarray(judged + surprise / max(self.share, 1e-12))

    def _normalised(self, mine: Array, surprise: Array) -> float:
        total = 0.0
        for sign in (1.0, -1.0):
            part = np.maximum(sign * mine, 0.0)
            if part.sum() > 0:
                share = np.maximum(sign * self.target, 0.0).sum(1).mean()
                total += sign * float(share * (part * surprise).sum() / part.sum())
        return total

    # -- the bet -----------------------------------------------------------------------------------------------

    def lower(self, delta: float) -> float:
        """What the mean is certain to reach with probability ``1 - delta``; -``top`` where nothing is certain."""
        if not np.any(self.target):
            return 0.0
        if not self.known.any():
            return -self.top
        bets = self._bets(delta)

        def capital(mean: float) -> float:
            return float(_mixed(np.array([np.log1p(stake * (gain - mean)).sum() for stake, gain in bets])))

        low, high, wanted = -self.top, self.top, -np.log(delta)
        if capital(low) < wanted:
            return low
        while high - low > 1e-5:  # capital falls as the mean rises
            middle = (low + high) / 2.0
            low, high = (middle, high) if capital(middle) >= wanted else (low, middle)
        return low

    def capital(self, mean: float, delta: float) -> Array:
        """(n,) log of the capital of who bets against this mean, after each decision."""
        return _mixed(np.array([np.log1p(stake * (gain - mean)).cumsum() for stake, gain in self._bets(delta)]))

    def _bets(self, delta: float) -> list[tuple[Array, Array]]:
        """Stakes and gains (n,) of every horizon."""
        stakes = [self._stakes(horizon, delta) for horizon in HORIZONS]
        return [(stake, self._gains(np.maximum(RUIN / stake - 2.0 * self.top, 0.0))) for stake in stakes]

    def _stakes(self, horizon: float, delta: float) -> Array:
        """(n,) stake on each decision, planned from the weights before it."""
        count = np.arange(len(self.rows))
        squared = (np.abs(self.target) * np.abs(self.weight)).sum(1)
        planned = (
            NOISE / self.share * (_before(squared) + UNSEEN_SPREAD * UNSEEN_DECISIONS) / (count + UNSEEN_DECISIONS)
        )
        spread = (planned * TRUST + _before(self._uncut() ** 2)) / (count + TRUST)
        return np.asarray(np.minimum(np.sqrt(2.0 * np.log(1.0 / delta) / (horizon * spread)), 0.4 * RUIN / self.top))

    def _gains(self, loss: Array) -> Array:
        """(n,) gains, none below ``-loss - top``: the model is cut where its weight would lose more."""
        size = np.maximum(np.abs(self.weight), 1e-12)
        doubt = (1.0 - self.share) / self.share  # how much more a known truth weighs than what was judged
        part = loss / 2.0 if doubt else loss
        model = self._cut(self.model, part[:, None] / size)
        model = np.where(self.fits, model, np.where(self.target > 0, 0.0, self.top))
        mine = self.weight[self.rows, self.logged.action]
        judged = self.judged
        if doubt:
            limit = part / (np.maximum(np.abs(mine), 1e-12) * doubt)
            judged = np.where(mine >= 0, np.minimum(judged, limit), np.maximum(judged, self.top - limit))
        return np.asarray(
            (self.target * model).sum(1) + mine * (self._told(judged) - model[self.rows, self.logged.action])
        )

    def _cut(self, model: Array, limit: Array) -> Array:
        """The model no higher than the limit where it adds, no lower than that from the top where it subtracts."""
        return np.where(self.weight >= 0, np.minimum(model, limit), np.maximum(model, self.top - limit))


def _mixed(logs: Array) -> Array:
    """Log of the mean capital over horizons (the first axis)."""
    return np.asarray(np.logaddexp.reduce(logs, axis=0) - np.log(len(logs)))


def _before(values: Array) -> Array:
    """The sum of all values before each."""
    return np.concatenate([[0.0], np.cumsum(values)[:-1]])
