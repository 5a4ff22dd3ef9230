"""`Store`: where decisions, feedback, learned sums and policies are kept."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.util
import os
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emafusion.errors import ConfigError
from emafusion.store import reading, retention
from emafusion.store.database import now
from emafusion.store.export import write_export
from emafusion.store.feedback import Kind, stated
from emafusion.store.forks import Forks
from emafusion.store.learned import Sums
from emafusion.store.opening import connect, is_outage, place_of, url_of
from emafusion.store.policies import Policies
from emafusion.store.records import Learned, Made, Noticed, Record, decode, encode
from emafusion.store.recovery import recover, sign_off
from emafusion.store.spill import Spill
from emafusion.store.tally import Tally
from emafusion.store.writer import Writer
from emafusion.store.writing import Batches
from emafusion.types import Query, Result

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from emafusion.learning.online.drift import Alarm
    from emafusion.learning.online.hints import Hint
    from emafusion.learning.online.observation import Observation

__all__ = ["Store"]

log = logging.getLogger("emafusion")

FORKS = Forks()


class Store(Policies, Sums):
    """Decisions, attempts, verdicts, feedback, learned sums and policies in a database.

    A request never waits for the database and never fails with it: records go to a bounded queue, and one thread
    writes them. While the database is away they go to disk instead, and from there, in order, when it is back; if this
    process has ended by then, the next one that opens the store sees to it.

    Parameters
    ----------
    url_or_path
        Path of an SQLite file, made where absent (write-ahead log, so that readers do not wait), or the SQLAlchemy URL
        of an SQLite or PostgreSQL database. One that an older version wrote is migrated.
    store_text
        False keeps hashes and embeddings in place of questions, answers, tools, ground truths and error messages. (The
        hash of a text that can be guessed can be found by guessing, and an embedding tells what a text is about.)
    capacity
        Records that may wait in memory; beyond it they are dropped, counted in :attr:`dropped`, and warned about.
    spill
        Folder for what is kept on disk: records while the database is away, and counts from which the next process
        tells how many records one lost that was killed. None: beside the SQLite file; for PostgreSQL, nothing is kept
        on disk. It must be on a file system of this machine, and may serve many processes and databases.
    spill_bytes
        Bytes that this process may spill.
    retention_days
        Decisions older than this are deleted, with their attempts, verdicts and feedback, at the beginning and every
        hour, and so are alarms, and windows of budgets that are over; None keeps all. Learned sums stay.

    Raises
    ------
    ConfigError
        If the database cannot be opened, or a newer version of the package wrote it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(f"{folder}/emafusion.sqlite") as store:
    ...     store.decisions(), store.feedback("no such decision", 1.0), store.next_ticks(100), store.next_ticks(100)
    ([], False, 0, 100)
    """

    def __init__(
        self,
        url_or_path: str | Path,
        *,
        store_text: bool = True,
        capacity: int = 10_000,
        spill: str | Path | None = None,
        spill_bytes: int = 256 * 1024 * 1024,
        retention_days: float | None = None,
    ) -> None:
        if retention_days is not None and not retention_days > 0:
            raise ConfigError(f"retention_days must be a positive number of days or None, got {retention_days!r}")
        self.store_text, self.capacity, self.spill_bytes = store_text, capacity, spill_bytes
        self.retention_days = retention_days
        url = url_of(url_or_path)
        self._place = place_of(url, spill)
        self._engine = connect(url)
        self._start()
        FORKS.watch(self)

    def _start(self) -> None:
        self._pending: dict[str, None] = {}
        self._process = os.getpid()
        tally: Tally | None = None
        spills: list[Spill[Record]] = []
        self._tallies: list[Tally] = []
        if self._place is not None:
            left_behind = recover(self._engine, *self._place)
            tally = Tally.begin(*self._place)
            own: Spill[Record] = Spill(tally.spill_path, encode, decode, self.spill_bytes)
            spills = [own, *(spill for _, spill in left_behind)]
            self._tallies = [tally, *(left for left, _ in left_behind)]
        chore = None if self.retention_days is None else partial(_prune, self._engine, self.retention_days)
        write = Batches(self._engine, self._pending, None if tally is None else tally.token)
        self._writer: Writer[Record] = Writer(write, is_outage, self.capacity, tally=tally, spills=spills, chore=chore)
        self._end = weakref.finalize(self, _close, self._writer, self._engine, self._tallies)  # runs at exit, too
        if multiprocessing.parent_process() is not None:  # but not at that of multiprocessing's children
            multiprocessing.util.Finalize(None, self._end, exitpriority=10)

    def _in_this_process(self) -> None:
        if self._process != os.getpid():
            self._abandon()
            self._start()

    def _abandon(self) -> None:
        """In a forked process: the thread, the connections and the files are the parent's."""
        self._end.detach()
        self._engine.dispose(close=False)
        for tally in self._tallies:
            tally.close()

    def _before_fork(self) -> None:
        """Hold the writing, and close the connections: SQLite must not be carried into a child while it is open."""
        self._writer.pause()
        self._engine.dispose()

    def _after_fork(self, in_child: bool) -> None:
        if in_child:
            self._abandon()
        else:
            self._writer.resume()

    # -- writing -----------------------------------------------------------------------------------------------

    def record(self, query: Query, result: Result, shadows: Callable[[], Mapping[str, str]] | None = None) -> None:
        """Keep a decision. Takes microseconds: it is written later, on another thread.

        Parameters
        ----------
        shadows
            Tells policies in shadow -> whom they would have asked first; called on that thread.
        """
        self._in_this_process()
        decision_id = result.decision.id
        self._pending[decision_id] = None  # before it is queued: the thread takes it out again
        if not self._writer.put(Made(query, result, now(), self.store_text, shadows)):
            self._pending.pop(decision_id, None)

    def feedback(
        self,
        decision_id: str,
        score: float | None = None,
        *,
        kind: Kind = "score",
        key: str | None = None,
        candidate: str | None = None,
        against: str | None = None,
        text: str | None = None,
    ) -> bool:
        """Keep what was said of a decision's answer; it may come late, and from another process.

        Parameters
        ----------
        score
            How good the answer was, in [0, 1].
        kind
            "truth" compares with a reference, "score" and "thumbs" are opinions, "implicit" is read from behaviour,
            "preference" says that ``candidate``'s answer was better than that of ``against``.
        key
            Identity of this piece of feedback: the same key again replaces it, whichever is the last word. None makes
            one of the decision, the kind and the candidates.
        candidate
            Whose answer is meant; None: that which the user saw.
        text
            The true answer, for kind "truth"; not kept with ``store_text=False``.

        Returns
        -------
        bool
            Whether the decision is known, written or still queued. While the database is away that cannot be told;
            the feedback is then taken and kept for when the decision turns up.

        Raises
        ------
        ConfigError
            If it makes no sense: a score out of range, or a preference without two candidates.
        """
        self._in_this_process()
        said = stated(decision_id, score, kind, key, candidate, against, text if self.store_text else None, now())
        if not self._knows(decision_id):
            return False
        self._writer.put(said)
        return True

    def _knows(self, decision_id: str) -> bool:
        if decision_id in self._pending or self._writer.away:
            return True
        try:
            return self._look(lambda connection: reading.is_known(connection, decision_id))
        except Exception as error:
            if is_outage(error):
                return True
            raise

    def learn(self, observations: Sequence[Observation], hints: Sequence[Hint] = ()) -> None:
        """Add what answers taught to the learned sums, later, on the writing thread.

        An observation of the same decision and candidate again tells what is known by now: a judgement or a truth that
        is new, or later than the one that was known, replaces it in the sums; one that is known changes nothing. So all
        may be sent more than once, from any process.

        Parameters
        ----------
        hints
            Evidence that was told of each of these answers since; one of the same key replaces the earlier one.
        """
        self._in_this_process()
        at = now()
        for observation in observations:
            self._writer.put(Learned(observation, at, tuple(hints)))

    def notice(self, alarm: Alarm) -> None:
        """Keep an alarm, later, on the writing thread."""
        self._in_this_process()
        self._writer.put(Noticed(uuid.uuid4().hex, now(), **asdict(alarm)))

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

    def decisions(self, limit: int | None = 100) -> list[dict[str, Any]]:
        """The newest decisions first (None: all), each a mapping.

        Beside the columns: ``attempts``, ``verdicts``, ``feedbacks`` (all that was said, oldest first), ``feedback``
        (the score that counts: truth over score over thumbs over implicit, then the last word; None: nobody gave one)
        and ``embedding``, (dim,) float16 or None.
        """
        self.flush()
        return self._look(lambda connection: reading.decisions(connection, limit, newest_first=True))

    def decision(self, id: str) -> dict[str, Any] | None:
        """One decision, as in :meth:`decisions`; None if it is not known."""
        self.flush()
        found = self._look(lambda connection: reading.decisions(connection, 1, newest_first=True, id=id))
        return found[0] if found else None

    def export(self, path: str | Path) -> int:
        """Write an outcome log to learn from, oldest decision first; returns the number of its lines.

        The score that counts goes to the candidate that answered and to attempts whose answers agreed with its answer;
        feedback that names a candidate goes to that one. Decisions kept without text have an empty ``prompt``, no
        ``response``, ``"text_stored": false`` and, where the router made one, the query's ``embedding``.
        """
        self.flush()
        found = self._look(lambda connection: reading.decisions(connection, None, newest_first=False))
        return write_export(found, path)

    # -- retention ---------------------------------------------------------------------------------------------

    def prune(self) -> int:
        """Delete decisions older than ``retention_days`` now; returns their number. Learned sums stay."""
        if self.retention_days is None:
            raise ConfigError("prune deletes what is older than retention_days: give it to the store")
        self.flush()
        return _prune(self._engine, self.retention_days)

    def redact(self, before: datetime | None = None, session: str | None = None) -> int:
        """Remove the words of decisions made before a time, or of a session, or both; without either, of all.

        Hashes, embeddings, scores and learned sums stay. What another process has queued or spilled is not reached.

        Returns
        -------
        int
            Decisions that are now without text.
        """
        self.flush()
        if before is not None and before.tzinfo is not None:
            before = before.astimezone(timezone.utc).replace(tzinfo=None)
        return retention.redact(self._engine, before, session)


def _prune(engine: Engine, days: float) -> int:
    return retention.prune(engine, now() - timedelta(days=days))


def _close(writer: Writer[Record], engine: Engine, tallies: Sequence[Tally]) -> None:
    writer.close()
    for tally in tallies[:1]:  # the first is this process's own
        if writer.idle and not writer.away:
            try:
                sign_off(engine, tally.token)
                tally.remove()
            except Exception as error:
                log.debug("emafusion: the next process that opens the store tidies up, for now: %s", error)
    for tally in tallies:
        tally.close()  # what is left, the next process finds
    engine.dispose()
