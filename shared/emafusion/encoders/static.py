"""The noun here is the `StaticEncoder`: one int8 vector a token, averaged; numpy only, no network, under a millisecond.

The table is distilled from all-MiniLM-L6-v2 by `build_static`; it is read on the first use, never at import.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from emafusion.encoders.base import unit_rows
from emafusion.encoders.wordpiece import WordPiece
from emafusion.errors import ArtefactError

__all__ = ["DEFAULT_TABLE", "StaticEncoder"]

DEFAULT_TABLE = Path(__file__).with_name("static_minilm_256.npz")

# A long text is read at both ends: instructions stand first or last, the middle is mostly material.
_END_TOKENS = 256
_END_CHARACTERS = 8 * _END_TOKENS


class StaticEncoder:
    """Weighted mean of token vectors, distilled from a sentence transformer (the idea of Model2Vec, Minish Lab 2024).

    Parameters
    ----------
    path : path-like, optional
        Table written by ``python -m emafusion.encoders.build_static``; the shipped one unless given.

    Attributes
    ----------
    identity : str
        ``"{name}@{first 12 hex digits of the table's SHA-256}"``: another table is another encoder.
    dim : int
        Width of a vector, 256 for the shipped table.

    Notes
    -----
    Text is read as uncased WordPiece tokens, first and last 256 of them. Scale and frequency weight of a token are
    folded into one number per row, so that a text costs one gather and one vector-matrix product.

    Raises
    ------
    ArtefactError
        On the first use, when the table is missing or is not one of ours.

    Examples
    --------
    >>> encoder = StaticEncoder()
    >>> vectors = encoder.encode(["What is 2 + 2?", ""])
    >>> vectors.shape, round(float(vectors[0] @ vectors[0]), 3), float(vectors[1] @ vectors[1])
    ((2, 256), 1.0, 0.0)
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = Path(path) if path is not None else DEFAULT_TABLE
        self._table: _Table | None = None
        self._lock = Lock()

    @property
    def identity(self) -> str:
        return self._loaded().identity

    @property
    def dim(self) -> int:
        return int(self._loaded().vectors.shape[1])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into shape (n, dim), rows of L2 norm 1 (0 for a text without tokens)."""
        if isinstance(texts, str):
            raise TypeError("encode takes a sequence of texts, not one text: write encode([text])")
        table = self._loaded()
        rows = np.zeros((len(texts), table.vectors.shape[1]), dtype=np.float32)
        for row, text in zip(rows, texts):
            ids = np.asarray(_ends(table.tokenizer, text), dtype=np.intp)
            if ids.size:
                np.matmul(table.scales[ids], table.vectors[ids].astype(np.float32), out=row)
        return unit_rows(rows) if len(rows) else rows

    def _loaded(self) -> _Table:
        if self._table is None:
            with self._lock:
                if self._table is None:
                    self._table = _Table(self._path)
        return self._table


class _Table:
    """A table in memory: int8 vectors (v, dim), float32 scales (v,), and the tokenizer over its vocabulary."""

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                self.vectors: NDArray[np.int8] = arrays["vectors"]
                self.scales: NDArray[np.float32] = arrays["scales"]
                vocabulary = arrays["vocabulary"].tobytes()
                name = arrays["name"].tobytes().decode()
        except (OSError, ValueError, KeyError) as error:
            raise ArtefactError(
                f"{path} is not a static encoder table ({error}); reinstall emafusion, or build one with "
                "`python -m emafusion.encoders.build_static`"
            ) from error
        tokens = vocabulary.decode().split("\n")
        if not self.vectors.ndim == 2 or not len(tokens) == len(self.vectors) == len(self.scales):
            raise ArtefactError(f"{path}: {len(tokens)} tokens, {len(self.vectors)} vectors, {len(self.scales)} scales")
        self.tokenizer = WordPiece(tokens)
        digest = hashlib.sha256(vocabulary)
        digest.update(np.ascontiguousarray(self.vectors).data)
        digest.update(np.ascontiguousarray(self.scales).data)
        self.identity = f"{name}@{digest.hexdigest()[:12]}"


def _ends(tokenizer: WordPiece, text: str) -> list[int]:
    if len(text) <= 2 * _END_CHARACTERS:
        ids = tokenizer.encode(text)
        return ids if len(ids) <= 2 * _END_TOKENS else ids[:_END_TOKENS] + ids[-_END_TOKENS:]
    first = tokenizer.encode(text[:_END_CHARACTERS])[:_END_TOKENS]
    return first + tokenizer.encode(text[-_END_CHARACTERS:])[-_END_TOKENS:]
