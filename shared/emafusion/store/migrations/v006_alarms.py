"""Version 6: alarms that a candidate or the traffic has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Make the table."""
    from sqlalchemy import Column, DateTime, Float, Integer, MetaData, String, Table

    metadata = MetaData()
    Table(
        "alarms",
        metadata,
        Column("id", String(64), primary_key=True),
        Column("raised_at", DateTime, nullable=False, index=True),
        Column("kind", String(16), nullable=False),
        Column("candidate", String(256), nullable=False),
        Column("before", Float, nullable=False),
        Column("after", Float, nullable=False),
        Column("since", Float, nullable=False),
        Column("tick", Float, nullable=False),
        Column("answers", Integer, nullable=False),
    )
    metadata.create_all(connection)
