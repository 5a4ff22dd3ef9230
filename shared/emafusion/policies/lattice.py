"""The lattice of what could still be learned: sets of further candidates, and every way their answers could agree with
each other and with the answers at hand.

A belief about which answer is right depends on *which* candidates ran and *how their answers group*, not on the order.
So the future of a request is a lattice. All sets of several candidates would be too many, and two calls ahead are too
few: one more vote seldom turns a decision that three more would turn. So the sets looked at are those that a sensible
cascade visits: the best buys one after the other, alone or after one or two of the dear candidates. That is small
enough to solve exactly: 49 states for five candidates and four calls. A :class:`Lattice` is the shape alone, built
once; :mod:`emafusion.policies.planning` puts numbers on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lattice", "lattice"]


def _sets(k: int, depth: int) -> list[tuple[int, ...]]:
    """Sets of candidates that are foreseen, by size: none and each alone; the first ones up to ``depth``; and, up to
    one less, the last, the last but one and both of them together with the first ones."""
    found = {(), *((j,) for j in range(k) if depth)}
    found |= {tuple(range(size)) for size in range(min(depth, k) + 1)}
    for dear in ((k - 1,), (k - 2,), (k - 2, k - 1)):
        most = min(depth - 1 - len(dear), k - 2)
        found |= {(*range(size), *dear) for size in range(most + 1)} if dear[0] >= 0 else set()
    return sorted(found, key=lambda members: (len(members), members))


class Lattice:
    """States reachable by trying up to ``depth`` of ``k`` candidates, best buys first, when ``clusters`` groups of
    answers exist.

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
    foreseen : bool (S, k)
        Whether trying candidate j leads to states of the lattice; if not, its answer can only be accepted unseen.
    reached : int (S, k, C + 1)
        The same, padded with 0: an index that is always valid.
    spans : list of slice
        The states of each level.
    """

    def __init__(self, k: int, clusters: int, depth: int) -> None:
        sets = _sets(k, depth)
        self.k, self.clusters, self.depth = k, clusters, len(sets[-1])
        states = [(members, labels) for members in sets for labels in self._labelings(len(members))]
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
        known = set(sets)
        for i, (members, labels) in enumerate(states):
            used = max((*labels, clusters - 1)) + 1
            for j in range(k):
                if j not in members and tuple(sorted((*members, j))) in known:
                    for c in range(used + 1):
                        self.children[i, j, c] = index[self._with(members, labels, j, c)]
        self.foreseen: NDArray[np.bool_] = np.asarray((self.children >= 0).any(2))
        self.reached = np.maximum(self.children, 0)
        edges = np.searchsorted(self.level, np.arange(self.depth + 2)).tolist()
        self.spans = [slice(start, end) for start, end in pairwise(edges)]

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
