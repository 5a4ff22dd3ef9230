"""Version 9: whom the policy in shadow would have asked first, of decisions that are kept without their words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Add the column."""
    from sqlalchemy import JSON, Column

    from emafusion.store.migrations.columns import add_columns

    add_columns(connection, "decisions", Column("shadows", JSON(none_as_null=True)))
