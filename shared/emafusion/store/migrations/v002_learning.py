"""Version 2: how a decision was drawn, every piece of feedback, learned sums, policies, and what each writer wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Add columns to the decisions, make the new tables, and carry the scores over."""
    from sqlalchemy import (
        JSON,
        BigInteger,
        Boolean,
        Column,
        DateTime,
        Float,
        Index,
        Integer,
        LargeBinary,
        MetaData,
        String,
        Table,
        Text,
        text,
    )

    from emafusion.store.migrations.columns import add_columns

    add_columns(
        connection,
        "decisions",
        Column("first", JSON(none_as_null=True)),
        Column("propensities", JSON(none_as_null=True)),
        Column("explored", Boolean),
        Column("audited", String(256)),
        Column("policy", String(128)),
        Column("tick", Float),
        Column("embedding", LargeBinary),
    )
    connection.exec_driver_sql("ALTER TABLE feedback RENAME TO feedback_of_version_1")
    metadata = MetaData()
    Table(
        "feedback",
        metadata,
        Column("key", String(512), primary_key=True),
        Column("decision_id", String(64), nullable=False, index=True),
        Column("kind", String(16), nullable=False),
        Column("candidate", String(256)),
        Column("against", String(256)),
        Column("score", Float),
        Column("text", Text),
        Column("given_at", DateTime, nullable=False),
    )
    Table(
        "credits",
        metadata,
        Column("decision_id", String(64), primary_key=True),
        Column("candidate", String(256), primary_key=True),
        Column("tick", Float, nullable=False),
        Column("features", LargeBinary, nullable=False),
        Column("forecast", Float, nullable=False),
        Column("judge", Float),
        Column("weight", Float, nullable=False),
        Column("judged_at", DateTime),
        Column("truth", Float),
        Column("propensity", Float, nullable=False),
        Column("told_at", DateTime),
        Column("created_at", DateTime, nullable=False, index=True),
    )
    Table(
        "statistics",
        metadata,
        Column("candidate", String(256), primary_key=True),
        Column("epoch", Integer, primary_key=True, autoincrement=False),
        Column("values", LargeBinary, nullable=False),
    )
    Table(
        "counters",
        metadata,
        Column("name", String(64), primary_key=True),
        Column("value", BigInteger, nullable=False),
    )
    incumbent = text("status = 'incumbent'")
    Table(
        "policies",
        metadata,
        Column("id", String(128), primary_key=True),
        Column("created_at", DateTime, nullable=False),
        Column("note", Text, nullable=False),
        Column("artefact", LargeBinary),
        Column("status", String(16), nullable=False),
        Column("promotion", Integer),
        Column("estimate", JSON(none_as_null=True)),
        Index("one_incumbent", "status", unique=True, sqlite_where=incumbent, postgresql_where=incumbent),
    )
    Table(
        "writers",
        metadata,
        Column("id", String(64), primary_key=True),
        Column("written", BigInteger, nullable=False),
    )
    metadata.create_all(connection)
    connection.exec_driver_sql(
        "INSERT INTO feedback (key, decision_id, kind, score, given_at) "
        "SELECT decision_id || ':score', decision_id, 'score', score, given_at FROM feedback_of_version_1"
    )
    connection.exec_driver_sql("DROP TABLE feedback_of_version_1")
