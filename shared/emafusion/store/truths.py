"""The score that counts, of each decision's answer, in SQL: as :func:`emafusion.store.feedback.score_that_counts`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emafusion.store.feedback import WEIGHTIEST_FIRST
from emafusion.store.tables import table

if TYPE_CHECKING:
    from sqlalchemy import Subquery

__all__ = ["truths"]


def truths() -> Subquery:
    """Rows of ``decision_id`` and ``truth``: at most one a decision, none where nobody gave a score."""
    from sqlalchemy import case, func, or_, select

    said, decisions = table("feedback"), table("decisions")
    weight = case({kind: i for i, kind in enumerate(WEIGHTIEST_FIRST)}, value=said.c.kind)
    place = func.row_number().over(partition_by=said.c.decision_id, order_by=(weight, said.c.given_at.desc()))
    ranked = (
        select(said.c.decision_id, said.c.score.label("truth"), place.label("place"))
        .join(decisions, decisions.c.id == said.c.decision_id)
        .where(
            said.c.score.is_not(None),
            said.c.kind.in_(WEIGHTIEST_FIRST),
            or_(said.c.candidate.is_(None), said.c.candidate == decisions.c.answered_by),
        )
        .subquery()
    )
    return select(ranked.c.decision_id, ranked.c.truth).where(ranked.c.place == 1).subquery("truths")
