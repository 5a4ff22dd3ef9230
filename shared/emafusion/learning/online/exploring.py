"""Which candidate to ask first: the policy's choice, or now and then another, to learn about it.

Chance picks in two ways, both with probabilities that are known exactly, so that what was served can be evaluated
off-policy: a small share of requests goes to others than the policy's choice, and candidates of which little is known
are asked as often as they are likely to be the best (Thompson 1933), ever less often the more is known of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emafusion.estimators.scales import normal_cdf
from emafusion.learning.online.settings import Learning

__all__ = ["ENOUGH", "Chosen", "Standing", "best_probabilities", "choose", "propensities"]

Array = NDArray[np.float64]

LEAST_ENOUGH, ENOUGH = 5.0, 30.0
"""Answers, each counted by how much it told, after which a candidate is known well enough: as many as its forecast
counts for, within these bounds, and the most for one that joined a pool that was being served."""
WELCOME = 0.5
"""Share of the requests that a newcomer gets first, shrinking as it becomes known: it need not look promising."""
EVEN = 0.2
"""Part of the exploring that treats all alike, so that no propensity is next to nothing."""
_GRID = np.linspace(-3.5, 3.5, 25)
_MASS = np.exp(-0.5 * _GRID**2) / np.exp(-0.5 * _GRID**2).sum()


@dataclass(frozen=True, slots=True)
class Standing:
    """How much is known of each of m candidates, (m,) each.

    Attributes
    ----------
    sd
        Standard deviation of its probability of a good answer, as far as candidates' errors are not shared.
    presumed
        Answers that its forecast counts for.
    heard
        Answers that evidence was heard on, each counted by how much it told.
    newcomer : bool
        Whether it joined a pool that was being served.
    """

    sd: Array
    presumed: Array
    heard: Array
    newcomer: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Whom to ask first, and with what probability each candidate was to be that one; they sum to 1."""

    candidate: str
    propensities: Mapping[str, float]
    explored: bool


def best_probabilities(mean: Array, sd: Array) -> Array:
    """Probability that each of m independent normal variables is the largest, (m,); by quadrature, summing to 1."""
    sd = np.maximum(sd, 1e-9)
    points = mean[:, None] + sd[:, None] * _GRID  # (m, g)
    z = (points[:, :, None] - mean) / sd  # (m, g, m): against each other one
    below = normal_cdf(z)
    below[np.arange(len(mean)), :, np.arange(len(mean))] = 1.0
    found = (below.prod(axis=2) * _MASS).sum(axis=1)
    return np.asarray(found / found.sum())


def propensities(
    first: int,
    p: ArrayLike,
    cost: ArrayLike,
    value: float,
    standing: Standing,
    settings: Learning,
    allowed: ArrayLike | None = None,
) -> Array:
    """Probability with which each of m candidates is to be asked first, (m,).

    Parameters
    ----------
    first
        Place of the policy's choice.
    p, cost : (m,)
        Corrected forecast: probability of a good answer, USD of a call.
    value
        USD that a good answer is worth.
    standing
        :meth:`~emafusion.learning.online.learner.OnlineLearner.standing`.
    allowed : bool (m,)
        Which may be asked; by default all.
    """
    p, cost = np.asarray(p, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    out = np.zeros(len(p))
    cap = value if settings.exploring_usd is None else settings.exploring_usd
    others = np.ones(len(p), dtype=bool) if allowed is None else np.array(allowed, dtype=bool)
    others &= cost <= cap
    others[first] = False
    if settings.explores and others.any():
        places = np.append(np.flatnonzero(others), first)
        best = np.zeros(len(p))
        best[places] = best_probabilities(value * p[places] - cost[places], value * standing.sd[places])
        best[first] = 0.0
        even = others / others.sum()
        aimed = best / best.sum() if best.sum() > 1e-9 else even
        enough = np.where(standing.newcomer, ENOUGH, np.clip(standing.presumed, LEAST_ENOUGH, ENOUGH))
        unknown = np.maximum(1.0 - standing.heard / enough, 0.0)
        out = settings.exploration * (EVEN * even + (1.0 - EVEN) * aimed)
        likely = best * unknown
        welcome = WELCOME * unknown * (others & standing.newcomer)
        welcome /= max(float(welcome.sum()) / WELCOME, 1.0)
        out = out + (1.0 - settings.exploration) * (welcome + (1.0 - welcome.sum()) * likely)
    out[first] = max(1.0 - out.sum(), 0.0)
    return out


def choose(rng: np.random.Generator, names: tuple[str, ...], chances: Array, first: int) -> Chosen:
    """Draw one of ``names`` by its chance; ``first`` is the policy's own choice."""
    drawn = int(np.searchsorted(np.cumsum(chances), rng.random(), side="right"))
    drawn = min(drawn, int(np.flatnonzero(chances)[-1]))
    return Chosen(names[drawn], dict(zip(names, chances.tolist())), drawn != first)
