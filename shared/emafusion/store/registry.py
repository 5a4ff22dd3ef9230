"""Policies in the database: reading and changing them over a connection; :class:`Store` has them as methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emafusion.errors import ConfigError
from emafusion.store.database import now
from emafusion.store.tables import table
from emafusion.store.upserts import insert_new

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

__all__ = ["add", "artefact", "incumbent", "listed", "promote", "roll_back"]


def add(connection: Connection, id: str, content: bytes | None, note: str) -> None:
    """Add a policy in the shadow."""
    row = {"id": id, "created_at": now(), "note": note, "artefact": content, "status": "shadow"}
    insert_new(connection, table("policies"), [row])
    if artefact(connection, id) != content:
        raise ConfigError(f"the store has a policy {id!r} with another artefact already: give the new one its own id")


def incumbent(connection: Connection) -> str | None:
    """Id of the policy that serves."""
    from sqlalchemy import select

    return connection.execute(select(table("policies").c.id).where(_serves())).scalar()


def artefact(connection: Connection, id: str) -> bytes | None:
    """The bytes of a policy's ``router.json``."""
    from sqlalchemy import select

    rows = table("policies")
    found = connection.execute(select(rows.c.artefact).where(rows.c.id == id)).first()
    if found is None:
        raise _unknown(id)
    return None if found[0] is None else bytes(found[0])


def listed(connection: Connection) -> list[dict[str, Any]]:
    """All policies without their artefacts, oldest first."""
    from sqlalchemy import select

    rows = table("policies")
    columns = [c for c in rows.columns if c.name != "artefact"]
    return [dict(row) for row in connection.execute(select(*columns).order_by(rows.c.created_at, rows.c.id)).mappings()]


def _serves() -> ColumnElement[bool]:
    return table("policies").c.status == "incumbent"


def promote(connection: Connection, id: str, estimate: Mapping[str, Any] | None) -> None:
    """Let a policy serve."""
    known = _locked(connection)
    if id not in known:
        raise _unknown(id)
    if estimate is not None:
        _change(connection, id, estimate=dict(estimate))
    if known[id]["status"] != "incumbent":
        promotions = [row["promotion"] for row in known.values() if row["promotion"] is not None]
        _succeed(connection, id, promotion=max(promotions, default=0) + 1)


def roll_back(connection: Connection) -> str:
    """Let the policy serve that served before."""
    known = _locked(connection)
    serving = [id for id, row in known.items() if row["status"] == "incumbent"]
    if not serving:
        raise ConfigError("there is no policy to roll back from: none has been promoted")
    before = [row for id, row in known.items() if row["promotion"] is not None and id not in serving]
    if not before:
        raise ConfigError("there is no policy to roll back to: none served before the incumbent")
    last = str(max(before, key=lambda row: int(row["promotion"]))["id"])
    _change(connection, serving[0], promotion=None)  # so that no later roll-back returns to it
    _succeed(connection, last)
    return last


def _locked(connection: Connection) -> dict[str, dict[str, Any]]:
    """All policies by id, locked, so that of two promotions at once the second sees what the first did."""
    from sqlalchemy import select

    rows = table("policies")
    chosen = select(rows.c.id, rows.c.status, rows.c.promotion).order_by(rows.c.id).with_for_update()
    return {row["id"]: dict(row) for row in connection.execute(chosen).mappings()}


def _succeed(connection: Connection, id: str, **values: Any) -> None:
    from sqlalchemy import update

    connection.execute(update(table("policies")).where(_serves()).values(status="retired"))
    _change(connection, id, status="incumbent", **values)


def _change(connection: Connection, id: str, **values: Any) -> None:
    from sqlalchemy import update

    rows = table("policies")
    connection.execute(update(rows).where(rows.c.id == id).values(**values))


def _unknown(id: str) -> ConfigError:
    return ConfigError(f"the store has no policy {id!r}: add it first, or look at Store.policies()")
