"""Reading decisions back, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emafusion.store.feedback import score_that_counts
from emafusion.store.tables import table
from emafusion.store.vectors import half_from_bytes

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["decisions", "is_known"]


def decisions(
    connection: Connection, limit: int | None, *, newest_first: bool, id: str | None = None
) -> list[dict[str, Any]]:
    """Decisions, or the one of that ``id``, with their ``attempts``, ``verdicts``, ``feedbacks`` and ``feedback``
    (the score that counts)."""
    from sqlalchemy import select

    rows = table("decisions")
    order = rows.c.created_at.desc() if newest_first else rows.c.created_at
    chosen = select(rows).order_by(order, rows.c.id).limit(limit)
    if id is not None:
        chosen = chosen.where(rows.c.id == id)
    ids = chosen.with_only_columns(rows.c.id).subquery()
    found = {row["id"]: dict(row) for row in connection.execute(chosen).mappings()}
    for row in found.values():
        row |= {"embedding": half_from_bytes(row["embedding"]), "attempts": [], "verdicts": [], "feedbacks": []}
    for name, order_by in (("attempts", "position"), ("verdicts", "position"), ("feedback", "given_at")):
        part = table(name)
        matching = select(part).where(part.c.decision_id.in_(select(ids.c.id)))
        for line in connection.execute(matching.order_by(part.c.decision_id, part.c[order_by])).mappings():
            into = "feedbacks" if name == "feedback" else name
            found[line["decision_id"]][into].append(dict(line))
    for row in found.values():
        row["feedback"] = score_that_counts(row["feedbacks"], row["answered_by"])
    return list(found.values())


def is_known(connection: Connection, decision_id: str) -> bool:
    """Whether a decision is in the database."""
    from sqlalchemy import select

    rows = table("decisions")
    return connection.execute(select(rows.c.id).where(rows.c.id == decision_id)).first() is not None
