"""Taxonomy only: EMAFusion's suitability of a candidate for the query's category, and one call."""

from __future__ import annotations

from emafusion.evaluation.baselines.fold import Fold, direct
from emafusion.evaluation.points import Points

__all__ = ["taxonomy_only"]


def taxonomy_only(fold: Fold) -> Points:
    """Direct routing on the suitability Phi that was fitted on the training part.

    Expected costs are EMAFusion's own, so only the knowledge of quality differs.
    """
    quality, _ = fold.model.suitability.predict(fold.test.labels)
    return direct(fold.test, fold.values, quality, fold.test.recording.expected_cost)
