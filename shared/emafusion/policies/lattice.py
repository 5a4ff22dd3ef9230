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
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Tries:
    """Tries from the states of one level that lead to others of the lattice.

    Attributes
    ----------
    place : slice
        Theirs in :attr:`Lattice.ahead`.
    state, candidate : int (e,)
    children : int (C + 1, e)
        States that the answer can lead to, padded with -1.
    """

    place: slice
    state: NDArray[np.int64]
    candidate: NDArray[np.int64]
    children: NDArray[np.int64]


class Lattice:
    """States reachable by trying up to ``depth`` of ``k`` candidates, best buys first, when ``clusters`` groups of
    answers exist.

    Attributes
    ----------
    member, untried : bool (k, S)
        Which candidates have been tried in a state, and which have not.
    label : int (S, k)
        Their group: ``0 .. clusters-1`` existing, ``clusters ..`` new ones in order of appearance, -1 not tried.
    joined : bool (C, S, k)
        ``label == c`` for each of the ``C = clusters + depth`` groups.
    level : int (S,)
        How many were tried; states are sorted by it, state 0 is now.
    children : int (S, k, C + 1)
        State reached when candidate j's answer falls into group c; padded with -1.
    following : list of list of tuple
        The same by state and candidate, without the padding.
    tried : int (E,)
        Candidates of all :attr:`tries`.
    ahead : int (C + 1, E)
        The states that all :attr:`tries` can lead to, padded with -1.
    spans : list of slice
        The states of each level.
    tries : list of Tries
        For each level but the last, the candidates whose trying leads to states of the lattice. Any other's answer can
        only be accepted unseen.
    paths : (2 k + clusters + 1, (C + 1) S)
        Which terms make up the log weight of (right group, state), group 0: none. The terms are each candidate's gain
        by being in the right group, its weight outside, the weight of each existing group so far, and of none.
    own : int (k, S)
        Place of (candidate, its group, state) in an array (k (C + 1) S); where not tried, that of the group "none".
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
        self.member: NDArray[np.bool_] = self.label.T >= 0
        self.untried: NDArray[np.bool_] = ~self.member
        self.level = self.member.sum(0)
        self.joined: NDArray[np.float64] = (self.label[None] == np.arange(groups)[:, None, None]).astype(np.float64)
        self.children = np.full((self.size, k, groups + 1), -1, dtype=np.int64)
        known = set(sets)
        for i, (members, labels) in enumerate(states):
            used = max((*labels, clusters - 1)) + 1
            for j in range(k):
                if j not in members and tuple(sorted((*members, j))) in known:
                    for c in range(used + 1):
                        self.children[i, j, c] = index[self._with(members, labels, j, c)]
        edges = np.searchsorted(self.level, np.arange(self.depth + 2)).tolist()
        self.spans = [slice(start, end) for start, end in pairwise(edges)]
        state, candidate = (self.children >= 0).any(2).nonzero()
        self.tried = candidate
        self.ahead: NDArray[np.int64] = self.children[state, candidate].T.copy()
        self.tries = [
            Tries(slice(start, end), state[start:end], candidate[start:end], self.ahead[:, start:end].copy())
            for start, end in pairwise(np.searchsorted(state, edges[:-1]).tolist())
        ]
        self.following = [[tuple(c for c in after if c >= 0) for after in tries] for tries in self.children.tolist()]
        self.paths = self._paths(groups)
        group = np.arange(k)[:, None] * (groups + 1) + self.label.T + 1
        self.own = group * self.size + np.arange(self.size)

    def _paths(self, groups: int) -> NDArray[np.float64]:
        base = np.full(groups + 1, self.clusters)
        base[1 : self.clusters + 1] = np.arange(self.clusters)
        paths = np.zeros((2 * self.k + self.clusters + 1, groups + 1, self.size))
        paths[: self.k, 1:] = self.joined.transpose(2, 0, 1)
        paths[self.k : 2 * self.k] = self.member[:, None]
        paths[2 * self.k + base, np.arange(groups + 1)] = 1.0
        return paths.reshape(len(paths), -1)

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
