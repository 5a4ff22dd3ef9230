"""The writer: a bounded queue and one thread that empties it into the database in batches.

* ``put`` never waits and never raises: when the queue is full the record is dropped, counted and warned about.
* While the database is away the batch is kept and tried again. When the queue fills up meanwhile, what waits goes to
  disk (the spill), and comes from there, in order, when the database is back.
* A row that the database refuses is dropped alone, not with its batch.
* ``close`` writes what is left, or spills it for the next process, or says how much it had to give up.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from emafusion.store.spill import Spill
from emafusion.store.tally import Tally

__all__ = ["Writer"]

T = TypeVar("T")

BATCH = 500
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
SPILL_AT = 0.5
"""Share of its capacity at which the queue goes to disk, if the database is away."""
CHORE_EVERY = 3600.0

log = logging.getLogger("emafusion")


class Writer(Generic[T]):
    """Hands queued records to ``write`` in batches, in order, on a thread of its own.

    Parameters
    ----------
    write
        Writes a batch in one transaction, or raises and has written nothing. It is also given the number of the batch's
        last record (the first one ever put has 1), or 0 for a batch that comes from disk.
    is_outage
        Whether an error says that the database is away, rather than that a record is bad.
    capacity
        Records that may wait.
    tally
        Where to count what is taken and settled.
    spills
        Where to keep records on disk. The first is this writer's own; others, which ended processes left behind, are
        written before anything else and then removed.
    chore
        Something to do on the thread now and then, at the beginning and every hour.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T], int], None],
        is_outage: Callable[[Exception], bool],
        capacity: int = 10_000,
        *,
        tally: Tally | None = None,
        spills: Sequence[Spill[T]] = (),
        chore: Callable[[], object] | None = None,
    ) -> None:
        self._write, self._is_outage = write, is_outage
        # Unbounded itself, for the marks of a flush must get in when it is full of records.
        self._queue: queue.Queue[T | threading.Event] = queue.Queue()
        self._capacity = capacity
        self._tally = tally
        self._own = spills[0] if spills else None
        self._spills = [*spills[1:], *spills[:1]]
        self._chore, self._chore_at = chore, time.monotonic()
        self._lock = threading.Lock()
        self._writing, self._paused = threading.Lock(), False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._closed = False
        self._taken = 0
        self._held: list[T] = []
        self._drawn = 0
        """Number of the last record that was drawn from the queue; those in ``_held`` end with it."""
        self._marks: list[threading.Event] = []
        self._away = False
        self._dropped = 0
        self._warn_at = 1
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="emafusion-store", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Records that were not written: the queue was full, the row was refused, or the database stayed away."""
        return self._dropped

    @property
    def away(self) -> bool:
        """Whether the database could not be written at the last attempt."""
        return self._away

    @property
    def idle(self) -> bool:
        """Whether nothing waits, in memory or on disk."""
        return self._queue.empty() and not self._held and not any(self._spills)

    def put(self, record: T) -> bool:
        """Queue a record; False if it was dropped."""
        if self._closing.is_set():
            self._drop(1, "the store is closed")
            return False
        with self._lock:
            waiting = self._queue.qsize()
            if waiting < self._capacity:
                self._taken += 1
                if self._tally is not None:
                    self._tally.taken = self._taken
                self._queue.put(record)
        if waiting >= SPILL_AT * self._capacity:
            self._wake.set()
        if waiting >= self._capacity:
            self._drop(1, f"{self._capacity} records are waiting already")
            return False
        return True

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until all that was queued before is written; False if that took longer than ``timeout`` seconds."""
        if not self._thread.is_alive():
            return self.idle
        mark = threading.Event()
        self._queue.put(mark)
        until = time.monotonic() + timeout
        while not mark.wait(max(0.0, min(0.1, until - time.monotonic()))):
            if not self._thread.is_alive():
                return self.idle
            if time.monotonic() >= until:
                return False
        return True

    def close(self, timeout: float = 10.0) -> None:
        """Write what is left and end the thread. Safe to call twice."""
        self._deadline = min(self._deadline, time.monotonic() + timeout)
        self._closing.set()
        self._queue.put(threading.Event())  # wakes the thread
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout + 1.0)
        if self._dropped and not self._closed:
            log.warning("emafusion: the store is closed, and lost %d record(s) in its time", self._dropped)
        self._closed = True

    def pause(self, timeout: float = 5.0) -> None:
        """Keep the thread from the database until :meth:`resume`, once it has done what it is at, or time is up."""
        self._paused = self._writing.acquire(timeout=timeout)

    def resume(self) -> None:
        """Let the thread go on."""
        if self._paused:
            self._paused = False
            self._writing.release()

    # -- on the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            spill = next((s for s in self._spills if s), None)
            if spill is None and not self._held:
                self._answer_marks()
                if self._closing.is_set() and self._queue.empty():
                    return
                self._draw(wait=True)
            if time.monotonic() >= self._deadline and (self._away or self._own is not None):
                self._give_up()
                return
            if not (self._write_from(spill) if spill is not None else self._write_held()):
                self._rest(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause, self._away = FIRST_PAUSE, False
            if spill is not None and self._queue.qsize() >= SPILL_AT * self._capacity:
                self._overflow()  # what came meanwhile belongs behind what is on disk
            self._do_chore()

    def _draw(self, *, wait: bool = False) -> None:
        """Take records from the queue into the batch that is held, up to its size."""
        while len(self._held) < BATCH:
            try:
                item = self._queue.get(timeout=self._until_chore()) if wait else self._queue.get_nowait()
            except queue.Empty:
                return
            wait = False
            if isinstance(item, threading.Event):
                self._marks.append(item)
            else:
                self._held.append(item)
                self._drawn += 1

    def _answer_marks(self) -> None:
        for mark in self._marks:
            mark.set()
        self._marks = []

    def _write_held(self) -> bool:
        """Write the batch that is held; False if the database is away."""
        written = self._settle(self._held, self._drawn)
        del self._held[:written]
        return not self._held

    def _write_from(self, spill: Spill[T]) -> bool:
        """Write the oldest batch on disk; False if the database is away."""
        try:
            batch = spill.oldest(BATCH)
        except OSError as error:
            self._complain("the store's spill cannot be read, trying again", error)
            return False
        written = self._settle(batch, 0)
        spill.forget(written)
        return written == len(batch)

    def _settle(self, batch: Sequence[T], last: int) -> int:
        """How many from the front are written, or refused for good; fewer than all when the database is away."""
        if not batch:
            return 0
        try:
            with self._writing:
                self._write(batch, last)
        except Exception as error:
            if self._is_outage(error):
                self._complain("the store cannot be written, trying again", error)
                return 0
            if len(batch) > 1:  # find the record that is at fault
                return self._settle_one_by_one(batch, last)
            self._drop(1, f"the database refuses it: {type(error).__name__}: {error}")
        if self._tally is not None and last:
            self._tally.settled = last
        return len(batch)

    def _settle_one_by_one(self, batch: Sequence[T], last: int) -> int:
        for i, record in enumerate(batch):
            if not self._settle([record], last and last - len(batch) + 1 + i):
                return i
        return len(batch)

    def _complain(self, what: str, error: Exception) -> None:
        if not self._away:  # once an outage
            log.warning("emafusion: %s: %s", what, _first_line(error))
        self._away = True

    def _rest(self, pause: float) -> None:
        """Wait before the next attempt, and meanwhile see that the queue does not fill up."""
        until = time.monotonic() + pause
        closing = self._closing.is_set()
        while (left := min(until, self._deadline) - time.monotonic()) > 0:
            if closing:
                time.sleep(left)
                return
            crowded = self._queue.qsize() >= SPILL_AT * self._capacity
            if self._own is not None and (self._own or crowded) and not self._overflow():
                self._closing.wait(left)
                return
            self._wake.clear()
            self._wake.wait(left)
            if self._closing.is_set():
                return

    def _overflow(self) -> bool:
        """Move what is held and queued to disk; False if the disk does not take it, so that it stays in memory.

        Then the queue fills up, and what comes after that is dropped.
        """
        spill = self._own
        if spill is None:
            return False
        while True:
            self._draw()
            if not self._held:
                return True
            try:
                if not spill.append(self._held, self._drawn - len(self._held) + 1):
                    return False
            except Exception as error:  # the disk is full, or a record is not what it should be
                log.warning("emafusion: the store cannot spill to %s: %s", spill.path, _first_line(error))
                return False
            if self._tally is not None:
                self._tally.settled = self._drawn
            self._held = []

    def _give_up(self) -> None:
        """Closing took too long: what is left goes to disk for the next process, or is lost."""
        self._overflow()
        if self._own:
            log.warning(
                "emafusion: the database is away; records wait in %s for the next process that opens this store",
                self._own.path,
            )
        while self._held:
            self._drop(len(self._held), "the database is away, and the store is closed")
            if self._tally is not None:
                self._tally.settled = self._drawn
            self._held = []
            self._draw()

    def _until_chore(self) -> float | None:
        return None if self._chore is None else max(0.0, self._chore_at - time.monotonic())

    def _do_chore(self) -> None:
        if self._chore is None or time.monotonic() < self._chore_at or self._closing.is_set():
            return
        self._chore_at = time.monotonic() + CHORE_EVERY
        try:
            with self._writing:
                self._chore()
        except Exception as error:
            log.warning("emafusion: the store could not be pruned: %s", _first_line(error))

    def _drop(self, count: int, why: str) -> None:
        with self._lock:
            self._dropped += count
            total = self._dropped
            loud = total >= self._warn_at
            if loud:  # every drop in a log would be a flood: at 1, 2, 4, 8, ...
                while self._warn_at <= total:
                    self._warn_at *= 2
        if loud:
            log.warning("emafusion: the store dropped %d record(s) so far: %s", total, why.splitlines()[0])


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
