"""Health of a store: what its writers have not written yet, and what was counted as lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emafusion.store.opening import place_of
from emafusion.store.tables import table
from emafusion.store.tally import COUNTS, SUFFIX

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Health", "health_of"]

CLOCKS = frozenset({"ticks"})
"""Counters that say nothing of health."""


@dataclass(frozen=True, slots=True)
class Health:
    """Of one store.

    Attributes
    ----------
    writers
        Processes that have the store open, or ended without closing it.
    waiting
        Records that they have taken and not yet written; of SQLite files, where it can be seen.
    spilled_bytes
        On disk, waiting for the database.
    counters
        Other counts that the database keeps (records dropped or lost).
    schema_version
        Of its tables.
    """

    writers: int
    waiting: int
    spilled_bytes: int
    counters: Mapping[str, int]
    schema_version: int


def health_of(engine: Engine, connection: Connection) -> Health:
    """What can be seen from outside of the processes that write."""
    from sqlalchemy import func, select

    writers, counters, versions = table("writers"), table("counters"), table("schema_version")
    written = {row.id: int(row.written) for row in connection.execute(select(writers))}
    kept = {row.name: int(row.value) for row in connection.execute(select(counters)) if row.name not in CLOCKS}
    version = int(connection.execute(select(func.max(versions.c.version))).scalar() or 0)
    place = place_of(engine.url, None)
    waiting = spilled = 0
    tokens = set(written)
    if place is not None:
        folder, stem = place
        for path in folder.glob(f"{_escaped(stem)}-*{SUFFIX}"):
            token = path.name.removesuffix(SUFFIX).rpartition("-")[2]
            tokens.add(token)
            waiting += _waiting(path, written.get(token, 0))
        for path in folder.glob(f"{_escaped(stem)}-*.spill"):
            spilled += path.stat().st_size
    return Health(len(tokens), waiting, spilled, kept, version)


def _waiting(tally: Path, written: int) -> int:
    try:
        _, taken, settled = COUNTS.unpack(tally.read_bytes()[: COUNTS.size])
    except Exception:  # its process is just making or removing it
        return 0
    return max(int(taken) - max(int(settled), written), 0)


def _escaped(stem: str) -> str:
    from glob import escape

    return escape(stem)
