"""What a conversation's next turn tells of the answer before it: a question that is asked again was not answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emafusion.learning.online.preferences import Signal
from emafusion.types import Query

__all__ = ["Turn", "reaction"]

SAME_QUESTION = 0.8
"""Least cosine of two turns that ask the same. A judgement."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn that was answered."""

    decision_id: str
    answered_by: str
    session: str | None
    text: str
    embedding: Any = None


def reaction(before: Turn, query: Query, embedding: Any) -> tuple[Signal, bool] | None:
    """The signal that could be seen in this turn, and whether it was; None where the turn tells nothing.

    Both turns must be of one user's conversation: see ``Query.thread_named``.

    A turn that only goes on from the one before ("and for Paris?") borrows its words, and is no rephrasing of it.
    """
    if query.session == before.session:
        return "retried", True
    if before.embedding is None or embedding is None:
        return None
    if query.text.startswith(before.text):
        return "rephrased", False
    a, b = (np.asarray(v, dtype=np.float64) for v in (before.embedding, embedding))
    cosine = float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
    return "rephrased", cosine >= SAME_QUESTION
