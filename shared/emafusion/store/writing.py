"""Writing a batch of records in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from emafusion.store import lengths
from emafusion.store.learned import learn
from emafusion.store.opening import is_outage, transact
from emafusion.store.records import Learned, Made, Noticed, Rated, Record, rows
from emafusion.store.rows import Rows
from emafusion.store.tables import table
from emafusion.store.upserts import insert_new, insert_or_renew

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["Batches"]


class Batches:
    """Writes batches to a database.

    Parameters
    ----------
    engine
        Of the database.
    pending
        Ids of decisions that are queued; those that are settled are taken out.
    writer
        Identity under which the database is told how far this process has come; None: it is not.
    """

    def __init__(self, engine: Engine, pending: dict[str, None], writer: str | None) -> None:
        self._engine, self._pending, self._writer = engine, pending, writer

    def __call__(self, batch: Sequence[Record], last: int) -> None:
        """Write a batch, whose last record has the number ``last`` (0: it has none), or raise and write nothing.

        What was written before, by a transaction whose success was never heard of, is not written twice.
        """
        try:
            made = [rows(x) for x in batch if isinstance(x, (Made, Rows))]  # may take a while: no transaction waits
            transact(self._engine, lambda connection: self._insert(connection, batch, made, last))
        except Exception as error:
            if len(batch) == 1 and not is_outage(error):
                self._take_out(batch)  # it does not come again
            raise
        self._take_out(batch)

    def _take_out(self, batch: Sequence[Record]) -> None:
        for x in batch:
            if isinstance(x, Made):
                self._pending.pop(x.result.decision.id, None)
            elif isinstance(x, Rows):
                self._pending.pop(x.decision["id"], None)

    def _insert(self, connection: Connection, batch: Sequence[Record], made: Sequence[Rows], last: int) -> None:
        once = {r.decision["id"]: r for r in reversed(made)}  # the first of each is the one that is kept
        there = lengths.known(connection, list(once))
        insert_new(connection, table("decisions"), [r.decision for r in made])
        insert_new(connection, table("attempts"), [a for r in made for a in r.attempts])
        insert_new(connection, table("verdicts"), [v for r in made for v in r.verdicts])
        rated = [asdict(x) for x in batch if isinstance(x, Rated)]
        # In sorted order, so that two processes that renew the same rows wait for each other in one direction only.
        insert_or_renew(connection, table("feedback"), sorted(rated, key=lambda r: str(r["key"])), newer="given_at")
        if last and self._writer is not None:
            insert_or_renew(connection, table("writers"), [{"id": self._writer, "written": last}])
        insert_new(connection, table("alarms"), [asdict(x) for x in batch if isinstance(x, Noticed)])
        lengths.add(connection, [r for id, r in once.items() if id not in there])
        learned = [x for x in batch if isinstance(x, Learned)]
        if learned:
            learn(connection, learned)
