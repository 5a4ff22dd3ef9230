"""How far the confidence can be believed: overall, and candidate by candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emafusion.evaluation.metrics import brier_score, expected_calibration_error, reliability
from emafusion.evaluation.points import Array, Points

__all__ = ["Calibration", "calibration"]


@dataclass(frozen=True)
class Calibration:
    """Confidence against score.

    Attributes
    ----------
    ece, brier
        Over the accepted answers of all operating points together (a query counts once for each point).
    worst_point
        The largest calibration error of any one operating point.
    accepted
        By candidate: (answers accepted from it, calibration error of the confidence in them).
    forecast
        By candidate: calibration error of the forecast before any answer, over all queries.
    bins
        Reliability of the accepted answers.
    """

    ece: float
    brier: float
    worst_point: float
    accepted: dict[str, tuple[int, float]]
    forecast: dict[str, float]
    bins: list[dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "ece": self.ece,
            "brier": self.brier,
            "worst_point_ece": self.worst_point,
            "accepted": {name: {"answers": n, "ece": ece} for name, (n, ece) in self.accepted.items()},
            "forecast_ece": self.forecast,
            "bins": self.bins,
        }


def calibration(mine: Points, forecast: Array, score: Array, candidates: Sequence[str]) -> Calibration:
    """Calibration of a method's confidence over its points, and of the forecast (n, m) against the scores (n, m)."""
    assert mine.confidence is not None
    confidence, outcome, answered = mine.confidence.ravel(), mine.score.ravel(), mine.answered.ravel()
    accepted = {}
    for j, name in enumerate(candidates):
        own = answered == j
        if own.any():
            accepted[name] = int(own.sum()), expected_calibration_error(confidence[own], outcome[own])
    known = score == score
    return Calibration(
        ece=expected_calibration_error(confidence, outcome),
        brier=brier_score(confidence, outcome),
        worst_point=max(expected_calibration_error(c, s) for c, s in zip(mine.confidence, mine.score)),
        accepted=accepted,
        forecast={
            name: expected_calibration_error(forecast[known[:, j], j], score[known[:, j], j])
            for j, name in enumerate(candidates)
            if known[:, j].any()
        },
        bins=reliability(confidence, outcome),
    )
