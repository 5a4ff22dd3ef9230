"""Alarms: the changes that processes noticed while they served, each kept by the process that raised it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from emafusion.store.tables import table

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Raised", "alarms"]

SHOWN = 20
"""Alarms that are looked at: who has more has the newest of them to see to first."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm of :mod:`emafusion.learning.online.drift` as the store has it.

    Attributes
    ----------
    raised_at
        UTC, without time zone.
    what
        What changed, in words.
    """

    raised_at: datetime
    kind: str
    candidate: str
    before: float
    after: float
    since: float
    tick: float
    answers: int
    what: str


def alarms(connection: Connection, limit: int = SHOWN) -> list[Raised]:
    """The newest first."""
    from sqlalchemy import select

    from emafusion.learning.online.drift import Alarm

    kept = table("alarms")
    rows = connection.execute(select(kept).order_by(kept.c.raised_at.desc(), kept.c.id).limit(limit)).mappings()
    found = []
    for row in rows:
        known = {name: row[name] for name in ("kind", "candidate", "before", "after", "since", "tick", "answers")}
        found.append(Raised(row["raised_at"], **known, what=str(Alarm(**known))))
    return found
