"""Cascade only: EMAFusion's lookahead and evidence from answers, blind to the query.

Every candidate is expected to do as well, to cost and to agree as much as it did on average over the training part;
evidence and calibration are fitted anew under these expectations, so that it is as good a cascade as it can be.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emafusion.evaluation.baselines.fold import Fold, Part
from emafusion.evaluation.points import Array, Points
from emafusion.learning.calibrating import calibrate
from emafusion.learning.fitting import fit_beliefs, with_evidence
from emafusion.learning.simulation import simulate

__all__ = ["cascade_only"]


def cascade_only(fold: Fold) -> Points:
    """The lookahead policy with the candidates' means in place of a forecast that reads the query."""
    quality, cost = fold.train.means()
    cost = np.where(np.isfinite(cost), cost, cost[np.isfinite(cost)].max())
    train, test = (_blind(part, fold.train, quality, cost) for part in (fold.train, fold.test))
    belief = fit_beliefs(train.recording, train.table, train.answers, train.forecasts, seed=fold.seed)
    recorded = [
        with_evidence(part.recording, belief, part.table, part.answers, part.forecasts) for part in (train, test)
    ]
    belief = calibrate(recorded[0], belief, seed=fold.seed)
    recording = replace(recorded[1], asked=fold.test.available)
    runs = [simulate(recording, belief, float(value)) for value in fold.values]
    return Points(
        score=np.stack([run.score for run in runs]),
        cost=np.stack([run.cost for run in runs]),
        answered=np.stack([run.answered for run in runs]),
        confidence=np.stack([run.confidence for run in runs]),
        calls=np.stack([run.ran.sum(1).astype(np.float64) for run in runs]),
    )


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
