"""What it teaches that one answer was preferred to another, or that a user acted as if an answer were bad."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from emafusion.learning.online.evidence import log_odds, probability
from emafusion.learning.online.hints import Hint

__all__ = ["Signal", "preference", "signalled"]

Signal: TypeAlias = Literal["rephrased", "retried", "schema_failure"]

GOOD_BEATS_BAD = 0.88
"""Probability that a good answer is preferred to a bad one: two logits of Bradley-Terry strength. A judgement."""

SHOWN: dict[Signal, tuple[float, float]] = {
    "rephrased": (0.35, 0.12),
    "retried": (0.30, 0.06),
    "schema_failure": (0.50, 0.02),
}
"""How often a signal follows a bad answer, and a good one. Judgements: weak where people may have other reasons."""


def preference(preferred: float, other: float, key: str, *, certainty: float = GOOD_BEATS_BAD) -> tuple[Hint, Hint]:
    """A preference between two answers to one query, as a hint on each.

    Bradley and Terry (1952) with strengths that depend on the query, as Prompt-to-Leaderboard has them (Frick et al.
    2025, arXiv 2502.14855), here in the forecasts: an answer is good or bad, good beats bad with probability
    ``certainty``, and two alike are a toss-up. What the preference makes of either forecast, by how much it could have
    moved it, is additive like any other evidence.

    Parameters
    ----------
    preferred, other
        Forecasts of the candidates, before any online correction.
    certainty
        In (0.5, 1).
    """
    p, q = preferred, other
    won, _ = _read(p, q, certainty)
    _, lost = _read(q, p, certainty)
    return Hint(key, won, _told(p, q, certainty)), Hint(key, lost, _told(q, p, certainty))


def _wins(q: float, certainty: float) -> tuple[float, float]:
    """Probability that an answer wins, if it is good and if it is bad, against one that is good with ``q``."""
    return 0.5 * q + certainty * (1.0 - q), (1.0 - certainty) * q + 0.5 * (1.0 - q)


def _read(p: float, q: float, certainty: float) -> tuple[float, float]:
    """Probability that the answer is good once it has won, and once it has lost."""
    good, bad = _wins(q, certainty)
    won = p * good / (p * good + (1.0 - p) * bad)
    lost = p * (1.0 - good) / (p * (1.0 - good) + (1.0 - p) * (1.0 - bad))
    return won, lost


def _told(p: float, q: float, certainty: float) -> float:
    (won, lost), (good, bad) = _read(p, q, certainty), _wins(q, certainty)
    return (won - lost) * (good - bad)


def signalled(forecast: float, key: str, signal: Signal, *, present: bool = True) -> Hint:
    """A user's or a program's reaction to an answer, as a hint on it.

    Tell the absence of a signal as well, where it could have been seen: to hear of complaints alone would make every
    candidate look bad.

    Parameters
    ----------
    forecast
        Of the answer's quality, before any online correction.
    """
    if_bad, if_good = SHOWN[signal]
    prior = log_odds(forecast)
    # How much the signal can tell: by how much what it leads to differs between a good and a bad answer.
    with_it, without = (
        probability(prior + float(np.log(a / b))) for a, b in ((if_good, if_bad), (1 - if_good, 1 - if_bad))
    )
    return Hint(key, with_it if present else without, (without - with_it) * (if_bad - if_good))
