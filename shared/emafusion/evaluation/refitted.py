"""The policy with one thing changed, and everything that follows from it fitted anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from emafusion.estimators.belief_model import BeliefModel
from emafusion.evaluation.baselines.fold import Part
from emafusion.evaluation.points import Array, Points
from emafusion.learning.calibrating import ROUNDS, calibrate
from emafusion.learning.fitting import fit_beliefs, with_evidence
from emafusion.learning.simulation import Recording, simulate
from emafusion.policies.planning import DEPTH

__all__ = ["refitted"]


def refitted(
    train: Part,
    test: Part,
    values: Array,
    *,
    seed: int = 0,
    belief: Callable[[BeliefModel], BeliefModel] = lambda model: model,
    recording: Callable[[Recording], Recording] = lambda recording: recording,
    rounds: int = ROUNDS,
    depth: int = DEPTH,
) -> Points:
    """Fit beliefs on ``train``, and play the policy on ``test`` at each value (k,) of a good answer.

    Parameters
    ----------
    belief, recording
        Change the belief model before it is calibrated, and what the policy meets in the log.
    rounds
        Of calibration on states that the policy visits.
    depth
        Calls that are looked ahead.
    """
    model = belief(fit_beliefs(train.recording, train.table, train.answers, seed=seed))
    met = [recording(with_evidence(part.recording, model, part.answers)) for part in (train, test)]
    model = calibrate(met[0], model, seed=seed, rounds=rounds, depth=depth)
    served = replace(met[1], asked=test.available)
    return Points.of([simulate(served, model, float(value), depth=depth) for value in values])
