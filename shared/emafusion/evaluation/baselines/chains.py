"""Fixed cascades: up to three candidates in turn, an answer kept when its score reaches the stage's threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emafusion.evaluation.baselines.fold import Part
from emafusion.evaluation.points import Array, Points

__all__ = ["Chain", "limits", "run_chains"]


@dataclass(frozen=True)
class Chain:
    """Candidates in the order in which they are asked, and the threshold of each but the last."""

    candidates: tuple[int, ...]
    thresholds: tuple[float, ...] = ()


def limits(scores: Array, count: int) -> Array:
    """(count,) thresholds at quantiles of a score, from always (-inf) to never (inf) keeping the answer."""
    inner = np.quantile(scores, np.linspace(0.0, 1.0, count)[1:-1])
    return np.array([-np.inf, *inner.tolist(), np.inf])


def run_chains(test: Part, chains: Sequence[Chain], scores: Array, quality: Array) -> Points:
    """What each chain does with the test part.

    Parameters
    ----------
    scores : (n, m)
        Of the candidates' answers.
    quality : (m,)
        Mean on the training part: where a query has none of a chain's candidates, the best of those that it has
        answers. A chain passes over a candidate that a query lacks.
    """
    runs = [_run(test, chain, scores, quality) for chain in chains]
    score, cost, answered, calls = (np.stack(x) for x in zip(*runs))
    return Points(score, cost, answered.astype(np.int64), None, calls)


def _run(test: Part, chain: Chain, scores: Array, quality: Array) -> tuple[Array, Array, Array, Array]:
    rows = np.arange(len(test))
    answered, cost, calls = np.full(len(test), -1), np.zeros(len(test)), np.zeros(len(test))
    going = np.ones(len(test), dtype=bool)
    for candidate, threshold in zip(chain.candidates, (*chain.thresholds, -np.inf)):
        here = going & test.available[:, candidate]
        answered[here] = candidate
        cost[here] += test.cost[here, candidate]
        calls[here] += 1.0
        going &= ~(here & (scores[:, candidate] >= threshold))
    missed = answered < 0
    spare = np.where(test.available, quality, -np.inf).argmax(1)
    answered[missed] = spare[missed]
    cost[missed] = test.cost[rows, spare][missed]
    calls[missed] = 1.0
    return test.score[rows, answered], cost, answered, calls
