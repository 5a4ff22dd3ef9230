"""Policies: those that wait in the shadow, the one that serves, and those that served before.

At most one is the incumbent; the database itself sees to that with a unique index.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from emafusion.errors import ConfigError
from emafusion.store.database import Database, now
from emafusion.store.tables import table
from emafusion.store.upserts import insert_new

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

__all__ = ["Policies"]


class Policies(Database):
    """The store's policies."""

    def add_policy(self, id: str, artefact: bytes | None, note: str = "") -> None:
        """Add a policy, the bytes of its ``router.json``, in the shadow; the same one again changes nothing.

        Raises
        ------
        ConfigError
            If the id is taken by another artefact.
        """
        if not 0 < len(id) <= 128:
            raise ConfigError(f"a policy's id must have 1 to 128 characters, got {id!r}")
        row = {"id": id, "created_at": now(), "note": note, "artefact": artefact, "status": "shadow"}
        self._change(lambda connection: insert_new(connection, table("policies"), [row]))
        if self.artefact(id) != artefact:
            raise ConfigError(
                f"the store has a policy {id!r} with another artefact already: give the new one its own id"
            )

    def policies(self) -> list[dict[str, Any]]:
        """All policies, oldest first, without their artefacts.

        Each has ``id``, ``created_at``, ``note``, ``status`` ("shadow", "incumbent" or "retired"), ``promotion`` (a
        number that grows with each; None: never promoted, or rolled back) and ``estimate``.
        """
        return self._look(_listed)

    def incumbent(self) -> str | None:
        """Id of the policy that serves; None: none was promoted. Cheap: one small query."""
        from sqlalchemy import select

        rows = table("policies")
        return self._look(lambda connection: connection.execute(select(rows.c.id).where(_serves())).scalar())

    def artefact(self, id: str) -> bytes | None:
        """The bytes of a policy's ``router.json``; None where it was added without.

        Raises
        ------
        ConfigError
            If there is no such policy.
        """
        from sqlalchemy import select

        rows = table("policies")
        found = self._look(
            lambda connection: connection.execute(select(rows.c.artefact).where(rows.c.id == id)).first()
        )
        if found is None:
            raise _unknown(id)
        return None if found[0] is None else bytes(found[0])

    def promote(self, id: str, estimate: Mapping[str, Any] | None = None) -> None:
        """Let a policy serve, on the strength of an estimate; the incumbent retires in the same transaction.

        Raises
        ------
        ConfigError
            If there is no such policy.
        """
        self._change(partial(_promote, id=id, estimate=estimate))

    def roll_back(self) -> str:
        """Retire the incumbent and let the policy serve that served before it; returns its id. Twice goes back by two.

        Raises
        ------
        ConfigError
            If none served before.
        """
        return self._change(_roll_back)


def _listed(connection: Connection) -> list[dict[str, Any]]:
    from sqlalchemy import select

    rows = table("policies")
    columns = [c for c in rows.columns if c.name != "artefact"]
    return [dict(row) for row in connection.execute(select(*columns).order_by(rows.c.created_at, rows.c.id)).mappings()]


def _serves() -> ColumnElement[bool]:
    return table("policies").c.status == "incumbent"


def _promote(connection: Connection, id: str, estimate: Mapping[str, Any] | None) -> None:
    known = _locked(connection)
    if id not in known:
        raise _unknown(id)
    if estimate is not None:
        _change(connection, id, estimate=dict(estimate))
    if known[id]["status"] != "incumbent":
        promotions = [row["promotion"] for row in known.values() if row["promotion"] is not None]
        _succeed(connection, id, promotion=max(promotions, default=0) + 1)


def _roll_back(connection: Connection) -> str:
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
