"""Cascade only: EMAFusion's lookahead and evidence from answers, blind to the query.

Every candidate is expected to do as well, to cost and to agree as much as it did on average over the training part;
evidence and calibration are fitted anew under these expectations, so that it is as good a cascade as it can be.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emafusion.evaluation.baselines.fold import Fold, Part
from emafusion.evaluation.points import Array, Points
from emafusion.evaluation.refitted import refitted

__all__ = ["cascade_only"]


def cascade_only(fold: Fold) -> Points:
    """The lookahead policy with the candidates' means in place of a forecast that reads the query."""
    quality, cost = fold.train.means()
    cost = np.where(np.isfinite(cost), cost, cost[np.isfinite(cost)].max())
    train, test = (_blind(part, fold.train, quality, cost) for part in (fold.train, fold.test))
    return refitted(train, test, fold.values, seed=fold.seed)


def _blind(part: Part, train: Part, quality: Array, cost: Array) -> Part:
    """A part whose forecasts are the training part's means."""
    n = len(part)
    tokens = np.nan_to_num(np.nanmean(np.where(train.table.asked, train.table.out_tok, np.nan), axis=0), nan=250.0)
    recording = replace(
        part.recording,
        p=np.tile(np.clip(quality, 0.005, 0.995), (n, 1)),
        expected_cost=np.tile(cost, (n, 1)),
        rho=np.full(n, train.recording.rho.mean()),
        eps=np.full(n, train.recording.eps.mean()),
    )
    return replace(part, recording=recording, forecasts=replace(part.forecasts, out_tok=np.tile(tokens, (n, 1))))
