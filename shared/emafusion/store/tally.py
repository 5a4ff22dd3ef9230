"""`Tally`: how many records a process has taken and how many it has settled, kept where a killed process leaves it.

The counts are in a small file that is mapped into memory. Writing them costs a memory access; the pages belong to the
operating system, so they outlive the process (though not a loss of power). The file is locked for as long as the
process lives, so whoever can lock it knows that its process has ended.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from emafusion.errors import ConfigError

__all__ = ["Tally"]

COUNTS = struct.Struct("<8sQQ")
MAGIC = b"ematally"
SUFFIX = ".tally"


class Tally:
    """Counts of one writer. Records are numbered from 1 in the order in which they are taken, and settled in order.

    Attributes
    ----------
    path
        The file; what the writer spills lies beside it (:attr:`spill_path`).
    token
        Identity of the writer, in its file's name and in the table ``writers``.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self._map = mmap.mmap(descriptor, COUNTS.size)

    @classmethod
    def begin(cls, folder: Path, stem: str) -> Tally:
        """A new file, locked before others can find it.

        Raises
        ------
        ConfigError
            If it cannot be made.
        """
        path = folder / f"{stem}-{uuid.uuid4().hex}{SUFFIX}"
        hidden = path if sys.platform == "win32" else path.with_suffix(".new")  # Windows renames no open file
        try:
            descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
            os.write(descriptor, COUNTS.pack(MAGIC, 0, 0))
            _lock(descriptor)
            if hidden != path:
                hidden.rename(path)
        except OSError as error:
            raise ConfigError(f"store: {str(folder)!r} must be a folder that can be written: {error}") from error
        return cls(path, descriptor)

    @classmethod
    def left_behind(cls, folder: Path, stem: str) -> Iterator[Tally]:
        """Those whose process has ended; they are now locked by this one."""
        name = re.compile(f"{re.escape(stem)}-[0-9a-f]{{32}}{re.escape(SUFFIX)}")
        for path in sorted(p for p in folder.iterdir() if name.fullmatch(p.name)):
            try:
                descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
            except OSError:  # another process was faster
                continue
            if _lock(descriptor) and _still_there(path, descriptor):
                try:
                    yield cls(path, descriptor)
                    continue
                except ValueError:  # empty: it ended before it had begun
                    path.unlink(missing_ok=True)
            os.close(descriptor)

    @property
    def token(self) -> str:
        return self.path.name.removesuffix(SUFFIX).rpartition("-")[2]

    @property
    def spill_path(self) -> Path:
        return self.path.with_suffix(".spill")

    @property
    def taken(self) -> int:
        """Number of the last record that was taken."""
        return int(COUNTS.unpack_from(self._map)[1])

    @taken.setter
    def taken(self, number: int) -> None:
        self._put(8, number)

    @property
    def settled(self) -> int:
        """Number of the last record that was written, spilled to disk, or refused with a warning."""
        return int(COUNTS.unpack_from(self._map)[2])

    @settled.setter
    def settled(self, number: int) -> None:
        self._put(16, number)

    def _put(self, offset: int, number: int) -> None:
        if not self._map.closed:  # else the store is, and a thread was late
            struct.pack_into("<Q", self._map, offset, number)

    def close(self) -> None:
        """Let go of the file, and leave it where it is."""
        if not self._map.closed:
            self._map.close()
            os.close(self._descriptor)

    def remove(self) -> None:
        """Let go of the file and delete it."""
        if sys.platform == "win32":  # where an open file cannot be deleted
            self.close()
        self.path.unlink(missing_ok=True)
        self.close()


def _still_there(path: Path, descriptor: int) -> bool:
    """Whether the file that is now locked is not one that another process has dealt with and deleted meanwhile."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # beyond the counts, for there a lock forbids others to read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        """Lock until the file is closed. (It is a lock of the open file, not of the process: two writers of one
        process exclude each other, and a forked child must close its copy.)"""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
