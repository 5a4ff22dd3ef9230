"""Retention and redaction: deleting old decisions, and taking the words out of those that stay."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from emafusion.store import budget_tables
from emafusion.store.opening import transact
from emafusion.store.tables import table
from emafusion.store.texts import first_part

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine

__all__ = ["prune", "redact"]

AT_ONCE = 500
"""Decisions in one transaction: whoever else writes waits no longer than for these."""


def prune(engine: Engine, before: datetime) -> int:
    """Delete decisions made before then, with their attempts, verdicts, feedback and credits; returns their number.

    Learned sums stay, but what an old answer contributed can no longer be corrected. With them go alarms, windows of
    budgets that ended before then, and those of conversations that nobody has drawn on since.
    """
    decisions = table("decisions")
    deleted = 0
    while True:
        count = transact(engine, partial(_delete_some, chosen=decisions.c.created_at < before))
        deleted += count
        if count < AT_ONCE:
            break
    transact(engine, partial(_delete_orphans, before=before))
    _forget_windows(engine, before.replace(tzinfo=timezone.utc).timestamp())
    if deleted:
        _checkpoint(engine)
    return deleted


def _forget_windows(engine: Engine, before: float) -> None:
    transact(engine, partial(budget_tables.prune, before=before - budget_tables.KEPT))
    while transact(engine, partial(budget_tables.prune_windows, before=before, most=AT_ONCE)) == AT_ONCE:
        pass


def _delete_some(connection: Connection, chosen: ColumnElement[bool]) -> int:
    from sqlalchemy import delete, select

    decisions = table("decisions")
    ids = list(
        connection.execute(select(decisions.c.id).where(chosen).order_by(decisions.c.id).limit(AT_ONCE)).scalars()
    )
    for name in ("feedback", "credits"):
        rows = table(name)
        connection.execute(delete(rows).where(rows.c.decision_id.in_(ids)))
    connection.execute(delete(decisions).where(decisions.c.id.in_(ids)))  # attempts and verdicts go with them
    return len(ids)


def _delete_orphans(connection: Connection, before: datetime) -> None:
    """What is old and belongs to a decision that never came, or to none."""
    from sqlalchemy import delete, select

    alarms = table("alarms")
    connection.execute(delete(alarms).where(alarms.c.raised_at < before))

    decisions = table("decisions")
    for name, made in (("feedback", "given_at"), ("credits", "created_at")):
        rows = table(name)
        absent = ~select(decisions.c.id).where(decisions.c.id == rows.c.decision_id).exists()
        connection.execute(delete(rows).where(rows.c[made] < before, absent))


def redact(engine: Engine, before: datetime | None, session: str | None) -> int:
    """Take the words out of decisions; returns how many were looked at. Hashes, embeddings and numbers stay."""
    decisions = table("decisions")
    chosen: list[ColumnElement[bool]] = []
    if before is not None:
        chosen.append(decisions.c.created_at < before)
    if session is not None:
        chosen.append(decisions.c.session == session)
    redacted, rest = 0, chosen
    while True:
        ids = transact(engine, partial(_redact_some, chosen=rest))
        redacted += len(ids)
        if len(ids) < AT_ONCE:
            break
        rest = [*chosen, decisions.c.id > ids[-1]]
    if redacted:
        _checkpoint(engine)
    return redacted


def _redact_some(connection: Connection, chosen: list[ColumnElement[bool]]) -> list[str]:
    from sqlalchemy import bindparam, null, select, update

    decisions, attempts = table("decisions"), table("attempts")
    some = select(decisions.c.id, decisions.c.warnings).where(*chosen).order_by(decisions.c.id).limit(AT_ONCE)
    found = connection.execute(some).all()
    ids = [row.id for row in found]
    wordless: dict[str, dict[str, Any]] = {
        "attempts": {"response": None, "tool_calls": null(), "answer": None},
        "verdicts": {"reason": None},
        "feedback": {"text": None},
    }
    for name, values in wordless.items():
        rows = table(name)
        connection.execute(update(rows).where(rows.c.decision_id.in_(ids)).values(values))
    nothing = {"text": None, "tools": null(), "schema": null()}
    connection.execute(update(decisions).where(decisions.c.id.in_(ids)).values(nothing))
    quoting = [{"of": row.id, "kinds": [first_part(w) for w in row.warnings]} for row in found if row.warnings]
    if quoting:
        connection.execute(
            update(decisions).where(decisions.c.id == bindparam("of")).values(warnings=bindparam("kinds")), quoting
        )
    failed = select(attempts.c.decision_id, attempts.c.position, attempts.c.error)
    failures = connection.execute(failed.where(attempts.c.decision_id.in_(ids), attempts.c.error.is_not(None))).all()
    if failures:
        connection.execute(
            update(attempts)
            .where(attempts.c.decision_id == bindparam("of"), attempts.c.position == bindparam("at"))
            .values(error=bindparam("kind")),
            [{"of": row.decision_id, "at": row.position, "kind": first_part(row.error)} for row in failures],
        )
    return ids


def _checkpoint(engine: Engine) -> None:
    """Empty SQLite's write-ahead log, which still has what the file no longer has."""
    if engine.dialect.name == "sqlite":
        with closing(engine.raw_connection()) as connection:  # outside any transaction
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
