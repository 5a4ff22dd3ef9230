"""The tables as they are now. :mod:`emafusion.store.migrations` brings older databases here."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table

__all__ = ["metadata", "table"]


@cache
def metadata() -> MetaData:
    """All tables."""
    from sqlalchemy import (
        JSON,
        BigInteger,
        Boolean,
        Column,
        DateTime,
        Float,
        ForeignKey,
        Index,
        Integer,
        LargeBinary,
        MetaData,
        String,
        Table,
        Text,
        text,
    )

    tables = MetaData()
    Table(
        "schema_version",
        tables,
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("applied_at", DateTime, nullable=False),
    )
    Table(
        "decisions",
        tables,
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
        # Null in what version 1 wrote.
        Column("first", JSON(none_as_null=True)),
        Column("propensities", JSON(none_as_null=True)),
        Column("explored", Boolean),
        Column("audited", String(256)),
        Column("policy", String(128)),
        Column("tick", Float),
        Column("embedding", LargeBinary),  # float16, little-endian; null where the router made none
        Column("anchor", Boolean),  # asked to place a new candidate; null in what versions up to 6 wrote
        Column("shadows", JSON(none_as_null=True)),  # policy in shadow -> its first; only where no text is
    )
    Table(
        "attempts",
        tables,
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
        Column("expected_tokens", Float),  # by the router itself; null in what versions up to 7 wrote
    )
    Table(
        "verdicts",
        tables,
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
        tables,
        Column("key", String(512), primary_key=True),  # the same key again is the same piece of feedback
        Column("decision_id", String(64), nullable=False, index=True),
        Column("kind", String(16), nullable=False),
        Column("candidate", String(256)),  # null: whichever answered
        Column("against", String(256)),  # what the candidate was preferred to
        Column("score", Float),
        Column("text", Text),  # ground truth; null where texts are not kept
        Column("given_at", DateTime, nullable=False),  # UTC
    )
    Table(  # what each answer added to the sums: enough to take it back
        "credits",
        tables,
        Column("decision_id", String(64), primary_key=True),
        Column("candidate", String(256), primary_key=True),
        Column("tick", Float, nullable=False),
        Column("features", LargeBinary, nullable=False),  # float64, little-endian
        Column("forecast", Float, nullable=False),
        Column("judge", Float),
        Column("weight", Float, nullable=False),
        Column("judged_at", DateTime),
        Column("truth", Float),
        Column("propensity", Float, nullable=False),
        Column("told_at", DateTime),
        Column("created_at", DateTime, nullable=False, index=True),
        Column("hints", JSON(none_as_null=True)),  # key -> [judge, weight, when]; null: none, as until version 3
    )
    Table(
        "statistics",
        tables,
        Column("candidate", String(256), primary_key=True),
        Column("epoch", Integer, primary_key=True, autoincrement=False),
        Column("values", LargeBinary, nullable=False),  # float64, little-endian
    )
    Table(  # how much candidates wrote; only ever added to
        "lengths",
        tables,
        Column("candidate", String(256), primary_key=True),
        Column("epoch", Integer, primary_key=True, autoincrement=False),
        Column("answers", Float, nullable=False),
        Column("expected", Float, nullable=False),  # tokens, as the next
        Column("written", Float, nullable=False),
    )
    Table(
        "counters",
        tables,
        Column("name", String(64), primary_key=True),
        Column("value", BigInteger, nullable=False),
    )
    incumbent = text("status = 'incumbent'")
    Table(
        "policies",
        tables,
        Column("id", String(128), primary_key=True),
        Column("created_at", DateTime, nullable=False),
        Column("note", Text, nullable=False),
        Column("artefact", LargeBinary),
        Column("status", String(16), nullable=False),  # shadow, incumbent or retired
        Column("promotion", Integer),  # how many had been promoted when it was; null: never, or rolled back
        Column("estimate", JSON(none_as_null=True)),
        Index("one_incumbent", "status", unique=True, sqlite_where=incumbent, postgresql_where=incumbent),
    )
    Table(  # how far each process that is at work has come, in the same transaction as what it wrote
        "writers",
        tables,
        Column("id", String(64), primary_key=True),
        Column("written", BigInteger, nullable=False),
    )
    Table(
        "budget_windows",
        tables,
        Column("budget", String(128), primary_key=True),
        Column("key", String(128), primary_key=True),
        Column("start", BigInteger, primary_key=True, autoincrement=False),  # seconds since 1970 UTC; 0: for ever
        Column("spent", BigInteger, nullable=False),
        Column("reserved", BigInteger, nullable=False),
        Column("needed_until", Float),  # seconds since 1970 UTC; null: for ever, and what versions up to 4 wrote
    )
    Table(
        "budget_leases",
        tables,
        Column("id", String(64), primary_key=True),
        Column("budget", String(128), nullable=False),
        Column("key", String(128), nullable=False),
        Column("start", BigInteger, nullable=False),
        Column("amount", BigInteger, nullable=False),  # what is left of it
        Column("reported", BigInteger, nullable=False),  # what was spent under it
        Column("expires_at", Float, nullable=False, index=True),  # seconds since 1970 UTC
        Column("charged", Boolean, nullable=False),
    )
    Table(  # what was noticed to have changed while serving
        "alarms",
        tables,
        Column("id", String(64), primary_key=True),
        Column("raised_at", DateTime, nullable=False, index=True),  # UTC
        Column("kind", String(16), nullable=False),  # quality or traffic
        Column("candidate", String(256), nullable=False),  # empty for the traffic
        Column("before", Float, nullable=False),
        Column("after", Float, nullable=False),
        Column("since", Float, nullable=False),  # in decisions, as the next
        Column("tick", Float, nullable=False),
        Column("answers", Integer, nullable=False),
    )
    return tables


def table(name: str) -> Table:
    """The table of that name."""
    return metadata().tables[name]
