"""EMAFusion with one part taken out at a time: what is each part worth?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.confidence import ConfidenceCalibration
from emafusion.estimators.ensemble import MEMBERS
from emafusion.estimators.forecaster import Forecaster
from emafusion.estimators.forecasts import Forecasts
from emafusion.estimators.shared_difficulty import SharedDifficulty
from emafusion.evaluation.baselines import Baseline, Fold, Part
from emafusion.evaluation.points import Array, Points
from emafusion.evaluation.refitted import refitted
from emafusion.learning.fitting import expected_cost
from emafusion.learning.simulation import Recording, simulate

__all__ = ["ABLATIONS"]

NEVER_TOGETHER = 1e-3


def one_call_ahead(fold: Fold) -> Points:
    """No chains: the next call alone is foreseen, as in a greedy cascade."""
    return refitted(fold.train, fold.test, fold.values, seed=fold.seed, depth=1)


def no_agreement(fold: Fold) -> Points:
    """Answers are not compared: each is judged by itself."""

    def alone(recording: Recording) -> Recording:
        return replace(
            recording, label=np.full_like(recording.label, -1), rho=np.full_like(recording.rho, NEVER_TOGETHER)
        )

    return refitted(fold.train, fold.test, fold.values, seed=fold.seed, recording=alone)


def no_rules(fold: Fold) -> Points:
    """Rules say nothing; unusable answers are still not accepted."""

    def silent(recording: Recording) -> Recording:
        return replace(recording, llr=np.zeros_like(recording.llr))

    return refitted(fold.train, fold.test, fold.values, seed=fold.seed, recording=silent)


def no_shared_difficulty(fold: Fold) -> Points:
    """Candidates fail independently, given the forecast."""

    def independent(model: BeliefModel) -> BeliefModel:
        return replace(model, difficulty=SharedDifficulty(loading=0.0).start(len(model.candidates)))

    return refitted(fold.train, fold.test, fold.values, seed=fold.seed, belief=independent)


def no_calibration(fold: Fold) -> Points:
    """The posterior is taken at its word."""
    model = fold.model.belief
    raw = replace(model, calibration=ConfidenceCalibration().start(len(model.candidates)))
    return Points.of([simulate(fold.test.recording, raw, float(value)) for value in fold.values])


def calibrated_on_random_states(fold: Fold) -> Points:
    """The confidence is calibrated on states drawn at random, not on those that the policy visits."""
    return refitted(fold.train, fold.test, fold.values, seed=fold.seed, rounds=0)


def no_regional_shrinkage(fold: Fold) -> Points:
    """Forecasts as the stack gives them."""
    forecaster = fold.model.forecaster
    stacked = forecaster.combination_.oof_[0]
    train = _forecast(fold, fold.train, replace(fold.train.forecasts, p=stacked))
    ahead = forecaster.predict(fold.test.table.texts, fold.test.vectors, fold.test.labels, shrunk=False)
    return refitted(train, _forecast(fold, fold.test, ahead), fold.values, seed=fold.seed)


def no_taxonomy(fold: Fold) -> Points:
    """The categories of the taxonomy take no part in the forecast."""
    members = tuple(name for name in MEMBERS if name != "categories")
    table = fold.train.table
    forecaster = Forecaster(members=members, seed=fold.seed).fit(
        table.texts, fold.train.vectors, table.score, table.in_tok, table.out_tok
    )
    ahead = forecaster.predict(fold.test.table.texts, fold.test.vectors)
    parts = (_forecast(fold, fold.train, forecaster.oof_), _forecast(fold, fold.test, ahead))
    return refitted(*parts, fold.values, seed=fold.seed)


def _forecast(fold: Fold, part: Part, forecasts: Forecasts) -> Part:
    """A part that meets other forecasts."""
    cost: Array = expected_cost(fold.model.prices, part.table.candidates, forecasts, part.table)
    recording = replace(part.recording, p=np.clip(forecasts.p, 0.005, 0.995), expected_cost=cost)
    return replace(part, forecasts=forecasts, recording=recording)


ABLATIONS: dict[str, Baseline] = {
    "one call ahead": one_call_ahead,
    "without agreement": no_agreement,
    "without rules": no_rules,
    "without shared difficulty": no_shared_difficulty,
    "without calibration": no_calibration,
    "calibrated on random states": calibrated_on_random_states,
    "without regional shrinkage": no_regional_shrinkage,
    "without the taxonomy": no_taxonomy,
}
"""By name, as :data:`emafusion.evaluation.baselines.BASELINES`."""
