"""`Database`: what the parts of a store share, a connection to look and a transaction to change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

from emafusion.store.opening import transact

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Database", "now"]

T = TypeVar("T")


class Database(ABC):
    """A database that has been opened and migrated."""

    _engine: Engine

    @abstractmethod
    def _in_this_process(self) -> None:
        """See to it that nothing is used that belongs to a parent process."""

    @abstractmethod
    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until everything recorded so far is in the database; False if ``timeout`` seconds did not suffice."""

    def _look(self, at: Callable[[Connection], T]) -> T:
        self._in_this_process()
        with self._engine.connect() as connection:
            return at(connection)

    def _change(self, how: Callable[[Connection], T]) -> T:
        self._in_this_process()
        return transact(self._engine, how)


def now() -> datetime:
    """The time, without a zone: databases differ on zones, so all is UTC."""
    return datetime.now(timezone.utc).replace(tzinfo=None)
