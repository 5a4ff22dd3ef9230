"""`Spill`: records on disk, in order, for as long as the database is away."""

from __future__ import annotations

import json
import logging
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

__all__ = ["Spill"]

T = TypeVar("T")

log = logging.getLogger("emafusion")


class Spill(Generic[T]):
    """A file of JSON lines to append records to, and to read them from in the same order; deleted when it is empty.

    A line is the record's number and the record. A line that the end of a process or of the disk has torn is skipped.

    Parameters
    ----------
    path
        Where; made with the first record, readable by its owner alone.
    encode, decode
        From a record to what JSON can hold, and back.
    limit
        Bytes that it may hold.
    emptied
        Called when all records have been taken away.
    """

    def __init__(
        self,
        path: Path,
        encode: Callable[[T], dict[str, Any]],
        decode: Callable[[dict[str, Any]], T],
        limit: int,
        emptied: Callable[[], object] = lambda: None,
    ) -> None:
        self.path, self._encode, self._decode, self._limit = path, encode, decode, limit
        self._emptied = emptied
        self._size = path.stat().st_size if path.exists() else 0
        self._read = 0
        """Where the first line begins that is not in the database yet."""
        self._ends: list[int] = []
        """Where each line of the last batch that was read ends."""

    def __bool__(self) -> bool:
        return self._read < self._size

    def append(self, records: Sequence[T], first: int) -> bool:
        """Add records, the first of which has the number ``first``, and wait until the disk has them.

        Returns
        -------
        bool
            False: none was added, because there would be more bytes than allowed.

        Raises
        ------
        OSError
            If the disk does not take them; none was added then either.
        """
        lines = [
            json.dumps([first + i, self._encode(r)], ensure_ascii=False, default=str) for i, r in enumerate(records)
        ]
        added = "".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass")
        if self._size - self._read + len(added) > self._limit:
            return False
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            with open(descriptor, "ab", closefd=False) as file:
                file.write(added)
            os.fsync(descriptor)
        except OSError:
            os.truncate(descriptor, self._size)
            raise
        finally:
            os.close(descriptor)
        self._size += len(added)
        return True

    def oldest(self, count: int) -> list[T]:
        """Up to ``count`` records from the front, which stay until :meth:`forget` is called."""
        records: list[T] = []
        self._ends = []
        with open(self.path, "rb") as file:
            position = file.seek(self._read)
            while len(records) < count and position < self._size:
                line = file.readline()
                if not line:  # shorter than it was: someone else has cut it
                    self._size = position
                    break
                position += len(line)
                try:
                    records.append(self._decode(_parsed(line)[1]))
                except (ValueError, KeyError, TypeError) as error:
                    if line.endswith(b"\n"):  # else it was being written when its process ended, and is counted as lost
                        log.warning("emafusion: a line of %s cannot be read and is left out: %s", self.path, error)
                    if self._ends:
                        self._ends[-1] = position
                    else:
                        self._read = position
                    continue
                self._ends.append(position)
        if not records and self._read >= self._size:
            self._delete()
        return records

    def forget(self, count: int) -> None:
        """Take away the first ``count`` records of those that were read last: they are in the database."""
        if count:
            self._read = self._ends[count - 1]
            del self._ends[:count]
        if self._read >= self._size:
            self._delete()

    def last_number(self) -> int:
        """Number of the last whole record in the file; 0: there is none."""
        if not self._size:
            return 0
        with open(self.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            end = content.rfind(b"\n") + 1
            start = content.rfind(b"\n", 0, max(0, end - 1)) + 1
            try:
                return int(_parsed(content[start:end])[0])
            except (ValueError, TypeError):
                return 0

    def _delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self._size = self._read = 0
        self._emptied()


def _parsed(line: bytes) -> tuple[int, dict[str, Any]]:
    if not line.endswith(b"\n"):
        raise ValueError("it is torn")
    number, record = json.loads(line.decode("utf-8", "surrogatepass"))
    return number, record
