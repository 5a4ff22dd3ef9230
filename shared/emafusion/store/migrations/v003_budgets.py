"""Version 3: windows of shared budgets, and what processes have leased of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Make the tables."""
    from sqlalchemy import BigInteger, Boolean, Column, Float, MetaData, String, Table

    metadata = MetaData()
    Table(
        "budget_windows",
        metadata,
        Column("budget", String(128), primary_key=True),
        Column("key", String(128), primary_key=True),
        Column("start", BigInteger, primary_key=True, autoincrement=False),
        Column("spent", BigInteger, nullable=False),
        Column("reserved", BigInteger, nullable=False),
    )
    Table(
        "budget_leases",
        metadata,
        Column("id", String(64), primary_key=True),
        Column("budget", String(128), nullable=False),
        Column("key", String(128), nullable=False),
        Column("start", BigInteger, nullable=False),
        Column("amount", BigInteger, nullable=False),
        Column("reported", BigInteger, nullable=False),
        Column("expires_at", Float, nullable=False, index=True),
        Column("charged", Boolean, nullable=False),
    )
    metadata.create_all(connection)
