"""`Forks`: what must happen around a fork, for those who hold threads, connections and locks."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

__all__ = ["Forks"]


class Forked(Protocol):
    """Who wants to know of a fork."""

    def _before_fork(self) -> None: ...

    def _after_fork(self, in_child: bool) -> None: ...


class Forks:
    """Tells those that are watched, for as long as they live, of every fork of this process."""

    def __init__(self) -> None:
        self._watched: weakref.WeakSet[Forked] = weakref.WeakSet()
        self._told: list[Forked] = []
        self._lock = threading.RLock()  # two threads may fork at the same time
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def watch(self, forked: Forked) -> None:
        """Tell it from now on."""
        self._watched.add(forked)

    def _before(self) -> None:
        self._lock.acquire()
        self._told = list(self._watched)
        for forked in self._told:
            forked._before_fork()

    def _in_parent(self) -> None:
        self._after(in_child=False)

    def _in_child(self) -> None:
        self._after(in_child=True)

    def _after(self, in_child: bool) -> None:
        for forked in self._told:
            forked._after_fork(in_child)
        self._told = []
        self._lock.release()
