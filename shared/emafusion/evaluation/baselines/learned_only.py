"""Learned only: EMAFusion's forecast, and one call."""

from __future__ import annotations

from emafusion.evaluation.baselines.fold import Fold, direct
from emafusion.evaluation.points import Points

__all__ = ["learned_only"]


def learned_only(fold: Fold) -> Points:
    """Direct routing on the learned forecast: no second call, no judge, no evidence from answers."""
    recording = fold.test.recording
    return direct(fold.test, fold.values, recording.p, recording.expected_cost)
