"""What a baseline is given: a training part to learn from, a test part to answer, and the objectives to answer for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.forecasts import Forecasts
from emafusion.evaluation.points import Array, IntArray, Points
from emafusion.learning.simulation import Recording
from emafusion.learning.table import Answers, LogTable
from emafusion.routers.artefact import RoutingModel

__all__ = ["Baseline", "Fold", "Part", "chosen", "direct", "in_order"]


@dataclass(frozen=True)
class Part:
    """The training or the test part of a log.

    Attributes
    ----------
    vectors : (n, d)
        Embeddings of the queries.
    labels : (n, c)
        Probabilities of the taxonomy's categories.
    forecasts : Forecasts
        EMAFusion's own; out of fold on the training part.
    recording : Recording
        The part as a policy meets it.
    verification : (n, m), optional
        Share of recorded verifications that call an answer correct; NaN where there are none.
    verification_cost : (n, m), optional
        USD of verifying the answer; NaN where it was not recorded.
    """

    table: LogTable
    answers: Answers
    vectors: Array
    labels: Array
    forecasts: Forecasts
    recording: Recording
    verification: Array | None = None
    verification_cost: Array | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def score(self) -> Array:
        """(n, m), NaN where unknown."""
        return self.table.score

    @property
    def cost(self) -> Array:
        """(n, m) USD; at its expected cost where a call's was not noted."""
        return self.recording.cost

    @property
    def available(self) -> NDArray[np.bool_]:
        """(n, m) outcomes that exist and have a score: what any method may choose from."""
        return self.table.asked & ~np.isnan(self.table.score)

    def means(self) -> tuple[Array, Array]:
        """(m,) mean score and mean cost of each candidate where it has outcomes; 0 and infinity where it has none."""
        known = self.available
        count = np.maximum(known.sum(0), 1)
        quality = np.where(known, self.score, 0.0).sum(0) / count
        cost = np.where(known, self.cost, 0.0).sum(0) / count
        return np.where(known.any(0), quality, 0.0), np.where(known.any(0), cost, np.inf)

    def take(self, rows: IntArray) -> Part:
        """Some of the queries."""
        return replace(
            self,
            table=self.table.take(rows),
            answers=self.answers.take(rows),
            vectors=self.vectors[rows],
            labels=self.labels[rows],
            forecasts=self.forecasts.take(rows),
            recording=self.recording.take(rows),
            verification=None if self.verification is None else self.verification[rows],
            verification_cost=None if self.verification_cost is None else self.verification_cost[rows],
        )


@dataclass(frozen=True)
class Fold:
    """One split of a log, with the model that was fitted on its training part.

    Attributes
    ----------
    values : (k,)
        USD that a good answer is worth, one an operating point.
    """

    train: Part
    test: Part
    values: Array
    model: RoutingModel
    seed: int

    @cached_property
    def answer_scores(self) -> tuple[Array, Array]:
        """Probability that an answer which has been seen is good: on the training part out of fold, on the test part.

        Kept, for several cascades read it.
        """
        from emafusion.evaluation.baselines.answer_scores import answer_scores

        return answer_scores(self.train, self.test, self.seed)


Baseline: TypeAlias = Callable[[Fold], Points]
"""Learns from ``fold.train`` alone, and answers ``fold.test``."""


def chosen(test: Part, answered: IntArray, confidence: Array | None = None) -> Points:
    """Points of a method that asks one candidate a query: its columns (k, n)."""
    rows = np.arange(len(test))
    score, cost = test.score[rows, answered], test.cost[rows, answered]
    return Points(score, cost, answered, confidence, np.ones(answered.shape))


def direct(test: Part, values: Array, quality: Array, cost: Array) -> Points:
    """Direct routing: for each value of a good answer the candidate of most expected value less expected cost.

    Parameters
    ----------
    quality, cost : (n, m)
        As the method expects them.
    """
    utility = np.where(test.available, values[:, None, None] * quality - cost, -np.inf)
    answered = utility.argmax(2)
    expected = np.take_along_axis(np.broadcast_to(quality, utility.shape), answered[:, :, None], 2)[:, :, 0]
    return chosen(test, answered, expected)


def in_order(test: Part, preference: Array) -> Points:
    """The candidates preferred most among those that a query has: preferences (k, m)."""
    return chosen(test, np.where(test.available, preference[:, None, :], -np.inf).argmax(2))
