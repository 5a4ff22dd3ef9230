"""The versions in their order, and how a database gets from one to the next.

A database remembers which versions it has had. All that are missing are applied in one transaction, one process at a
time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from emafusion.errors import ConfigError
from emafusion.store.migrations import (
    v001_decisions,
    v002_learning,
    v003_budgets,
    v004_hints,
    v005_ended_windows,
    v006_alarms,
    v007_anchors,
    v008_lengths,
    v009_shadows,
)
from emafusion.store.tables import table

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["VERSION", "VERSIONS", "migrate"]

VERSIONS: tuple[Callable[[Connection], None], ...] = (
    v001_decisions.upgrade,
    v002_learning.upgrade,
    v003_budgets.upgrade,
    v004_hints.upgrade,
    v005_ended_windows.upgrade,
    v006_alarms.upgrade,
    v007_anchors.upgrade,
    v008_lengths.upgrade,
    v009_shadows.upgrade,
)
VERSION = len(VERSIONS)

ADVISORY_LOCK = 0x656D6166757365  # "emafuse": what PostgreSQL's migrating processes wait for


def migrate(connection: Connection) -> None:
    """Bring the database to the newest version, inside the connection's transaction, which must be a writer's.

    Raises
    ------
    ConfigError
        If it was written by a newer version of the package.
    """
    from sqlalchemy import func, insert, select

    if _version(connection) == VERSION:
        return
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(select(func.pg_advisory_xact_lock(ADVISORY_LOCK)))
    now = _version(connection)  # again: another process may have migrated meanwhile
    if now > VERSION:
        raise ConfigError(
            f"the store has schema version {now}, but this version of emafusion only knows {VERSION}: "
            "install the newer emafusion that wrote it, or name another store"
        )
    versions = table("schema_version")
    versions.create(connection, checkfirst=True)
    for number in range(now + 1, VERSION + 1):
        VERSIONS[number - 1](connection)
        applied = datetime.now(timezone.utc).replace(tzinfo=None)
        connection.execute(insert(versions).values(version=number, applied_at=applied))


def _version(connection: Connection) -> int:
    from sqlalchemy import func, inspect, select

    versions = table("schema_version")
    if not inspect(connection).has_table(versions.name):
        return 0
    return connection.execute(select(func.max(versions.c.version))).scalar() or 0
