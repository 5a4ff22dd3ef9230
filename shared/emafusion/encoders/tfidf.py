"""The noun here is the `TfidfLsaEncoder`: TF-IDF n-grams reduced by LSA, fitted on the user's own texts.

scikit-learn fits it; serving and loading need numpy only.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emafusion.encoders.base import unit_rows
from emafusion.errors import ArtefactError, ConfigError

__all__ = ["TfidfLsaEncoder"]

_WORD = re.compile(r"\w+|[^\w\s]")


class TfidfLsaEncoder:
    """Words 1-2 and word-bounded characters 3-5, TF-IDF with sublinear counts, truncated SVD (Deerwester et al. 1990).

    Build it with `fit` or `load`.

    Parameters
    ----------
    terms : sequence of str
        Vocabulary, of length v.
    projection : array of shape (v, dim)
        SVD components with the inverse document frequencies folded in.
    """

    def __init__(self, terms: Sequence[str], projection: NDArray[np.float32]) -> None:
        if projection.ndim != 2 or len(terms) != len(projection):
            raise ConfigError(f"{len(terms)} terms need a projection of as many rows, got shape {projection.shape}")
        self._terms = list(terms)
        self._projection = np.ascontiguousarray(projection, dtype=np.float32)
        self._row_of = {term: row for row, term in enumerate(self._terms)}
        digest = hashlib.sha256("\n".join(self._terms).encode("utf-8", "surrogatepass"))
        digest.update(self._projection.data)
        self.identity = f"tfidf-lsa-{self.dim}@{digest.hexdigest()[:12]}"

    @property
    def dim(self) -> int:
        return int(self._projection.shape[1])

    @classmethod
    def fit(
        cls, texts: Sequence[str], *, dim: int = 128, max_terms: int = 30_000, min_count: int = 2, seed: int = 0
    ) -> TfidfLsaEncoder:
        """Fit vocabulary, inverse document frequencies and SVD on `texts` (at least 2).

        `dim` is lowered when the texts span fewer directions.
        """
        if len(texts) < 2:
            raise ConfigError(f"TF-IDF with LSA needs at least 2 texts to fit on, got {len(texts)}")
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        needed = min(min_count, len(texts))
        vectoriser = TfidfVectorizer(analyzer=_analysed, min_df=needed, max_features=max_terms, sublinear_tf=True)
        try:
            weighted = vectoriser.fit_transform(texts)
        except ValueError as error:
            raise ConfigError(f"these {len(texts)} texts share no terms; give more texts, or min_count=1") from error
        width = min(dim, min(weighted.shape) - 1)
        if width < 1:
            raise ConfigError(f"{len(texts)} texts with {weighted.shape[1]} shared terms are too few for LSA")
        svd = TruncatedSVD(width, random_state=seed).fit(weighted)
        projection = svd.components_.T * vectoriser.idf_[:, None]
        return cls(vectoriser.get_feature_names_out().tolist(), projection.astype(np.float32))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into shape (n, dim), rows of L2 norm 1 (0 for a text without known terms)."""
        if isinstance(texts, str):
            raise TypeError("encode takes a sequence of texts, not one text: write encode([text])")
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts):
            found = [(self._row_of[term], n) for term, n in Counter(_analysed(text)).items() if term in self._row_of]
            if found:
                index, counts = np.array(found).T
                np.matmul((1.0 + np.log(counts)).astype(np.float32), self._projection[index], out=row)
        return unit_rows(rows) if len(rows) else rows

    def save(self, path: str | Path) -> None:
        """Write the encoder as an .npz of plain arrays (no pickle)."""
        with open(path, "wb") as file:
            terms = np.frombuffer("\x00".join(self._terms).encode("utf-8", "surrogatepass"), dtype=np.uint8)
            np.savez(file, terms=terms, projection=self._projection)

    @classmethod
    def load(cls, path: str | Path) -> TfidfLsaEncoder:
        """Read what `save` wrote; raises `ArtefactError` for anything else."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                terms = arrays["terms"].tobytes().decode("utf-8", "surrogatepass").split("\x00")
                return cls(terms, arrays["projection"])
        except (OSError, ValueError, KeyError) as error:
            raise ArtefactError(f"{path} is not a saved TF-IDF encoder ({error}); fit and save it again") from error


def _analysed(text: str) -> Iterator[str]:
    """Yield words, word pairs, and character n-grams within words (marked so that they meet no word)."""
    words = _WORD.findall(text.lower())
    yield from words
    yield from (f"{first} {second}" for first, second in pairwise(words))
    for word in words:
        padded = f"^{word}$"
        for length in (3, 4, 5):
            yield from (f"#{padded[i : i + length]}" for i in range(len(padded) - length + 1))
