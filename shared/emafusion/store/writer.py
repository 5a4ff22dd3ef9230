"""The writer: a bounded queue and one thread that empties it into the database in batches.

* ``put`` never waits and never raises: when the queue is full the record is dropped, counted and warned about.
* While the database is away the batch is kept and tried again; what is queued meanwhile waits.
* A row that the database refuses is dropped alone, not with its batch.
* ``close`` writes what is left, or says how much it had to give up.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["Writer"]

T = TypeVar("T")

BATCH = 500
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0

log = logging.getLogger("emafusion")


class Writer(Generic[T]):
    """Hands queued records to ``write`` in batches, in order, on a thread of its own.

    Parameters
    ----------
    write
        Writes a batch in one transaction, or raises and has written nothing.
    is_outage
        Whether an error says that the database is away, rather than that a record is bad.
    capacity
        Records that may wait.
    """

    def __init__(
        self, write: Callable[[Sequence[T]], None], is_outage: Callable[[Exception], bool], capacity: int = 10_000
    ) -> None:
        self._write, self._is_outage = write, is_outage
        # Unbounded itself, for the marks of a flush must get in when it is full of records.
        self._queue: queue.Queue[T | threading.Event] = queue.Queue()
        self._capacity = capacity
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="emafusion-store", daemon=True)
        self._dropped = 0
        self._warn_at = 1
        self._deadline = float("inf")
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Records that were not written: the queue was full, the row was refused, or the database stayed away."""
        return self._dropped

    def put(self, record: T) -> bool:
        """Queue a record; False if it was dropped."""
        if self._queue.qsize() >= self._capacity or self._closing.is_set():
            why = "the store is closed" if self._closing.is_set() else f"{self._capacity} records are waiting already"
            self._drop(1, why)
            return False
        self._queue.put(record)
        return True

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until all that was queued before is written; False if that took longer than ``timeout`` seconds."""
        if not self._thread.is_alive():
            return self._queue.empty()
        mark = threading.Event()
        self._queue.put(mark)
        return mark.wait(timeout)

    def close(self, timeout: float = 10.0) -> None:
        """Write what is left and end the thread. Safe to call twice."""
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._queue.put(threading.Event())  # wakes the thread
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout + 1.0)
        if self._dropped and not self._closed:
            log.warning("emafusion: the store is closed, and lost %d record(s) in its time", self._dropped)
        self._closed = True

    # -- on the thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch, marks = self._next_batch()
            if batch:
                self._persist(batch)
            for mark in marks:
                mark.set()
            if self._closing.is_set() and self._queue.empty():
                return

    def _next_batch(self) -> tuple[list[T], list[threading.Event]]:
        batch: list[T] = []
        marks: list[threading.Event] = []
        item = self._queue.get()
        while True:
            if isinstance(item, threading.Event):
                marks.append(item)
            else:
                batch.append(item)
            if len(batch) >= BATCH:
                return batch, marks
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, marks

    def _persist(self, batch: list[T]) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                self._write(batch)
                return
            except Exception as error:
                if not self._is_outage(error):
                    if len(batch) == 1:
                        self._drop(1, f"the database refuses it: {type(error).__name__}: {error}")
                    else:  # find the record that is at fault
                        for record in batch:
                            self._persist([record])
                    return
                if self._closing.is_set() and time.monotonic() >= self._deadline:
                    self._drop(len(batch), f"the database is away: {type(error).__name__}: {error}")
                    return
                if pause == FIRST_PAUSE:
                    log.warning("emafusion: the store cannot be written, trying again: %s", _first_line(error))
            # While closing, the end of the wait is the deadline, not the event, which is set already.
            left = self._deadline - time.monotonic()
            if self._closing.is_set():
                time.sleep(max(0.0, min(pause, left)))
            else:
                self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

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
