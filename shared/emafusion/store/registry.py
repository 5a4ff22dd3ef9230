"""Policies: those that wait in the shadow, the one that serves, and those that served before.

At most one is the incumbent; the database itself sees to that with a unique index.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from emafusion.errors import ConfigError
from emafusion.store.tables import table
from emafusion.store.upserts import insert_new

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["add", "artefact", "incumbent", "listed", "promote", "roll_back"]


def add(connection: Connection, id: str, content: bytes | None, note: str, at: datetime) -> None:
    """Add a policy in the shadow; the same one again changes nothing.

    Raises
    ------
    ConfigError
        If another artefact has that id.
    """
    row = {"id": id, "created_at": at, "note": note, "artefact": content, "status": "shadow"}
    insert_new(connection, table("policies"), [row])
    if artefact(connection, id) != content:
        raise ConfigError(f"the store has a policy {id!r} with another artefact already: give the new one its own id")


def listed(connection: Connection) -> list[dict[str, Any]]:
    """All policies without their artefacts, oldest first."""
    from sqlalchemy import select

    rows = table("policies")
    columns = [c for c in rows.columns if c.name != "artefact"]
    return [dict(row) for row in connection.execute(select(*columns).order_by(rows.c.created_at, rows.c.id)).mappings()]


def incumbent(connection: Connection) -> str | None:
    """Id of the policy that serves."""
    from sqlalchemy import select

    rows = table("policies")
    return connection.execute(select(rows.c.id).where(rows.c.status == "incumbent")).scalar()


def artefact(connection: Connection, id: str) -> bytes | None:
    """The bytes of a policy's ``router.json``; None where it has none.

    Raises
    ------
    ConfigError
        If there is no such policy.
    """
    from sqlalchemy import select

    rows = table("policies")
    found = connection.execute(select(rows.c.artefact).where(rows.c.id == id)).first()
    if found is None:
        raise _unknown(id)
    return None if found[0] is None else bytes(found[0])


def promote(connection: Connection, id: str, estimate: Mapping[str, Any] | None) -> None:
    """Let a policy serve; the incumbent retires.

    Raises
    ------
    ConfigError
        If there is no such policy.
    """
    known = _locked(connection)
    if id not in known:
        raise _unknown(id)
    if estimate is not None:
        _change(connection, id, estimate=dict(estimate))
    if known[id]["status"] != "incumbent":
        terms = [row["promotion"] for row in known.values() if row["promotion"] is not None]
        _succeed(connection, known, id, promotion=max(terms, default=0) + 1)


def roll_back(connection: Connection) -> str:
    """Let the policy serve that served before the incumbent was promoted; returns its id. Twice goes back by two.

    Raises
    ------
    ConfigError
        If none served before.
    """
    known = _locked(connection)
    now = next((row["promotion"] for row in known.values() if row["status"] == "incumbent"), None)
    if now is None:
        raise ConfigError("there is no policy to roll back from: none has been promoted")
    before = [row for row in known.values() if row["promotion"] is not None and row["promotion"] < now]
    if not before:
        raise ConfigError("there is no policy to roll back to: none served before the incumbent")
    last = max(before, key=lambda row: int(row["promotion"]))
    _succeed(connection, known, last["id"])
    return str(last["id"])


def _locked(connection: Connection) -> dict[str, dict[str, Any]]:
    """All policies by id, locked, so that of two promotions at once the second sees what the first did."""
    from sqlalchemy import select

    rows = table("policies")
    chosen = select(rows.c.id, rows.c.status, rows.c.promotion).order_by(rows.c.id).with_for_update()
    return {row["id"]: dict(row) for row in connection.execute(chosen).mappings()}


def _succeed(connection: Connection, known: Mapping[str, Mapping[str, Any]], id: str, **values: Any) -> None:
    for old, row in known.items():
        if row["status"] == "incumbent":
            _change(connection, old, status="retired")
    _change(connection, id, status="incumbent", **values)


def _change(connection: Connection, id: str, **values: Any) -> None:
    from sqlalchemy import update

    rows = table("policies")
    connection.execute(update(rows).where(rows.c.id == id).values(**values))


def _unknown(id: str) -> ConfigError:
    return ConfigError(f"the store has no policy {id!r}: add it first, or look at Store.policies()")
