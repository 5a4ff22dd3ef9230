"""A candidate drawn at random for every query, in expectation: exact, so no seed is involved."""

from __future__ import annotations

import numpy as np

from emafusion.evaluation.baselines.fold import Fold
from emafusion.evaluation.points import Points

__all__ = ["random_choice"]


def random_choice(fold: Fold) -> Points:
    """Mean score and mean cost over the candidates of each query."""
    test = fold.test
    count = test.available.sum(1)
    score = np.where(test.available, test.score, 0.0).sum(1) / count
    cost = np.where(test.available, test.cost, 0.0).sum(1) / count
    return Points(score[None], cost[None], np.full((1, len(test)), -1), None, np.ones((1, len(test))))
