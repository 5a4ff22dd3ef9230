"""The belief model of a pool: difficulty, calibration and the weight of evidence, fitted or as shipped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from emafusion.estimators.confidence import ConfidenceCalibration
from emafusion.estimators.evidence import AnswerEvidence
from emafusion.estimators.judge_stack import JudgeStack
from emafusion.estimators.shared_difficulty import SharedDifficulty

__all__ = ["BeliefModel"]


@dataclass(frozen=True)
class BeliefModel:
    """What the panel needs to turn answers into confidence, for ``candidates`` in this order.

    Attributes
    ----------
    fitted
        Whether outcomes shaped it; if not, rates of agreement are taken by kind of answer.
    judges
        How verdicts weigh; by their shipped weights unless the log had verdicts.
    """

    candidates: tuple[str, ...]
    difficulty: SharedDifficulty
    calibration: ConfidenceCalibration
    evidence: AnswerEvidence
    fitted: bool = False
    judges: JudgeStack = field(default_factory=JudgeStack)

    @classmethod
    def prior(cls, candidates: tuple[str, ...]) -> BeliefModel:
        """The shipped model, before any outcome."""
        m = len(candidates)
        return cls(
            candidates, SharedDifficulty().start(m), ConfidenceCalibration().start(m), AnswerEvidence().start(), False
        )

    def to_config(self) -> dict[str, Any]:
        return {
            "candidates": list(self.candidates),
            "difficulty": self.difficulty.to_config(),
            "calibration": self.calibration.to_config(),
            "evidence": self.evidence.to_config(),
            "fitted": self.fitted,
            "judges": self.judges.to_config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BeliefModel:
        return cls(
            tuple(config["candidates"]),
            SharedDifficulty.from_config(config["difficulty"]),
            ConfidenceCalibration.from_config(config["calibration"]),
            AnswerEvidence.from_config(config["evidence"]),
            bool(config["fitted"]),
            JudgeStack.from_config(config["judges"]) if config.get("judges") else JudgeStack(),
        )
