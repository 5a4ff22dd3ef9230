"""`Recent`: the last so many things by key, for many threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Recent"]

V = TypeVar("V")


class Recent(Generic[V]):
    """A bounded mapping from strings; what was put in longest ago goes first.

    Examples
    --------
    >>> recent = Recent[int](2)
    >>> for n, key in enumerate("abc"):
    ...     recent.put(key, n)
    >>> recent.get("a"), recent.get("c"), "b" in recent
    (None, 2, True)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: str, value: V) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)

    def get(self, key: str) -> V | None:
        with self._lock:
            return self._kept.get(key)

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None
