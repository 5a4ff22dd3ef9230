"""Hashed word and character n-grams of a query, computed for a whole batch with array arithmetic.

Every n-gram is a window of bytes; its hash is the difference of two prefix sums of a polynomial over the bytes
(Karp and Rabin, 1987), so no Python loop runs over words or characters. Digits count as one symbol: `17` and `42` are
both "a number of two digits".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.text_features import clip_text

WORD_BITS: Final = 12
CHAR_BITS: Final = 12
DIMENSIONS: Final = (1 << WORD_BITS) + (1 << CHAR_BITS)
CHAR_ORDERS: Final = (4,)
CHUNK: Final = 64
MAX_CHARS: Final = 6_000

_BASE: Final = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_INVERSE: Final = pow(_BASE, -1, 1 << 64)
_MIX: Final = np.uint64(0xFF51AFD7ED558CCD)
_PAIR: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_SEPARATOR: Final = 0


def _byte_tables() -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    folded = np.arange(256, dtype=np.uint64)
    folded[ord("A") : ord("Z") + 1] += np.uint64(32)
    folded[ord("0") : ord("9") + 1] = ord("0")
    kind = np.full(256, 2, dtype=np.uint8)  # 0 space, 1 inside a word, 2 a symbol on its own
    kind[[_SEPARATOR, *b" \t\r\n\f\v"]] = 0
    kind[[*b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", *range(128, 256)]] = 1
    return folded + np.uint64(1), kind


_FOLDED, _KIND = _byte_tables()
_BEFORE: Final = np.array([-1], dtype=np.int64)


class _Powers:
    """Powers of the base and of its inverse modulo 2**64, grown on demand."""

    def __init__(self) -> None:
        self._up, self._down = self._make(8192)

    @staticmethod
    def _make(length: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        up = np.full(length, _BASE, dtype=np.uint64)
        down = np.full(length, _INVERSE, dtype=np.uint64)
        up[0] = down[0] = 1
        return np.cumprod(up), np.cumprod(down)

    def __call__(self, length: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        up, down = self._up, self._down
        if len(up) < length:
            up, down = self._make(2 * length)
            self._up, self._down = up, down
        return up[:length], down[:length]


_POWERS = _Powers()


def _mix(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashes = hashes ^ (hashes >> np.uint64(33))
    hashes *= _MIX
    hashes ^= hashes >> np.uint64(29)
    hashes *= _PAIR
    return hashes


@dataclass(frozen=True, slots=True)
class Counts:
    """What n texts hold, without the zeros: text i has entries ``edges[i]`` to ``edges[i + 1]``."""

    places: NDArray[np.intp]
    """Columns, ascending in a text: words and pairs of adjacent words in the first half of ``DIMENSIONS``, runs of four
    characters in the second."""
    counts: NDArray[np.float32]
    edges: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.edges) - 1


def ngram_counts(texts: Sequence[str]) -> Counts:
    """Count the hashed n-grams of a small batch of texts."""
    encoded = [clip_text(text, MAX_CHARS).encode("utf-8", "replace") for text in texts]
    joined = np.frombuffer(b"\0".join(encoded) + b"\0", dtype=np.uint8)
    up, down = _POWERS(len(joined) + 1)
    prefix = np.zeros(len(joined) + 1, dtype=np.uint64)
    np.cumsum(_FOLDED.take(joined) * up[:-1], out=prefix[1:])

    kind = _KIND.take(joined)
    word, alone = kind == 1, kind == 2
    # A word starts and ends where being inside one changes; the last byte is always outside.
    starts, ends = alone.copy(), alone.copy()
    starts[0] |= word[0]
    starts[1:] |= word[1:] > word[:-1]
    ends[:-1] |= word[:-1] > word[1:]
    first, last = starts.nonzero()[0], ends.nonzero()[0] + 1
    words = (prefix.take(last) - prefix.take(first)) * down.take(first)
    pairs = words[:-1] * _PAIR + words[1:]
    runs = [(prefix[order:] - prefix[:-order]) * down[: max(len(prefix) - order, 0)] for order in CHAR_ORDERS]
    places = [_bucket(words, WORD_BITS), _bucket(pairs, WORD_BITS)]
    places += [_bucket(run, CHAR_BITS) + (1 << WORD_BITS) for run in runs]
    if len(texts) > 1:
        places = _apart(places, encoded, first)
    # Between a place before all others and one behind them, every run of equal places is one n-gram.
    ordered = np.concatenate([_BEFORE, *places, [len(texts) * DIMENSIONS]])
    ordered.sort()
    edges = (ordered[1:] != ordered[:-1]).nonzero()[0]
    found, counts = ordered[edges[1:]], (edges[1:] - edges[:-1]).astype(np.float32)
    if len(texts) == 1:
        return Counts(found, counts, np.array([0, len(found)]))
    edges = np.searchsorted(found, np.arange(len(texts) + 1) * DIMENSIONS)
    return Counts(found % DIMENSIONS, counts, edges)


def _bucket(hashes: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    return np.asarray((_mix(hashes) >> np.uint64(64 - bits)).view(np.int64))


def _apart(
    places: Sequence[NDArray[np.int64]], encoded: Sequence[bytes], first: NDArray[np.intp]
) -> list[NDArray[np.int64]]:
    """Move the places of each text to a range of its own, and drop n-grams that reach from one text into the next."""
    lengths = np.fromiter((len(text) + 1 for text in encoded), dtype=np.int64, count=len(encoded))
    document = np.repeat(np.arange(len(encoded)) * DIMENSIONS, lengths)
    words, pairs, *runs = places
    owner = document[first]
    out = [owner + words, (owner[:-1] + pairs)[owner[1:] == owner[:-1]]]
    for order, run in zip(CHAR_ORDERS, runs):
        begin = document[: len(run)]
        out.append((begin + run)[document[order - 1 :] == begin])
    return out


def count_chunks(texts: Sequence[str], size: int = CHUNK) -> Iterator[tuple[slice, Counts]]:
    """Yield the counts of consecutive slices of ``texts``: a large batch is never counted in one dense array."""
    for start in range(0, len(texts), size):
        rows = slice(start, min(start + size, len(texts)))
        yield rows, ngram_counts(texts[rows])
