"""Version 5: until when a budget's window is needed, so that those that are over can be forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Add the column."""
    from sqlalchemy import Column, Float

    from emafusion.store.migrations.columns import add_columns

    add_columns(connection, "budget_windows", Column("needed_until", Float))
