"""Folds in which copies of a prompt stay together, so that no forecast is ever tested on what it has seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NOT_WORD: Final = re.compile(r"[\W_]+")


def groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """Number the texts so that two which differ in case, spacing or punctuation only share a number."""
    seen: dict[str, int] = {}
    keys = (_NOT_WORD.sub(" ", text.casefold()).strip() or text for text in texts)
    return np.fromiter((seen.setdefault(key, len(seen)) for key in keys), dtype=np.int64, count=len(texts))


def fold_of(group: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal whole groups into folds of nearly equal size, the large groups first.

    Returns
    -------
    ndarray of shape (n,)
        The fold of each row, in 0 .. folds - 1.
    """
    sizes = np.bincount(group)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    large = int((sizes > 1).sum())
    fold = np.empty(len(sizes), dtype=np.int64)
    load = np.zeros(folds, dtype=np.int64)
    for number in order[:large]:
        fold[number] = load.argmin()
        load[fold[number]] += sizes[number]
    singles = len(order) - large
    if singles:
        # Single rows fill the folds up to the same level, in one step.
        level = -(-int(sizes.sum()) // folds)
        room = np.repeat(np.arange(folds), np.maximum(level - load, 0))
        room = np.concatenate([room, np.arange(max(singles - len(room), 0)) % folds])
        picked = np.random.default_rng(seed + 1).permutation(room)[:singles]
        fold[order[large:]] = picked
    return fold[group]
