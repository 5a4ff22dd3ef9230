"""Version 4: every hint on an answer under its key, so that one that is told twice counts once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Add the column. What was told before stays part of the judge's word, as version 3 kept it."""
    from sqlalchemy import JSON, Column

    from emafusion.store.migrations.columns import add_columns

    add_columns(connection, "credits", Column("hints", JSON(none_as_null=True)))
