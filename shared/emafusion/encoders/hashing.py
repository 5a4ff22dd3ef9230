"""The noun here is the `HashingEncoder`: signed hashed word and character n-grams; nothing to fit, nothing to ship."""

from __future__ import annotations

import re
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = ["HashingEncoder"]

_VERSION = 1  # Raise it when the features change: it is part of the identity.
_WORD = re.compile(r"\w+|[^\w\s]")
_SPACES = re.compile(r"\s+")
_PRIME = np.uint32(0x01000193)
_LONGEST = 20_000  # characters read of a text, half from each end


class HashingEncoder:
    """Hashed word 1-2-grams and character 3-5-grams with signs (Weinberger et al. 2009), damped, L2-normalised.

    It knows no meaning, but sees what a semantic encoder smooths away: digits, operators, punctuation, formatting.
    Every script works, for characters are Unicode code points.

    Parameters
    ----------
    dim : int
        Number of buckets; at least 2.
    characters : bool
        Whether to hash character n-grams too, or words only.

    Notes
    -----
    Hashes are CRC-32 for words and an FNV-like polynomial for characters, so vectors are the same in every process and
    on every machine. Damping is sign(c) * log(1 + |c|): a word that occurs ten times is not ten times as telling.

    Examples
    --------
    >>> encoder = HashingEncoder(dim=64)
    >>> encoder.identity, encoder.encode(["one text"]).shape
    ('hashing-w12-c345-v1-64', (1, 64))
    """

    def __init__(self, dim: int = 1024, *, characters: bool = True) -> None:
        if dim < 2:
            raise ValueError(f"dim must be at least 2, got {dim}")
        self._dim = dim
        self._characters = characters

    @property
    def identity(self) -> str:
        features = "w12-c345" if self._characters else "w12"
        return f"hashing-{features}-v{_VERSION}-{self._dim}"

    @property
    def dim(self) -> int:
        return self._dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into shape (n, dim), rows of L2 norm 1 (0 for a text without visible signs)."""
        if isinstance(texts, str):
            raise TypeError("encode takes a sequence of texts, not one text: write encode([text])")
        rows = np.zeros((len(texts), self._dim), dtype=np.float32)
        for row, text in zip(rows, texts):
            places, values = self.sparse(text)
            row[places] = values
        return rows

    def sparse(self, text: str) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Encode one text as the places, ascending, and the values of what is not zero; a text fills few buckets."""
        hashes = self._hashes(text if len(text) <= _LONGEST else text[: _LONGEST // 2] + text[-_LONGEST // 2 :])
        signs = 1.0 - 2.0 * (hashes >> np.uint32(31))
        counts = np.bincount(hashes % np.uint32(self._dim), weights=signs, minlength=self._dim)
        places = counts.nonzero()[0]
        counts = counts[places]
        damped = np.copysign(np.log1p(np.abs(counts)), counts)
        return places, (damped / max(float(np.sqrt(damped @ damped)), 1e-12)).astype(np.float32)

    def _hashes(self, text: str) -> NDArray[np.uint32]:
        lowered = _SPACES.sub(" ", text.lower()).strip()
        words = [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(lowered)]
        single = [crc32(word) for word in words]
        pairs = [crc32(second, crc32(b"\x00", first)) for first, second in zip(single, words[1:])]
        hashes = np.array(single + pairs, dtype=np.uint32)
        if self._characters:
            points = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
            hashes = np.concatenate([hashes, *_ngrams(points)])
        return _mixed(hashes)


_LENGTHS = (3, 4, 5)
_STARTS = np.array([[0x811C9DC5 + length] for length in _LENGTHS], dtype=np.uint32)


def _ngrams(points: NDArray[np.uint32]) -> list[NDArray[np.uint32]]:
    """Hash every run of 3, 4 and 5 code points at once: h = ((seed * P ^ c0) * P ^ c1) * P ..., modulo 2^32.

    A row for each length, of runs that start at the same places; a longer row ends sooner.
    """
    count = len(points) - min(_LENGTHS) + 1
    if count < 1:
        return []
    hashes = _STARTS ^ points[:count]
    hashes *= _PRIME
    done = []
    for offset in range(1, max(_LENGTHS)):
        if offset in _LENGTHS:
            done.append(hashes[0])
            hashes = hashes[1:, : max(count - len(done), 0)]
        hashes ^= points[offset : offset + hashes.shape[1]]
        hashes *= _PRIME
    return [*done, hashes[0]]


_13, _16, _FIRST, _SECOND = np.array([13, 16, 0x85EBCA6B, 0xC2B2AE35], dtype=np.uint32)


def _mixed(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Spread the bits (MurmurHash3's finaliser), so that buckets and signs are independent."""
    mixed: NDArray[np.uint32] = hashes ^ (hashes >> _16)
    mixed *= _FIRST
    mixed ^= mixed >> _13
    mixed *= _SECOND
    mixed ^= mixed >> _16
    return mixed
