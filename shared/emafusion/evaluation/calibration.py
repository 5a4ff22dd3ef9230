"""How far the confidence can be believed: overall, and candidate by candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from emafusion.evaluation.metrics import brier_score, expected_calibration_error, reliability
from emafusion.evaluation.points import Array, Points

__all__ = ["Believed", "Calibration", "calibration"]


class Believed(NamedTuple):
    """How a probability fared over some answers: how many, calibration error, Brier score."""

    answers: int
    ece: float
    brier: float

    @classmethod
    def of(cls, confidence: Array, score: Array) -> Believed:
        return cls(len(score), expected_calibration_error(confidence, score), brier_score(confidence, score))


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
        By candidate: the confidence in the answers that were accepted from it.
    forecast
        By candidate: the forecast before any answer, over all queries with a score of it.
    bins, forecast_bins
        Reliability of the accepted answers, and of the forecasts of all candidates together.
    """

    ece: float
    brier: float
    worst_point: float
    accepted: dict[str, Believed]
    forecast: dict[str, Believed]
    bins: list[dict[str, float]]
    forecast_bins: list[dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        return {
            "ece": self.ece,
            "brier": self.brier,
            "worst_point_ece": self.worst_point,
            "accepted": {name: believed._asdict() for name, believed in self.accepted.items()},
            "forecast": {name: believed._asdict() for name, believed in self.forecast.items()},
            "bins": self.bins,
            "forecast_bins": self.forecast_bins,
        }


def calibration(mine: Points, forecast: Array, score: Array, candidates: Sequence[str]) -> Calibration:
    """Calibration of a method's confidence over its points, and of the forecast (n, m) against the scores (n, m)."""
    assert mine.confidence is not None
    confidence, outcome, answered = mine.confidence.ravel(), mine.score.ravel(), mine.answered.ravel()
    accepted = {}
    for j, name in enumerate(candidates):
        own = answered == j
        if own.any():
            accepted[name] = Believed.of(confidence[own], outcome[own])
    known = score == score
    return Calibration(
        ece=expected_calibration_error(confidence, outcome),
        brier=brier_score(confidence, outcome),
        worst_point=max(expected_calibration_error(c, s) for c, s in zip(mine.confidence, mine.score)),
        accepted=accepted,
        forecast={
            name: Believed.of(forecast[known[:, j], j], score[known[:, j], j])
            for j, name in enumerate(candidates)
            if known[:, j].any()
        },
        bins=reliability(confidence, outcome),
        forecast_bins=reliability(forecast[known], score[known]),
    )
