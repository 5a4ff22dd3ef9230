"""Version 1: decisions, attempts, verdicts, and one score a decision. Frozen, as every version that was released."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection) -> None:
    """Make the tables."""
    from sqlalchemy import JSON, Boolean, Column, DateTime, Float, ForeignKey, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    Table(
        "decisions",
        metadata,
        Column("id", String(64), primary_key=True),
        Column("created_at", DateTime, nullable=False, index=True),  # UTC
        Column("text", Text),  # null where texts are not kept
        Column("text_hash", String(64), nullable=False),
        Column("tools", JSON(none_as_null=True)),
        Column("schema", JSON(none_as_null=True)),
        Column("prompt_tokens", Integer, nullable=False),
        Column("session", String(128), index=True),
        Column("answered_by", String(256), nullable=False),
        Column("confidence", Float, nullable=False),
        Column("cost_usd", Float, nullable=False),
        Column("draft_cost_usd", Float, nullable=False),
        Column("judge_cost_usd", Float, nullable=False),
        Column("reference", String(256), nullable=False),
        Column("saved_usd", Float, nullable=False),
        Column("objective", JSON, nullable=False),
        Column("category", String(256), nullable=False),
        Column("labels", JSON, nullable=False),
        Column("familiarity", Float, nullable=False),
        Column("forecast", JSON, nullable=False),
        Column("reason", Text, nullable=False),
        Column("abstained", Boolean, nullable=False),
        Column("sticky", Boolean, nullable=False),
        Column("warnings", JSON, nullable=False),
    )
    Table(
        "attempts",
        metadata,
        Column("decision_id", String(64), ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("candidate", String(256), nullable=False, index=True),
        Column("response", Text),  # null where texts are not kept, and where the candidate failed
        Column("response_hash", String(64)),
        Column("tool_calls", JSON(none_as_null=True)),
        Column("answer", Text),
        Column("finish_reason", String(64)),
        Column("input_tokens", Integer),
        Column("output_tokens", Integer),
        Column("cached_input_tokens", Integer),
        Column("tokens_estimated", Boolean),
        Column("cost_usd", Float, nullable=False),
        Column("latency_s", Float),
        Column("confidence", Float),
        Column("cluster", Integer),
        Column("error", Text),
    )
    Table(
        "verdicts",
        metadata,
        Column("decision_id", String(64), ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("judge", String(256), nullable=False),
        Column("candidate", String(256), nullable=False),
        Column("score", Float),  # null: the judge abstained
        Column("reason", Text),
        Column("cost_usd", Float, nullable=False),
        Column("latency_s", Float),
    )
    Table(  # without a foreign key: feedback may be written before its decision is, by another process
        "feedback",
        metadata,
        Column("decision_id", String(64), primary_key=True),
        Column("score", Float, nullable=False),
        Column("given_at", DateTime, nullable=False),  # UTC
    )
    metadata.create_all(connection)
