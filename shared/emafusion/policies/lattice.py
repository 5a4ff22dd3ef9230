"""The lattice of what could still be learned: every small set of further candidates, and every way their answers
could agree with each other and with the answers at hand.

A belief about which answer is right depends on *which* candidates ran and *how their answers group*, not on the order.
So the future of a request is a lattice, small enough to solve exactly: 137 states for six candidates and three steps.
A :class:`Lattice` is the shape alone, built once; :mod:`emafusion.policies.planning` puts numbers on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lattice", "lattice"]


class Lattice:
    """States reachable by trying up to ``depth`` of ``k`` candidates when ``clusters`` groups of answers exist.

    Attributes
    ----------
    member : bool (S, k)
        Which candidates have been tried in a state.
    label : int (S, k)
        Their group: ``0 .. clusters-1`` existing, ``clusters ..`` new ones in order of appearance, -1 not tried.
    joined : bool (C, S, k)
        ``label == c`` for each of the ``C = clusters + depth`` groups.
    level : int (S,)
        How many were tried; states are sorted by it, state 0 is now.
    children : int (S, k, C + 1)
        State reached when candidate j's answer falls into group c; padded with -1.
    reached : int (S, k, C + 1)
        The same, padded with 0: an index that is always valid.
    spans : list of slice
        The states of each level.
    """

    def __init__(self, k: int, clusters: int, depth: int) -> None:
        self.k, self.clusters, self.depth = k, clusters, min(depth, k)
        states = [s for size in range(self.depth + 1) for s in self._states(size)]
        index = {s: i for i, s in enumerate(states)}
        groups = clusters + self.depth
        self.size = len(states)
        self.label = np.full((self.size, k), -1, dtype=np.int64)
        for i, (members, labels) in enumerate(states):
            self.label[i, list(members)] = labels
        self.member: NDArray[np.bool_] = self.label >= 0
        self.level = self.member.sum(1)
        self.joined: NDArray[np.float64] = (self.label[None] == np.arange(groups)[:, None, None]).astype(np.float64)
        self.children = np.full((self.size, k, groups + 1), -1, dtype=np.int64)
        for i, (members, labels) in enumerate(states):
            if len(members) == self.depth:
                continue
            used = max((*labels, clusters - 1)) + 1
            for j in set(range(k)) - set(members):
                for c in range(used + 1):
                    self.children[i, j, c] = index[self._with(members, labels, j, c)]
        self.reached = np.maximum(self.children, 0)
        edges = np.searchsorted(self.level, np.arange(self.depth + 2)).tolist()
        self.spans = [slice(start, end) for start, end in pairwise(edges)]

    def _states(self, size: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        for members in itertools.combinations(range(self.k), size):
            for labels in self._labelings(size):
                yield members, labels

    def _labelings(self, size: int) -> Iterator[tuple[int, ...]]:
        """Restricted growth strings over the existing groups plus new ones."""

        def grow(prefix: tuple[int, ...], used: int) -> Iterator[tuple[int, ...]]:
            if len(prefix) == size:
                yield prefix
                return
            for c in range(used + 1):
                yield from grow((*prefix, c), max(used, c + 1))

        yield from grow((), self.clusters)

    def _with(
        self, members: tuple[int, ...], labels: tuple[int, ...], j: int, c: int
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Add candidate ``j`` in group ``c`` and renumber the new groups by first member."""
        by_member = dict(zip(members, labels)) | {j: c}
        order = tuple(sorted(by_member))
        rename: dict[int, int] = {}
        out = []
        for member in order:
            old = by_member[member]
            out.append(old if old < self.clusters else rename.setdefault(old, self.clusters + len(rename)))
        return order, tuple(out)


@lru_cache(maxsize=256)
def lattice(k: int, clusters: int, depth: int) -> Lattice:
    """The shared instance for this shape (immutable, so safely shared between threads)."""
    return Lattice(k, clusters, depth)
