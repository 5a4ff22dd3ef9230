"""Version 7: which decisions were made to place a new candidate, and not for a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Add the column."""
    from sqlalchemy import Boolean, Column

    from emafusion.store.migrations.columns import add_columns

    add_columns(connection, "decisions", Column("anchor", Boolean))
