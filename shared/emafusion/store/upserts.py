"""Inserting rows that may be there already, as SQLite and PostgreSQL both know it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table
    from sqlalchemy.dialects.postgresql import Insert

__all__ = ["add_up", "insert_new", "insert_or_renew"]


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, in their order, but for those whose primary key is there."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


def insert_or_renew(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], newer: str | None = None
) -> None:
    """Insert rows; one whose primary key is there is overwritten, if its column ``newer`` is not less than there."""
    if not rows:
        return
    statement = _insert(connection, table)
    key = list(table.primary_key.columns)
    renewed = {c.name: statement.excluded[c.name] for c in table.columns if c not in key}
    where = None if newer is None else statement.excluded[newer] >= table.c[newer]
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=renewed, where=where), list(rows))


def add_up(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, in their order; where the primary key is there, the other columns are added to what they hold."""
    if not rows:
        return
    statement = _insert(connection, table)
    key = list(table.primary_key.columns)
    more = {c.name: c + statement.excluded[c.name] for c in table.columns if c not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=more), list(rows))


def _insert(connection: Connection, table: Table) -> Insert:
    from sqlalchemy.dialects import postgresql, sqlite

    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)  # type: ignore[return-value]  # the same clauses under another class
