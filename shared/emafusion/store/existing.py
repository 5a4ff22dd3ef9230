"""Opening a store that must be there already: a look at it makes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emafusion.errors import ConfigError
from emafusion.store.opening import connect, url_of

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

__all__ = ["check_exists", "open_existing"]


def open_existing(url_or_path: str | Path) -> Engine:
    """An engine on a store; one of an older version is migrated.

    Raises
    ------
    ConfigError
        If there is no such database, or it is not a store.
    """
    return connect(check_exists(url_or_path))


def check_exists(url_or_path: str | Path) -> URL:
    """The URL of a store that is there. Writes nothing, not even an empty file.

    Raises
    ------
    ConfigError
        If there is no such database, or it is not a store.
    """
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import SQLAlchemyError

    url = url_of(url_or_path)
    name = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite":
        name = url.database or ""
        if not Path(name).is_file():  # SQLite would make it
            raise ConfigError(f"{name}: there is no such store: name the file or URL that was given as store=...")
    try:
        engine = create_engine(url)
    except (ImportError, SQLAlchemyError) as error:
        raise ConfigError(f"store {name}: {error}: install the driver that the URL names") from error
    try:
        there = inspect(engine).has_table("decisions")
    except SQLAlchemyError as error:
        why = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"store {name} cannot be read: {why}") from error
    finally:
        engine.dispose()
    if not there:
        raise ConfigError(f"{name}: is a database, but no store of EMAFusion: it has no table of decisions")
    return url
