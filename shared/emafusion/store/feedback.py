"""Feedback: what may be said of a decision's answer, and which of all that was said counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from emafusion.errors import ConfigError
from emafusion.store.records import Rated
from emafusion.store.texts import storable

__all__ = ["Kind", "score_that_counts", "stated"]

Kind: TypeAlias = Literal["score", "thumbs", "truth", "preference", "implicit"]

KEY_LENGTH = 512

WEIGHTIEST_FIRST = ("truth", "score", "thumbs", "implicit")
"""A comparison with the truth over an opinion, an opinion over what behaviour suggests. A preference is no score."""


def stated(
    decision_id: str,
    score: float | None,
    kind: str,
    key: str | None,
    candidate: str | None,
    against: str | None,
    text: str | None,
    at: datetime,
) -> Rated:
    """A piece of feedback that makes sense.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"feedback kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    if score is not None and not 0.0 <= score <= 1.0:
        raise ConfigError(f"feedback score must be a number in [0, 1], got {score!r}")
    if kind == "preference":
        if not candidate or not against or candidate == against:
            raise ConfigError("a preference needs two candidates: candidate=, which was preferred, and against=")
    elif against is not None:
        raise ConfigError(f"against= belongs to feedback of kind 'preference', not {kind!r}")
    elif score is None and not (kind == "truth" and text is not None):
        raise ConfigError(f"feedback of kind {kind!r} needs a score in [0, 1]" + " or a text" * (kind == "truth"))
    if key is None:
        key = ":".join(part for part in (decision_id, kind, candidate, against) if part is not None)
    if not 0 < len(key) <= KEY_LENGTH:
        raise ConfigError(f"a feedback key must have 1 to {KEY_LENGTH} characters, got {len(key)}")
    return Rated(
        key, decision_id, kind, candidate, against, None if score is None else float(score), storable(text), at
    )


def score_that_counts(feedbacks: Iterable[Mapping[str, Any]], candidate: str, *, answered: bool = True) -> float | None:
    """The score of a candidate's answer: the last one of the weightiest kind; None where nobody gave one.

    Parameters
    ----------
    feedbacks
        All that was said of the decision, in the order in which it was.
    candidate
        Whose answer.
    answered
        Whether that answer is the one the user saw, so that feedback naming no candidate is about it.
    """
    about = {candidate, None} if answered else {candidate}
    said = {f["kind"]: f["score"] for f in feedbacks if f["candidate"] in about and f["score"] is not None}
    return next((float(said[kind]) for kind in WEIGHTIEST_FIRST if kind in said), None)
