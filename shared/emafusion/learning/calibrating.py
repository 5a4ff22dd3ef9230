"""Calibrating the confidence on what the policy acts upon.

A policy that picks the best-looking of many beliefs is too sure of it, so the confidence of answers is calibrated on
just those: the best answer at hand in each state that the policy itself visits, over the whole range of objectives. A
query whose path is long is a hard one; each path counts once, or hard queries would set the scale for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.beliefs import Array, IntArray, infer
from emafusion.estimators.confidence import ConfidenceCalibration, calibrated, own_group
from emafusion.learning.simulation import Recording, simulate
from emafusion.policies.planning import DEPTH

__all__ = ["ROUNDS", "calibrate", "value_range"]

RANDOM_STATES = 3
"""Random states of each query that start the calibration."""
MOST_RAN = 4
ROUNDS = 2
ROUND_ROWS = 700


class _States:
    """States met, as rows for calibration."""

    def __init__(self, recording: Recording, belief: BeliefModel) -> None:
        self.recording = recording
        self.right = belief.difficulty.right(recording.p)
        self.rows: list[tuple[Array, IntArray, NDArray[np.bool_], Array, Array]] = []

    def add(self, rows: IntArray, ran: NDArray[np.bool_], weight: Array, belief: BeliefModel) -> None:
        """Add the state of each of ``rows`` in which ``ran`` have answered: candidates that have not, and the best
        answer of those that have."""
        recording = self.recording
        evidence = recording.evidence(belief, self.right, rows, ran)
        posterior = infer(evidence)
        q = calibrated(evidence, posterior, recording.p[rows], belief.calibration)
        usable = ran & recording.usable[rows]
        best = np.zeros_like(ran)
        best[np.arange(len(rows)), np.where(usable, q, -1.0).argmax(1)] = usable.any(1)
        counted = ~np.isnan(recording.score[rows]) & (best | ~ran)
        seen = evidence.ran
        features = ConfidenceCalibration.features(
            posterior.p, recording.p[rows], own_group(evidence, posterior), seen.sum(1, keepdims=True)
        )
        row, candidate = np.nonzero(counted)
        self.rows.append((features[counted], candidate, seen[counted], recording.score[rows][counted], weight[row]))

    def fit(self) -> ConfidenceCalibration:
        features, candidate, ran, score, weight = (np.concatenate(x) for x in zip(*self.rows))
        m = self.recording.p.shape[1]
        return ConfidenceCalibration().fit(features, candidate, ran, score, weight, m=m)


def calibrate(
    recording: Recording,
    belief: BeliefModel,
    *,
    seed: int = 0,
    rounds: int = ROUNDS,
    depth: int = DEPTH,
    progress: Callable[[float], None] = lambda done: None,
) -> BeliefModel:
    """The belief model with a confidence that was calibrated on random states, then on those that the policy visits.

    Parameters
    ----------
    recording
        With evidence of single answers, and scores where they are known.
    rounds
        Of simulating the policy, each with the calibration of the one before; 0 stays with random states.
    depth
        Of the policy's lookahead.
    progress
        Called with the share done.
    """
    rng = np.random.default_rng(seed)
    states = _States(recording, belief)
    everyone = np.arange(len(recording))
    for _ in range(RANDOM_STATES):
        order = np.where(recording.asked, rng.random(recording.p.shape), 2.0).argsort(1).argsort(1)
        ran = (order < rng.integers(0, MOST_RAN + 1, len(everyone))[:, None]) & recording.asked
        states.add(everyone, ran, np.ones(len(everyone)), belief)
    belief = replace(belief, calibration=states.fit())
    low, high = value_range(recording)
    for round_ in range(rounds):
        progress(round_ / rounds)
        rows = rng.permutation(len(recording))[:ROUND_ROWS]
        values = np.exp(rng.uniform(np.log(low), np.log(high), len(rows)))
        visits: list[tuple[IntArray, NDArray[np.bool_]]] = []
        simulate(recording.take(rows), belief, values, depth=depth, visit=lambda at, ran: visits.append((at, ran)))  # noqa: B023
        length = np.bincount(np.concatenate([at for at, _ in visits]), minlength=len(rows))
        for at, ran in visits:
            states.add(rows[at], ran, 1.0 / length[at], belief)
        belief = replace(belief, calibration=states.fit())
    return belief


def value_range(recording: Recording) -> tuple[float, float]:
    """Values of a good answer from "only the cheapest pays" to "money is no object"."""
    mean = np.array([c[a].mean() if a.any() else np.nan for c, a in zip(recording.cost.T, recording.asked.T)])
    positive = mean[np.isfinite(mean) & (mean > 0)]
    low, high = (positive.min(), positive.max()) if len(positive) else (1e-6, 1e-3)
    return float(2.0 * low), float(200.0 * high)
