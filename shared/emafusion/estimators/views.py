"""Views of a query: its surface, its n-grams in a latent space, and its embedding, each scaled once for every learner.

Nothing here sees a score, so one set of views serves all folds of a cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.ngrams import DIMENSIONS, count_chunks
from emafusion.estimators.text_features import feature_names, text_features

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = NDArray[np.float32]
SVD_ROWS: Final = 12_000  # a latent space of n-grams does not change with more texts than this
_TINY: Final = np.float32(1e-9)
_UNIT_SCALE: Final = 10.0  # coordinates of unit vectors are small: bring them to the scale of the surface features


@dataclass(frozen=True)
class Views:
    """All that the learners may know of n queries. Rows run parallel."""

    surface: Floats
    """(n, f) standardised surface features, clipped to [-5, 5]."""
    lexical: Floats
    """(n, r) position in the latent space of n-grams, unit length (or zero)."""
    semantic: Floats
    """(n, d) embedding less the mean embedding, unit length (or zero)."""
    axes: Floats
    """(n, q) leading principal components of ``semantic``."""
    labels: Floats | None = None
    """(n, c) probabilities of taxonomy labels, where a taxonomy gave them."""
    near: NDArray[np.float64] | None = None
    """(n, m) what the nearest neighbours forecast, for learners that build on it."""

    def __len__(self) -> int:
        return len(self.surface)

    @cached_property
    def design(self) -> Floats:
        """(n, f + r + d) meaning, n-grams and surface side by side, at about the same scale; for linear learners."""
        parts = [self.semantic * np.float32(_UNIT_SCALE), self.lexical * np.float32(_UNIT_SCALE), self.surface]
        return np.concatenate(parts, axis=1)

    def with_near(self, near: NDArray[np.float64]) -> Views:
        """The same with the neighbours' forecast; what was joined is not joined again."""
        views = Views(self.surface, self.lexical, self.semantic, self.axes, self.labels, near)
        if "design" in self.__dict__:
            views.__dict__["design"] = self.design
        return views

    def take(self, rows: NDArray[Any] | slice) -> Views:
        """Select rows."""
        labels = None if self.labels is None else self.labels[rows]
        near = None if self.near is None else self.near[rows]
        return Views(self.surface[rows], self.lexical[rows], self.semantic[rows], self.axes[rows], labels, near)


def unit_rows(matrix: Floats) -> Floats:
    """Scale each row to length one; a row of zeros stays."""
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))[:, None]
    return np.asarray(matrix / np.maximum(norms, _TINY))


class ViewBuilder:
    """Turns texts and embeddings into :class:`Views`.

    Parameters
    ----------
    lexical_rank : int
        Dimensions of the latent space of n-grams (latent semantic analysis; Deerwester et al., 1990).
    axes : int
        Number of principal components of the embeddings.
    seed : int
        Seed of the randomised decomposition.
    """

    def __init__(self, *, lexical_rank: int = 64, axes: int = 64, seed: int = 0) -> None:
        self.lexical_rank = lexical_rank
        self.axes = axes
        self.seed = seed

    def fit(self, texts: Sequence[str], embeddings: NDArray[Any]) -> Self:
        """Learn scales, document frequencies and both latent spaces. Needs scikit-learn."""
        self.fit_transform(texts, embeddings)
        return self

    def fit_transform(
        self, texts: Sequence[str], embeddings: NDArray[Any], label_probs: NDArray[Any] | None = None
    ) -> Views:
        """Fit, and view the same texts without measuring them twice."""
        surface = text_features(texts)
        self.center_ = surface.mean(axis=0)
        deviation = surface.std(axis=0)
        self.scale_ = np.where(deviation > 1e-6, 1.0 / np.maximum(deviation, 1e-6), 0.0).astype(np.float32)
        self._fit_lexical(texts)
        self._fit_axes(np.asarray(embeddings, dtype=np.float32))
        return self._join(surface, texts, embeddings, label_probs)

    def _fit_lexical(self, texts: Sequence[str]) -> None:
        from scipy import sparse
        from sklearn.utils.extmath import randomized_svd

        rng = np.random.default_rng(self.seed)
        chosen = np.sort(rng.permutation(len(texts))[:SVD_ROWS])
        counted = [
            sparse.csr_matrix((c.counts, c.places, c.edges), shape=(len(c), DIMENSIONS))
            for _, c in count_chunks([texts[i] for i in chosen])
        ]
        counts = sparse.vstack(counted, format="csr")
        seen = np.bincount(counts.indices, minlength=DIMENSIONS)
        # An n-gram of every text, or of one text only, says nothing that another text could share.
        idf = np.log((1.0 + len(chosen)) / (1.0 + seen)) * (seen > 1)
        self.idf_ = idf.astype(np.float32)
        counts.data = np.log1p(counts.data) * self.idf_[counts.indices]
        norms = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        counts = sparse.diags(1.0 / np.maximum(norms, 1e-9)) @ counts
        rank = max(1, min(self.lexical_rank, len(chosen) - 1))
        _, _, right = randomized_svd(counts, rank, n_iter=3, random_state=self.seed)
        # Half precision halves the artefact; rounding now keeps a loaded copy identical.
        self.projection_ = (right.T * self.idf_[:, None]).astype(np.float16).astype(np.float32)
        self.lexical_center_ = np.zeros(rank, dtype=np.float32)
        self.lexical_center_ = self._lexical([texts[i] for i in chosen]).mean(axis=0)

    def _fit_axes(self, embeddings: Floats) -> None:
        unit = unit_rows(embeddings)
        self.mean_ = unit.mean(axis=0)
        semantic = unit_rows(unit - self.mean_)
        covariance = (semantic.T @ semantic).astype(np.float64) / max(len(semantic), 1)
        _, vectors = np.linalg.eigh(covariance)
        kept = vectors[:, ::-1][:, : self.axes]
        # The sign of an eigenvector is arbitrary: fix it, so that two machines learn the same trees.
        signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
        self.rotation_ = (kept * signs).astype(np.float16).astype(np.float32)

    def transform(
        self, texts: Sequence[str], embeddings: NDArray[Any], label_probs: NDArray[Any] | None = None
    ) -> Views:
        """View n texts with their (n, d) embeddings. Needs numpy only."""
        return self._join(text_features(texts), texts, embeddings, label_probs)

    def _join(
        self, surface: Floats, texts: Sequence[str], embeddings: NDArray[Any], label_probs: NDArray[Any] | None
    ) -> Views:
        surface = np.minimum(np.maximum((surface - self.center_) * self.scale_, -5.0), 5.0)
        semantic = unit_rows(unit_rows(np.asarray(embeddings, dtype=np.float32)) - self.mean_)
        labels = None if label_probs is None else np.asarray(label_probs, dtype=np.float32)
        return Views(surface, self._lexical(texts), semantic, semantic @ self.rotation_, labels)

    def _lexical(self, texts: Sequence[str]) -> Floats:
        placed = np.empty((len(texts), self.projection_.shape[1]), dtype=np.float32)
        for rows, found in count_chunks(texts):
            damped = np.log1p(found.counts)
            edges = found.edges.tolist()
            # A text holds few of the n-grams: the rest of a dense product would be zeros.
            for place, start, end in zip(placed[rows], edges, edges[1:]):
                np.matmul(damped[start:end], self.projection_.take(found.places[start:end], axis=0), out=place)
        return unit_rows(unit_rows(placed) - self.lexical_center_)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays."""
        config = {"lexical_rank": self.lexical_rank, "axes": self.axes, "seed": self.seed}
        config |= {"surface": len(feature_names()), "ngrams": DIMENSIONS}
        arrays = {
            "center": self.center_,
            "scale": self.scale_,
            "projection": self.projection_.astype(np.float16),
            "lexical_center": self.lexical_center_,
            "mean": self.mean_,
            "rotation": self.rotation_.astype(np.float16),
        }
        return config, arrays

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        if config["surface"] != len(feature_names()) or config["ngrams"] != DIMENSIONS:
            raise ValueError("the artefact was fitted with other text features than this version has: fit it again")
        builder = cls(lexical_rank=config["lexical_rank"], axes=config["axes"], seed=config["seed"])
        builder.center_, builder.scale_ = arrays["center"], arrays["scale"]
        builder.projection_ = arrays["projection"].astype(np.float32)
        builder.lexical_center_, builder.mean_ = arrays["lexical_center"], arrays["mean"]
        builder.rotation_ = arrays["rotation"].astype(np.float32)
        return builder
