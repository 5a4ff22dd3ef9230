"""The tables, and the numbered versions of their schema.

A version is a function that brings the tables of the version before it up to its own; a database remembers which it
has had. To change the schema: change the tables, append a version, never edit one that was released.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING

from emafusion.errors import ConfigError
from emafusion.store import budget_tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData, Table

__all__ = ["VERSION", "migrate", "table"]


@cache
def _metadata() -> MetaData:
    from sqlalchemy import JSON, Boolean, Column, DateTime, Float, ForeignKey, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    Table(
        "schema_version",
        metadata,
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("applied_at", DateTime, nullable=False),
    )
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
    return metadata


def table(name: str) -> Table:
    """The table of that name."""
    return _metadata().tables[name]


def _first(connection: Connection) -> None:
    _metadata().create_all(connection, checkfirst=True)


_VERSIONS: tuple[Callable[[Connection], None], ...] = (_first, budget_tables.create)
VERSION = len(_VERSIONS)


def migrate(connection: Connection) -> None:
    """Bring the database to the newest version.

    Raises
    ------
    ConfigError
        If it was written by a newer version of the package.
    """
    from sqlalchemy import func, insert, select

    versions = table("schema_version")
    versions.create(connection, checkfirst=True)
    now = connection.execute(select(func.max(versions.c.version))).scalar() or 0
    if now > VERSION:
        raise ConfigError(
            f"the store has schema version {now}, but this version of emafusion only knows {VERSION}: "
            "install the newer emafusion that wrote it, or name another store"
        )
    for number in range(now + 1, VERSION + 1):
        _VERSIONS[number - 1](connection)
        applied = datetime.now(timezone.utc).replace(tzinfo=None)
        connection.execute(insert(versions).values(version=number, applied_at=applied))
