"""What an answer gives away about itself: findings of rules, its length, its form, as a log-likelihood ratio.

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
FEATURES = (*RULES, "no_answer", "recovered", "longer", "shorter")
MOST = 3.0
"""Bound on the evidence of a length: no answer is condemned for being long."""


class AnswerEvidence:
    """Log-likelihood ratio right : wrong of what one answer shows by itself."""

    def start(self, m: int) -> AnswerEvidence:
        """Shipped weights for ``m`` candidates: rules count, lengths do not."""
        self.weights_ = np.array([_PRIOR.get(name, 0.0) for name in FEATURES])
        self.typical_ = np.zeros(len(FEATURES))
        self.spread_ = np.full(m, 0.6)
        return self

    @staticmethod
    def rule_features(findings: frozenset[str], kind: str, wellformed: bool) -> Array:
        """The part that only the answer decides, (len(RULES) + 2,)."""
        out = [float(name in findings) for name in RULES]
        return np.array([*out, float(kind == "none"), float(not wellformed and kind != "none")])

    def features(self, rules: Array, tokens: Array, expected: Array, candidate: NDArray[np.int64]) -> Array:
        """Design of shape (r, f) from rule features (r, len(RULES) + 2) and lengths in tokens, (r,) each.

        A length counts relative to what was expected of that candidate, in units of its usual spread.
        """
        z = (np.log1p(tokens) - np.log1p(expected)) / self.spread_[candidate]
        z = np.where(np.isfinite(z), np.clip(z, -4.0, 4.0), 0.0)
        return np.column_stack([rules, np.maximum(z, 0), np.maximum(-z, 0)])

    def llr(self, features: Array) -> Array:
        """(r,) log-likelihood ratios."""
        rules = len(RULES) + 2
        by_rule = (features[:, :rules] - self.typical_[:rules]) @ self.weights_[:rules]
        by_length = (features[:, rules:] - self.typical_[rules:]) @ self.weights_[rules:]
        return np.asarray(by_rule + np.clip(by_length, -MOST, MOST))

    def fit(
        self,
        rules: Array,
        tokens: Array,
        expected: Array,
        candidate: NDArray[np.int64],
        forecast: Array,
        scores: Array,
        m: int,
    ) -> AnswerEvidence:
        """Fit on answers (r,): their rule features, tokens, expected tokens, candidate, forecast and score."""
        from sklearn.linear_model import LogisticRegression

        self.start(m)
        residual = np.log1p(tokens) - np.log1p(expected)
        for j in range(m):
            mine = residual[(candidate == j) & np.isfinite(residual)]
            if len(mine) >= 20:
                self.spread_[j] = max(0.1, float(mine.std()))
        if len(scores) < 100 or scores.min() == scores.max():
            return self
        design = self.features(rules, tokens, expected, candidate)
        varies = design.std(0) > 0
        # A rule that the log never saw keeps its shipped weight; one that it saw is estimated around it.
        offset = design @ np.where(varies, 0.0, self.weights_)
        X = np.column_stack([design[:, varies], logit(forecast), offset])
        X, t = np.vstack([X, X]), np.repeat([1, 0], len(scores))
        w = np.concatenate([scores, 1 - scores])
        keep = w > 0
        model = LogisticRegression(C=1.0, max_iter=1000).fit(X[keep], t[keep], sample_weight=w[keep])
        self.weights_[varies] = model.coef_[0][: int(varies.sum())]
        self.typical_ = np.where(varies, design.mean(0), 0.0)
        return self

    def to_config(self) -> dict[str, Any]:
        return {
            "weights": self.weights_.tolist(),
            "typical": self.typical_.tolist(),
            "spread": self.spread_.tolist(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AnswerEvidence:
        self = cls()
        self.weights_ = np.asarray(config["weights"])
        self.typical_ = np.asarray(config["typical"])
        self.spread_ = np.asarray(config["spread"])
        return self
