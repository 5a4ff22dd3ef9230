"""Version 8: sums of how much candidates write, and what length was expected of each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Add the column and make the table."""
    from sqlalchemy import Column, Float, Integer, MetaData, String, Table

    from emafusion.store.migrations.columns import add_columns

    add_columns(connection, "attempts", Column("expected_tokens", Float))
    metadata = MetaData()
    Table(
        "lengths",
        metadata,
        Column("candidate", String(256), primary_key=True),
        Column("epoch", Integer, primary_key=True, autoincrement=False),
        Column("answers", Float, nullable=False),
        Column("expected", Float, nullable=False),
        Column("written", Float, nullable=False),
    )
    metadata.create_all(connection)
