"""The outcome log: what each candidate did with each query, one JSON object a line (``.jsonl`` or ``.jsonl.gz``).

====================  ==============================  ===========================================================
``id``                str                             unique in the file
``prompt``            str or list of chat messages    what was asked
``outcomes``          object: candidate -> outcome    any subset of the pool
``task`` and others   any                             kept for reports; no router reads them
====================  ==============================  ===========================================================

An outcome may hold ``score`` in [0, 1], ``response``, ``in_tok``, ``out_tok``, ``cost_usd`` >= 0, ``latency_s``,
``finish_reason``, and ``verdicts``: the score in [0, 1] that each judge gave, by its name, null where it abstained. A
line that breaks this is an error that names the file and the line; nothing is skipped.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emafusion.asked import build_query
from emafusion.errors import LogError
from emafusion.types import Message, Query, Role

__all__ = ["LoggedQuery", "Outcome", "read_log", "write_log"]


class Outcome(BaseModel):
    """What one candidate did with one query."""

    model_config = ConfigDict(extra="allow", frozen=True)

    score: float | None = Field(None, ge=0.0, le=1.0, allow_inf_nan=False)
    response: str | None = None
    answer: Any = None
    in_tok: int | None = Field(None, ge=0)
    out_tok: int | None = Field(None, ge=0)
    cost_usd: float | None = Field(None, ge=0.0, allow_inf_nan=False)
    latency_s: float | None = Field(None, ge=0.0)
    finish_reason: str | None = None
    verdicts: dict[str, Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None] | None = None


class LoggedQuery(BaseModel):
    """One line of a log."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    prompt: str | list[dict[str, Any]]
    outcomes: dict[str, Outcome]
    task: str | None = None
    split: str | None = None

    def messages(self) -> tuple[Message, ...]:
        """The prompt as turns."""
        if isinstance(self.prompt, str):
            return (Message("user", self.prompt),)
        return tuple(_message(turn) for turn in self.prompt)

    def query(self) -> Query:
        """The prompt as routers see it."""
        extra = self.model_extra or {}
        tools = extra.get("tools") or ()
        return build_query(self.messages(), tools=tools, schema=extra.get("schema"), id=self.id)


def _message(turn: Mapping[str, Any]) -> Message:
    content = turn.get("content") or ""
    media: set[str] = set()
    if not isinstance(content, str):
        texts = []
        for part in content:
            kind = str(part.get("type", "text"))
            if "text" in part:
                texts.append(str(part["text"]))
            elif "image" in kind:
                media.add("image")
            elif "audio" in kind:
                media.add("audio")
        content = "\n".join(texts)
    role = str(turn.get("role", "user"))
    known = {"human": "user", "ai": "assistant", "developer": "system", "function": "tool", "model": "assistant"}
    return Message(cast(Role, known.get(role, role)), content, media=frozenset(media))


def read_log(source: str | Path | Iterable[Mapping[str, Any]], *, progress: bool = False) -> list[LoggedQuery]:
    """Read a log from a file, or check one that is in memory.

    Raises
    ------
    LogError
        Naming file and line, for a line that is no JSON, lacks a field, has a score outside [0, 1], a negative cost or
        an id seen before; and for a log with no line at all.
    """
    name = str(source) if isinstance(source, (str, Path)) else "log"
    seen: dict[str, int] = {}
    out: list[LoggedQuery] = []
    lines = _lines(source) if isinstance(source, (str, Path)) else enumerate(source, 1)
    for number, line in lines:
        where = f"{name}:{number}"
        try:
            entry = LoggedQuery.model_validate_json(line) if isinstance(line, str) else LoggedQuery.model_validate(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            at = ".".join(map(str, first["loc"]))
            shown = "" if first["type"] in ("missing", "json_invalid") else f", got {first['input']!r:.60}"
            raise LogError(f"{where}: {at + ': ' if at else ''}{first['msg']}{shown}") from None
        if entry.id in seen:
            raise LogError(f"{where}: id {entry.id!r} was already used on line {seen[entry.id]}: ids must be unique")
        seen[entry.id] = number
        out.append(entry)
    if not out:
        raise LogError(f"{name}: the log is empty: it needs one JSON object a line")
    return out


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    path = Path(path)
    if not path.is_file():
        raise LogError(f"{path}: there is no such file")
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise LogError(f"{path}:{number + 1}: cannot be read: {error}") from error


def write_log(entries: Iterable[LoggedQuery | Mapping[str, Any]], path: str | Path) -> None:
    """Write a log; gzip where the name ends in ``.gz``."""
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8") as file:
        for entry in entries:
            plain = _plain(entry) if isinstance(entry, LoggedQuery) else dict(entry)
            file.write(json.dumps(plain, ensure_ascii=False) + "\n")


def _plain(entry: LoggedQuery) -> dict[str, Any]:
    """The line as JSON; what is unknown is left out, but not a judge that abstained."""
    plain = entry.model_dump(mode="json", exclude_none=True)
    for name, outcome in entry.outcomes.items():
        if outcome.verdicts is not None:
            plain["outcomes"][name]["verdicts"] = dict(outcome.verdicts)
    return plain
