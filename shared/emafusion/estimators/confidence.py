"""Calibration of beliefs: from the model's posterior to the confidence that is shown and acted upon.

The belief model of :mod:`emafusion.estimators.beliefs` ranks well, but its assumptions cost calibration. A logistic
regression on its log-odds and on what it may weigh wrongly (the forecast, how many agree, how many ran) repairs it;
one set of slopes for candidates that ran and one for those that did not, with an intercept for each candidate,
shrunk to zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Evidence, Posterior
from emafusion.estimators.shared_difficulty import logit, sigmoid

__all__ = ["ConfidenceCalibration", "calibrated", "own_group"]

Array = NDArray[np.float64]

FEATURES = ("belief", "forecast", "alone_of_several", "log_own_group", "log_ran", "belief_if_first", "all_agree")

EDGE = 0.003
"""Probabilities are read no nearer than this to 0 and 1."""


class ConfidenceCalibration:
    """Logistic recalibration of posteriors.

    Parameters
    ----------
    l2
        Inverse strength of regularisation of the slopes (scikit-learn's ``C``); candidates' intercepts get a tenth.
    """

    def __init__(self, *, l2: float = 1.0) -> None:
        self.l2 = l2

    def start(self, m: int) -> ConfidenceCalibration:
        """The identity, for ``m`` candidates."""
        slopes = np.zeros((2, len(FEATURES)))
        slopes[:, 0] = 1.0
        self.slopes_, self.intercepts_ = slopes, np.zeros((2, m))
        return self

    @staticmethod
    def features(p: Array, forecast: Array, own: NDArray[Any], ran_count: NDArray[Any]) -> Array:
        """Stack the features on a last axis; arguments broadcast against each other.

        Parameters
        ----------
        p, forecast
            Posterior and prior probability of a good answer.
        own
            Members of the answer's group, itself included; 0 for a candidate that has not run.
        ran_count
            Candidates that have run.
        """
        belief = logit(p, EDGE)
        shape = np.broadcast_shapes(belief.shape, forecast.shape, own.shape, ran_count.shape)
        several = ran_count > 1
        columns = (
            belief,
            logit(forecast, EDGE),
            ((own == 1) & several).astype(np.float64),
            np.log(np.maximum(own, 1)),
            np.log(np.maximum(ran_count, 1)),
            belief * (ran_count <= 1),
            ((own == ran_count) & several).astype(np.float64),
        )
        return np.stack([np.broadcast_to(c, shape) for c in columns], axis=-1)

    def fit(
        self,
        features: Array,
        candidate: NDArray[np.int64],
        ran: NDArray[np.bool_],
        scores: Array,
        weights: Array,
        *,
        m: int,
    ) -> ConfidenceCalibration:
        """Fit on rows of features (r, f), candidate (r,), ran (r,), score (r,) in [0, 1] and how much each counts (r,),
        for ``m`` candidates."""
        from sklearn.linear_model import LogisticRegression

        self.start(m)
        for side in (0, 1):
            rows = ran == bool(side)
            y, counts = scores[rows], weights[rows]
            if rows.sum() < 50 or y.min() == y.max():
                continue
            counts = counts / counts.mean()
            onehot = np.zeros((int(rows.sum()), m))
            onehot[np.arange(len(onehot)), candidate[rows]] = 0.3
            design = np.hstack([features[rows], onehot])
            # A fractional score is a success with that weight and a failure with the rest.
            X, t, w = np.vstack([design, design]), np.repeat([1, 0], len(y)), np.concatenate([y, 1 - y])
            w = w * np.concatenate([counts, counts])
            keep = w > 0
            model = LogisticRegression(C=self.l2, max_iter=1000).fit(X[keep], t[keep], sample_weight=w[keep])
            self.slopes_[side] = model.coef_[0][: len(FEATURES)]
            self.intercepts_[side] = model.intercept_[0] + 0.3 * model.coef_[0][len(FEATURES) :]
        return self

    def confidence(
        self, p: Array, forecast: Array, own: NDArray[Any], ran_count: NDArray[Any], *, ran: bool, intercept: Array
    ) -> Array:
        """Calibrated probability of a good answer, for candidates that ran or for ones that did not.

        The arguments are those of :meth:`features`, and ``intercept`` each candidate's row of ``intercepts_``; the
        features are weighed one by one rather than stacked, for this is done in every state of every plan.
        """
        weight, added = self.of_counts(own, ran_count, ran=ran)
        prior = float(self.slopes_[int(ran), 1])
        return sigmoid(logit(p, EDGE) * weight + (prior * logit(forecast, EDGE) + intercept + added))

    def of_counts(self, own: NDArray[Any], ran_count: NDArray[Any], *, ran: bool) -> tuple[Array, Array]:
        """What counts of answers have a part in: the weight of the belief, and what is added to it. Both broadcast."""
        belief, _, alone, grouped, several, first, agreed = self.slopes_[int(ran)].tolist()
        lone = ran_count <= 1
        added = several * np.log(np.maximum(ran_count, 1))
        if ran:
            added = added + grouped * np.log(np.maximum(own, 1))
            added = added + ~lone * (alone * (own == 1) + agreed * (own == ran_count))
        return belief + first * lone, added

    def to_config(self) -> dict[str, Any]:
        return {"l2": self.l2, "slopes": self.slopes_.tolist(), "intercepts": self.intercepts_.tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ConfidenceCalibration:
        self = cls(l2=config["l2"])
        self.slopes_, self.intercepts_ = np.asarray(config["slopes"]), np.asarray(config["intercepts"])
        return self


def own_group(evidence: Evidence, posterior: Posterior) -> NDArray[np.int64]:
    """Members of each answer's group of agreeing answers, itself included; 0 where nothing ran: (n, m)."""
    own = evidence.ran.astype(np.int64)
    if posterior.sizes.shape[1]:
        grouped = posterior.sizes[np.arange(len(own))[:, None], evidence.label]
        own = np.where(evidence.ran & (evidence.label >= 0), grouped, own)
    return own


def calibrated(evidence: Evidence, posterior: Posterior, forecast: Array, calibration: ConfidenceCalibration) -> Array:
    """Calibrated probability of a good answer for every candidate of every query: (n, m)."""
    belief, prior, ran = logit(posterior.p, EDGE), logit(forecast, EDGE), evidence.ran
    count = ran.sum(1, keepdims=True)

    def log_odds(own: NDArray[np.int64], side: int) -> Array:
        weight, added = calibration.of_counts(own, count, ran=bool(side))
        slope, intercept = float(calibration.slopes_[side, 1]), calibration.intercepts_[side]
        return np.asarray(belief * weight + (slope * prior + intercept + added))

    odds = log_odds(count, 0)
    if ran.any():
        odds = np.where(ran, log_odds(own_group(evidence, posterior), 1), odds)
    return sigmoid(odds)
