"""Opening a database: its URL, its connections, and its transactions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emafusion.errors import ConfigError
from emafusion.store.migrations.versions import migrate
from emafusion.store.texts import as_json

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

__all__ = ["WRITING", "connect", "is_outage", "place_of", "transact", "url_of"]

T = TypeVar("T")

WRITING = "emafusion_writing"
"""Execution option of a transaction that will write: SQLite then takes its one write lock at the beginning, where
waiting for it is possible, and not between a read and the write that depends on it."""

CONFLICTS = {"40001", "40P01", "55P03"}
"""SQLSTATE of transactions that lost to another, and succeed when begun anew: serialisation, deadlock, lock."""
OUTAGES = ("08", "40", "53", "57", "58", "25006")
"""What SQLSTATE begins with where the server is away, full, going down or a read-only standby; not the statement's
fault."""

# A peer that vanished without a word is noticed in seconds, not in the two hours that TCP allows itself.
PSYCOPG = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def url_of(url_or_path: str | Path) -> URL:
    """The URL of an SQLite file, or that which was given.

    Raises
    ------
    ConfigError
        If it is malformed, or names a database in memory.
    """
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


def place_of(url: URL, folder: str | Path | None) -> tuple[Path, str] | None:
    """Where a writer keeps its files, and what their names begin with, the same for all writers of a database.

    Beside an SQLite file or in the folder that is named; None for a server's database and no folder.

    Raises
    ------
    ConfigError
        If the folder cannot be made.
    """
    file = None
    if url.get_backend_name() == "sqlite" and not (url.database or "").startswith("file:"):
        file = Path(url.database or "").absolute()
    if folder is None:
        return None if file is None else (file.parent, file.name)
    folder = Path(folder).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"store: the folder spill={str(folder)!r} cannot be made: {error}") from error
    server = url.set(drivername=url.get_backend_name(), username=None, password=None, query={})
    where = server.render_as_string() if file is None else str(file)
    return folder, f"emafusion-{hashlib.sha256(where.encode()).hexdigest()[:12]}"


def connect(url: URL) -> Engine:
    """An engine on a database that has been migrated.

    Raises
    ------
    ConfigError
        If the database cannot be opened, or a newer version of the package wrote it.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    name = f"store {url.render_as_string(hide_password=True)}"
    _load(url, name)
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(f"{name}: only SQLite and PostgreSQL are supported")
    engine = create_engine(url, **_options(url))
    if url.get_backend_name() == "sqlite":
        _listen(engine)
    try:
        transact(engine, migrate)
    except ConfigError:
        engine.dispose()
        raise
    except SQLAlchemyError as error:
        engine.dispose()
        why = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(
            f"{name} cannot be opened: {why}: the folder must exist and be writable, "
            "and a database server must be running and let this user in"
        ) from error
    return engine


def _load(url: URL, name: str) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url.get_dialect().import_dbapi()
    except (ImportError, SQLAlchemyError) as error:
        raise ConfigError(f"{name}: {error}: install the driver that the URL names") from error


def _options(url: URL) -> dict[str, Any]:
    options: dict[str, Any] = {"json_serializer": as_json}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": 10.0}  # another process may be writing
    else:
        options["pool_pre_ping"] = True
    if url.drivername == "postgresql+psycopg":
        options["connect_args"] = {key: value for key, value in PSYCOPG.items() if key not in url.query}
    return options


def _listen(engine: Engine) -> None:
    """Begin transactions ourselves: the driver would begin one only at the first row that is written."""
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        # While several processes switch a new file to its write-ahead log SQLite does not wait, whatever the timeout.
        _patiently(cursor.execute, "PRAGMA journal_mode = WAL")
        for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _patiently(execute: Callable[[str], object], statement: str) -> None:
    from sqlite3 import OperationalError

    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

    retry = retry_if_exception_type(OperationalError)
    Retrying(retry=retry, wait=wait_fixed(0.02), stop=stop_after_delay(5.0), reraise=True)(execute, statement)


def transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    """What ``work`` returns, run in one transaction that may write; begun anew where it lost to another one."""
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

    writing = engine.execution_options(**{WRITING: True})
    retrying = Retrying(
        retry=retry_if_exception(_lost_to_another),
        wait=wait_random_exponential(multiplier=0.02, max=1.0),
        stop=stop_after_attempt(10),
        reraise=True,
    )

    def once() -> T:
        with writing.begin() as connection:
            return work(connection)

    return retrying(once)


def _sqlstate(error: BaseException) -> str:
    cause = getattr(error, "orig", None)
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""


def _lost_to_another(error: BaseException) -> bool:
    return _sqlstate(error) in CONFLICTS


def is_outage(error: Exception) -> bool:
    """Whether the database is away, locked or full, so that the same rows may be accepted later."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

    if isinstance(error, DBAPIError) and (error.connection_invalidated or _sqlstate(error).startswith(OUTAGES)):
        return True
    return isinstance(error, (OperationalError, InterfaceError, TimeoutError, OSError))
