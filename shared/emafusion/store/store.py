"""`Store`: where decisions and feedback are kept."""

from __future__ import annotations

import json
import os
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emafusion.errors import ConfigError
from emafusion.store.export import logged
from emafusion.store.rows import rows_of
from emafusion.store.schema import migrate, table
from emafusion.store.writer import Writer
from emafusion.types import Query, Result

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

__all__ = ["Store"]


@dataclass(frozen=True, slots=True)
class _Made:
    """A decision to write."""

    query: Query
    result: Result
    at: datetime


@dataclass(frozen=True, slots=True)
class _Rated:
    """Feedback to write."""

    decision_id: str
    score: float
    at: datetime


class Store:
    """Decisions, attempts, verdicts and feedback in a database.

    A request never waits for the database and never fails with it: records go to a bounded queue, and one thread
    writes them.

    Parameters
    ----------
    url_or_path
        Path of an SQLite file, made where absent (write-ahead log, so that readers do not wait), or any SQLAlchemy URL.
    store_text
        False keeps hashes in place of questions, answers, tools and error messages. (The hash of a text that can be
        guessed can be found by guessing.) An export then has no text to learn from.
    capacity
        Records that may wait to be written; beyond it they are dropped, counted in :attr:`dropped`, and warned about.

    Raises
    ------
    ConfigError
        If the database cannot be opened, or a newer version of the package wrote it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(f"{folder}/emafusion.sqlite") as store:
    ...     store.decisions(), store.feedback("no such decision", 1.0)
    ([], False)
    """

    def __init__(self, url_or_path: str | Path, *, store_text: bool = True, capacity: int = 10_000) -> None:
        self.store_text, self.capacity = store_text, capacity
        self._url = _url_of(url_or_path)
        self._name = self._url.render_as_string(hide_password=True)
        self._engine = _open(self._url, self._name)
        self._start()

    def _start(self) -> None:
        self._pending: dict[str, None] = {}
        self._process = os.getpid()
        write = partial(_write, self._engine, self.store_text, self._pending)
        self._writer: Writer[_Made | _Rated] = Writer(write, _is_outage, self.capacity)
        self._end = weakref.finalize(self, _close, self._writer, self._engine)  # runs at exit, too

    def _in_this_process(self) -> None:
        """After a fork the thread and the connections belong to the parent: begin anew."""
        if self._process != os.getpid():
            self._end.detach()
            self._engine.dispose(close=False)
            self._start()

    # -- writing -----------------------------------------------------------------------------------------------

    def record(self, query: Query, result: Result) -> None:
        """Keep a decision. Takes microseconds: it is written later, on another thread."""
        self._in_this_process()
        decision_id = result.decision.id
        self._pending[decision_id] = None  # before it is queued: the thread takes it out again
        if not self._writer.put(_Made(query, result, _now())):
            self._pending.pop(decision_id, None)

    def feedback(self, decision_id: str, score: float) -> bool:
        """Keep how good a decision's answer was; the last word counts.

        Returns
        -------
        bool
            Whether the decision is known, written or still queued. While the database is away that cannot be told;
            the feedback is then taken and kept for when the decision turns up.
        """
        self._in_this_process()
        if not 0.0 <= score <= 1.0:
            raise ConfigError(f"feedback score must be a number in [0, 1], got {score!r}")
        if not self._knows(decision_id):
            return False
        self._writer.put(_Rated(decision_id, float(score), _now()))
        return True

    def _knows(self, decision_id: str) -> bool:
        from sqlalchemy import select

        if decision_id in self._pending:
            return True
        decisions = table("decisions")
        try:
            with self._engine.connect() as connection:
                found = connection.execute(select(decisions.c.id).where(decisions.c.id == decision_id)).first()
        except Exception as error:
            if _is_outage(error):
                return True
            raise
        return found is not None

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until everything recorded so far is in the database; False if ``timeout`` seconds did not suffice."""
        self._in_this_process()
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write what is queued and close. Also done when the store is collected, and at exit."""
        self._end()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def engine(self) -> Engine:
        """The database, for what else is kept in it."""
        return self._engine

    @property
    def dropped(self) -> int:
        """Records that could not be kept in this process."""
        return self._writer.dropped

    # -- reading -----------------------------------------------------------------------------------------------

    def decisions(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest decisions first, each with its ``attempts``, ``verdicts`` and ``feedback`` (None: none came)."""
        return self._read(limit, newest_first=True)

    def export(self, path: str | Path) -> int:
        """Write an outcome log to learn from, oldest decision first; returns the number of its lines.

        A feedback score goes to the candidate that answered and to attempts whose answers agreed with its answer.
        Decisions kept without text have an empty ``prompt``, no ``response``, and ``"text_stored": false``; there is a
        warning, because nothing can be fitted on them.
        """
        import logging

        from emafusion.log import write_log

        lines = [logged(d) for d in self._read(None, newest_first=False)]
        silent = sum(not line["text_stored"] for line in lines)
        if silent:
            logging.getLogger("emafusion").warning(
                "emafusion: %d of %d exported decisions were kept without text (store_text=False): "
                "a router cannot be fitted on those",
                silent,
                len(lines),
            )
        write_log(lines, path)
        return len(lines)

    def _read(self, limit: int | None, *, newest_first: bool) -> list[dict[str, Any]]:
        from sqlalchemy import select

        self.flush()
        decisions, feedback = table("decisions"), table("feedback")
        order = decisions.c.created_at.desc() if newest_first else decisions.c.created_at
        chosen = select(decisions).order_by(order, decisions.c.id).limit(limit)
        ids = chosen.with_only_columns(decisions.c.id).subquery()
        with self._engine.connect() as connection:
            found = {row["id"]: dict(row) for row in connection.execute(chosen).mappings()}
            for row in found.values():
                row |= {"attempts": [], "verdicts": [], "feedback": None}
            for part in ("attempts", "verdicts"):
                rows = table(part)
                matching = select(rows).where(rows.c.decision_id.in_(select(ids.c.id)))
                for line in connection.execute(matching.order_by(rows.c.decision_id, rows.c.position)).mappings():
                    found[line["decision_id"]][part].append(dict(line))
            for rated in connection.execute(select(feedback).where(feedback.c.decision_id.in_(select(ids.c.id)))):
                found[rated.decision_id]["feedback"] = rated.score
        return list(found.values())


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)  # databases differ on time zones: all is UTC


def _url_of(url_or_path: str | Path) -> URL:
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if isinstance(url_or_path, str) and "://" in url_or_path:
        try:
            url = make_url(url_or_path)
        except ArgumentError:
            raise ConfigError(
                "store: that is no database URL: it looks like postgresql+psycopg://user:password@host/database"
            ) from None
    else:
        url = URL.create("sqlite", database=str(url_or_path))
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError("store: an in-memory SQLite database keeps nothing: name a file, or leave the store out")
    return url


def _open(url: URL, name: str) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.exc import SQLAlchemyError

    options: dict[str, Any] = {"json_serializer": partial(json.dumps, default=str, ensure_ascii=False)}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": 10.0}  # another process may be writing
    else:
        options["pool_pre_ping"] = True
    try:
        engine = create_engine(url, **options)
    except (ImportError, SQLAlchemyError) as error:
        raise ConfigError(f"store {name}: {error}: install the driver that the URL names") from error
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    for attempt in range(5):
        try:
            with engine.begin() as connection:
                migrate(connection)
            return engine
        except ConfigError:
            engine.dispose()
            raise
        except SQLAlchemyError as error:
            if attempt == 4 or not _made_meanwhile(error):
                engine.dispose()
                why = str(error.__cause__ or error).splitlines()[0]
                raise ConfigError(
                    f"store {name} cannot be opened: {why}: the folder must exist and be writable, "
                    "and a database server must be running and let this user in"
                ) from error
            time.sleep(0.05 * (attempt + 1))
    raise AssertionError("unreachable")


def _made_meanwhile(error: Exception) -> bool:
    """Whether two processes made the tables at the same time, and this one lost."""
    text = str(error).lower()
    return "already exists" in text or "locked" in text or "unique" in text


def _set_up_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _is_outage(error: Exception) -> bool:
    """Whether the database is away, locked or full, so that the same rows may be accepted later."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, (OperationalError, InterfaceError, TimeoutError, OSError))


def _write(engine: Engine, text: bool, pending: dict[str, None], batch: Sequence[_Made | _Rated]) -> None:
    """Write a batch in one transaction, in order."""
    try:
        _insert(engine, text, batch)
    except Exception as error:
        if len(batch) > 1 or _is_outage(error):
            raise  # it comes again
        _settle(pending, batch)
        raise
    _settle(pending, batch)


def _settle(pending: dict[str, None], batch: Sequence[_Made | _Rated]) -> None:
    for x in batch:
        if isinstance(x, _Made):
            pending.pop(x.result.decision.id, None)


def _insert(engine: Engine, text: bool, batch: Sequence[_Made | _Rated]) -> None:
    from sqlalchemy import insert

    made = [rows_of(x.query, x.result, x.at, text=text) for x in batch if isinstance(x, _Made)]
    with engine.begin() as connection:
        known = _already_there(connection, [r.decision["id"] for r in made])
        made = list({r.decision["id"]: r for r in made if r.decision["id"] not in known}.values())
        for name, rows in (
            ("decisions", [r.decision for r in made]),
            ("attempts", [a for r in made for a in r.attempts]),
            ("verdicts", [v for r in made for v in r.verdicts]),
        ):
            if rows:
                connection.execute(insert(table(name)), rows)
        for rated in batch:
            if isinstance(rated, _Rated):
                _rate(connection, rated)


def _already_there(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Of these decisions, those that a transaction wrote whose success was never heard of."""
    from sqlalchemy import select

    decisions = table("decisions")
    if not ids:
        return set()
    return set(connection.execute(select(decisions.c.id).where(decisions.c.id.in_(ids))).scalars())


def _rate(connection: Connection, rated: _Rated) -> None:
    from sqlalchemy import insert, select, update

    feedback = table("feedback")
    mine = feedback.c.decision_id == rated.decision_id
    given = connection.execute(select(feedback.c.given_at).where(mine)).scalar()
    values = {"score": rated.score, "given_at": rated.at}
    if given is None:
        connection.execute(insert(feedback).values(decision_id=rated.decision_id, **values))
    elif given <= rated.at:  # the last word counts, whichever process it came through
        connection.execute(update(feedback).where(mine).values(**values))


def _close(writer: Writer[_Made | _Rated], engine: Engine) -> None:
    writer.close()
    engine.dispose()
