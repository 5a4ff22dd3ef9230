"""What is queued to be written (decisions, feedback, observations, alarms) and the form in which it waits on disk."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from emafusion.store.rows import Rows, rows_of
from emafusion.types import Query, Result

if TYPE_CHECKING:
    from emafusion.learning.online.hints import Hint
    from emafusion.learning.online.observation import Observation

__all__ = ["Learned", "Made", "Noticed", "Rated", "Record", "decode", "encode", "rows"]


@dataclass(frozen=True, slots=True)
class Made:
    """A decision."""

    query: Query
    result: Result
    at: datetime
    text: bool
    """Whether its words are to be kept."""
    shadows: Callable[[], Mapping[str, str]] | None = None
    """Tells whom policies in shadow would have asked first; takes its time at the first call."""


@dataclass(frozen=True, slots=True)
class Rated:
    """A piece of feedback; its fields are the columns of the table."""

    key: str
    decision_id: str
    kind: str
    candidate: str | None
    against: str | None
    score: float | None
    text: str | None
    given_at: datetime


@dataclass(frozen=True, slots=True)
class Learned:
    """What an answer taught, as it was known at a moment, and hints that were told of it then."""

    observation: Observation
    at: datetime
    hints: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True)
class Noticed:
    """An alarm; its fields are the columns of the table."""

    id: str
    raised_at: datetime
    kind: str
    candidate: str
    before: float
    after: float
    since: float
    tick: float
    answers: int


Record: TypeAlias = "Made | Rows | Rated | Learned | Noticed"
"""``Rows`` is a decision that comes back from disk."""


def rows(record: Made | Rows) -> Rows:
    """A decision's rows."""
    if isinstance(record, Rows):
        return record
    shadows = None if record.shadows is None else record.shadows()
    return rows_of(record.query, record.result, record.at, text=record.text, shadows=shadows)


def encode(record: Record) -> dict[str, Any]:
    """A record as JSON can hold it."""
    if isinstance(record, Rated):
        return {"feedback": asdict(record) | {"given_at": record.given_at.isoformat()}}
    if isinstance(record, Noticed):
        return {
            "alarm": {k: _plain(v) for k, v in asdict(record).items()} | {"raised_at": record.raised_at.isoformat()}
        }
    if isinstance(record, Learned):
        seen = record.observation
        values = {f.name: getattr(seen, f.name) for f in fields(seen)}
        values["features"] = [float(x) for x in seen.features]
        hints = [[h.key, _plain(h.judge), _plain(h.weight)] for h in record.hints]
        return {"observation": {k: _plain(v) for k, v in values.items()}, "at": record.at.isoformat(), "hints": hints}
    found = rows(record)
    decision = dict(found.decision)
    decision["created_at"] = decision["created_at"].isoformat()
    if decision["embedding"] is not None:
        decision["embedding"] = base64.b64encode(decision["embedding"]).decode("ascii")
    return {"decision": decision, "attempts": found.attempts, "verdicts": found.verdicts}


def decode(line: dict[str, Any]) -> Record:
    """The record that :func:`encode` was given.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is none.
    """
    if "feedback" in line:
        values = line["feedback"]
        return Rated(**values | {"given_at": datetime.fromisoformat(values["given_at"])})
    if "alarm" in line:
        values = line["alarm"]
        return Noticed(**values | {"raised_at": datetime.fromisoformat(values["raised_at"])})
    if "observation" in line:
        import numpy as np

        from emafusion.learning.online.hints import Hint
        from emafusion.learning.online.observation import Observation

        seen, hints = line["observation"], tuple(Hint(*hint) for hint in line.get("hints", ()))
        features = np.asarray(seen["features"], np.float64)
        return Learned(Observation(**seen | {"features": features}), datetime.fromisoformat(line["at"]), hints)
    decision = line["decision"]
    decision["created_at"] = datetime.fromisoformat(decision["created_at"])
    if decision["embedding"] is not None:
        decision["embedding"] = base64.b64decode(decision["embedding"])
    return Rows(decision, line["attempts"], line["verdicts"])


def _plain(value: Any) -> Any:
    """Without numpy's own kinds of number, which JSON does not know."""
    return value.item() if hasattr(value, "item") else value
