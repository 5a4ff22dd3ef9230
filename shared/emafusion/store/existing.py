"""`ExistingStore`: a store that must be there already, looked at from outside. It records nothing and makes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from emafusion.errors import ConfigError
from emafusion.store.opening import connect, url_of
from emafusion.store.policies import Policies

if TYPE_CHECKING:
    from sqlalchemy import URL

__all__ = ["ExistingStore"]


class ExistingStore(Policies):
    """A store without a writer: for commands that look at what others record, and at which policy serves.

    One of an older version is migrated.

    Parameters
    ----------
    url_or_path
        As of :class:`emafusion.store.Store`.

    Raises
    ------
    ConfigError
        If there is no such database, or it is not a store.
    """

    def __init__(self, url_or_path: str | Path) -> None:
        self.engine = self._engine = connect(_found(url_or_path))

    @property
    def name(self) -> str:
        """The file, or the URL without its password."""
        url = self.engine.url
        return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)

    def _in_this_process(self) -> None:
        """Nothing belongs to a process but the connections, which a command does not share."""

    def flush(self, timeout: float = 30.0) -> bool:
        return True

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> ExistingStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _found(url_or_path: str | Path) -> URL:
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
