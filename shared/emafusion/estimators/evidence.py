"""What an answer gives away about itself: findings of rules and its form, as a log-likelihood ratio.

Prior weights are judgements; fitted ones come from a logistic regression of the score on these features with the
forecast's log-odds beside them, so they count only what the forecast did not know.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.shared_difficulty import logit

__all__ = ["RULES", "AnswerEvidence"]

Array = NDArray[np.float64]

RULES = (
    "empty",
    "refusal",
    "truncated",
    "language_mismatch",
    "broken_code_block",
    "broken_json",
    "schema_violation",
    "tool_call_violation",
    "repetition",
    "schema_valid",
    "tool_call_valid",
)
_PRIOR = {
    "empty": -8.0,
    "refusal": -3.0,
    "truncated": -2.0,
    "language_mismatch": -1.5,
    "broken_code_block": -1.5,
    "broken_json": -2.5,
    "schema_violation": -4.0,
    "tool_call_violation": -4.0,
    "repetition": -2.5,
    "schema_valid": 0.7,
    "tool_call_valid": 0.7,
    "no_answer": -1.0,
    "recovered": -0.5,
}
FEATURES = (*RULES, "no_answer", "recovered")


class AnswerEvidence:
    """Log-likelihood ratio right : wrong of what one answer shows by itself.

    Lengths take no part. They do tell right answers from wrong ones a little, but no plan foresees them: on the
    benchmark log they set off calls that did not pay.
    """

    def start(self) -> AnswerEvidence:
        """Shipped weights."""
        self.weights_ = np.array([_PRIOR.get(name, 0.0) for name in FEATURES])
        self.typical_ = np.zeros(len(FEATURES))
        return self

    @staticmethod
    def features(findings: frozenset[str], kind: str, wellformed: bool) -> Array:
        """What the rules found, as an array (len(FEATURES),)."""
        out = [float(name in findings) for name in RULES]
        return np.array([*out, float(kind == "none"), float(not wellformed and kind != "none")])

    def llr(self, features: Array) -> Array:
        """(r,) log-likelihood ratios of features (r, f)."""
        return np.asarray((features - self.typical_) @ self.weights_)

    def fit(self, features: Array, forecast: Array, scores: Array) -> AnswerEvidence:
        """Fit on answers (r,): their features (r, f), forecast and score."""
        from sklearn.linear_model import LogisticRegression

        self.start()
        if len(scores) < 100 or scores.min() == scores.max():
            return self
        varies = features.std(0) > 0
        # A rule that the log never saw keeps its shipped weight; one that it saw is estimated around it.
        offset = features @ np.where(varies, 0.0, self.weights_)
        X = np.column_stack([features[:, varies], logit(forecast), offset])
        X, t = np.vstack([X, X]), np.repeat([1, 0], len(scores))
        w = np.concatenate([scores, 1 - scores])
        keep = w > 0
        model = LogisticRegression(C=1.0, max_iter=1000).fit(X[keep], t[keep], sample_weight=w[keep])
        self.weights_[varies] = model.coef_[0][: int(varies.sum())]
        self.typical_ = np.where(varies, features.mean(0), 0.0)
        return self

    def to_config(self) -> dict[str, Any]:
        return {"weights": self.weights_.tolist(), "typical": self.typical_.tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AnswerEvidence:
        self = cls()
        self.weights_, self.typical_ = np.asarray(config["weights"]), np.asarray(config["typical"])
        return self
