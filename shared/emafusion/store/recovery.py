"""What processes left behind that ended without closing the store: records on disk, and the count of those lost."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emafusion.store.opening import transact
from emafusion.store.records import Record, decode, encode
from emafusion.store.spill import Spill
from emafusion.store.tables import table
from emafusion.store.tally import Tally

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["recover", "sign_off"]

log = logging.getLogger("emafusion")


def recover(engine: Engine, folder: Path, stem: str) -> list[tuple[Tally, Spill[Record]]]:
    """Say what ended processes have lost, and return what they spilled, to be written now.

    A record is lost that was taken but is neither in the database nor on disk. The database was told how far the
    process had come in the same transaction as the records themselves, so the number is exact.
    """
    found = []
    for tally in Tally.left_behind(folder, stem):
        spill: Spill[Record] = Spill(tally.spill_path, encode, decode, limit=0, emptied=tally.remove)
        written = transact(engine, partial(_written, writer=tally.token))
        lost = tally.taken - max(tally.settled, written, spill.last_number())
        if lost > 0:
            log.warning("emafusion: %d record(s) of a process that ended abruptly were lost", lost)
        tally.settled = tally.taken  # said once
        sign_off(engine, tally.token)
        if spill:
            found.append((tally, spill))
        else:
            tally.spill_path.unlink(missing_ok=True)
            tally.remove()
    return found


def sign_off(engine: Engine, writer: str) -> None:
    """Remove what the database was told of a writer."""
    from sqlalchemy import delete

    writers = table("writers")
    transact(engine, lambda connection: connection.execute(delete(writers).where(writers.c.id == writer)))


def _written(connection: Connection, writer: str) -> int:
    from sqlalchemy import select

    writers = table("writers")
    return connection.execute(select(writers.c.written).where(writers.c.id == writer)).scalar() or 0
