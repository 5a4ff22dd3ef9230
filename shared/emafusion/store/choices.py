"""Stored decisions as off-policy evaluation needs them: without attempts and verdicts, oldest first, in portions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from emafusion.store.tables import table
from emafusion.store.truths import truths

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["choices"]

COLUMNS = (
    "id", "created_at", "text", "tools", "schema", "prompt_tokens", "objective", "category", "forecast", "answered_by",
    "confidence", "cost_usd", "first", "propensities", "explored", "policy", "shadows",
)  # fmt: skip
PORTION = 1000


def choices(
    connection: Connection, *, since: datetime | None = None, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """The newest ``limit`` decisions made since a time (UTC, without time zone), oldest first.

    Each has the columns of the decision and ``feedback``, the score that counts.
    """
    from sqlalchemy import select

    rows, told = table("decisions"), truths()
    chosen = select(rows.c.id, rows.c.created_at).order_by(rows.c.created_at.desc(), rows.c.id.desc()).limit(limit)
    if since is not None:
        chosen = chosen.where(rows.c.created_at >= since)
    newest = chosen.subquery()
    wanted = (
        select(*(rows.c[name] for name in COLUMNS), told.c.truth.label("feedback"))
        .join(newest, newest.c.id == rows.c.id)
        .outerjoin(told, told.c.decision_id == rows.c.id)
        .order_by(rows.c.created_at, rows.c.id)
    )
    for row in connection.execution_options(yield_per=PORTION).execute(wanted).mappings():
        yield dict(row)
