"""Adding columns to a table that has rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection

__all__ = ["add_columns"]


def add_columns(connection: Connection, table: str, *columns: Column[Any]) -> None:
    """Add columns, which must be nullable or have a server's default, for the rows that are there already."""
    from sqlalchemy import MetaData, Table
    from sqlalchemy.schema import CreateColumn

    holder = Table(table, MetaData(), *columns)
    quoted = connection.dialect.identifier_preparer.format_table(holder)
    for column in holder.columns:
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {quoted} ADD COLUMN {definition}")
