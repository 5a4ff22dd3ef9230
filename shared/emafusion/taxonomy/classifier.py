"""The noun here is the `TaxonomyClassifier`: the fast labeller of EMAFusion (arXiv 2504.10681), fitted on seeds.

Also `fuse`, the paper's p = lambda * p_slow + (1 - lambda) * p_fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emafusion.encoders import Encoder, default_encoder
from emafusion.errors import ConfigError
from emafusion.taxonomy.labels import AXES, Labels, Taxonomy
from emafusion.taxonomy.seed_fit import SeedFit, seed_fit

__all__ = ["TaxonomyClassifier", "category_probabilities", "fuse"]

_Floats = NDArray[np.float64]


class TaxonomyClassifier:
    """Labels queries on every axis by meaning (encoder), wording (hashed n-grams) and looks; one ridge an axis.

    Fitted on the taxonomy's seeds with numpy at the first use, in a fraction of a second, and shared in the process;
    for the shipped taxonomy and encoder the fit is shipped too. Construction calls no encoder. Regularisation and
    temperature are chosen by leave-one-out.

    Parameters
    ----------
    taxonomy : Taxonomy, optional
        The shipped one unless given.
    encoder : Encoder, optional
        `default_encoder()` unless given.

    Examples
    --------
    >>> labels = TaxonomyClassifier().classify(["Übersetze ins Englische: Guten Morgen"])[0]
    >>> labels.task
    'translation'
    """

    def __init__(self, taxonomy: Taxonomy | None = None, encoder: Encoder | None = None) -> None:
        self.taxonomy = taxonomy or Taxonomy.default()
        self.encoder = encoder or default_encoder()

    @property
    def identity(self) -> str:
        """Taxonomy and encoder; what is fitted on label probabilities records it."""
        return f"{self.taxonomy.identity}|{self.encoder.identity}"

    def classify(self, texts: Sequence[str], embeddings: ArrayLike | None = None) -> list[Labels]:
        """Label texts. `embeddings`, shape (n, encoder.dim), saves encoding them again."""
        vectors = self._vectors(texts, embeddings)
        probs = self.probabilities(texts, vectors)
        near = self.familiarity(vectors)
        return [self._labels(probs, row, float(near[row])) for row in range(len(texts))]

    def label(self, text: str, vector: NDArray[np.float32]) -> Labels:
        """Label one text of known vector (encoder.dim,), without asking how familiar it is."""
        return self._labels(self._fit.probabilities([text], vector[None]), 0)

    def _labels(self, probs: Mapping[str, _Floats], row: int, familiarity: float = 0.0) -> Labels:
        return Labels(self._names, {axis: probs[axis][row] for axis in AXES}, familiarity)

    @cached_property
    def _names(self) -> dict[str, tuple[str, ...]]:
        return {axis: self.taxonomy.labels(axis) for axis in AXES}

    def probabilities(self, texts: Sequence[str], embeddings: ArrayLike | None = None) -> dict[str, _Floats]:
        """Return, for each axis, the probabilities of its labels, shape (n, labels); rows sum to 1."""
        return self._fit.probabilities(texts, self._vectors(texts, embeddings))

    def categories(self, texts: Sequence[str], embeddings: ArrayLike | None = None) -> _Floats:
        """Return the probability of each ``task/complexity``, shape (n, categories); what `Suitability` takes."""
        return category_probabilities(self.probabilities(texts, embeddings))

    def familiarity(self, embeddings: ArrayLike, reference: ArrayLike | None = None) -> _Floats:
        """Return how near embeddings, shape (n, dim), are to the seeds (or `reference` rows, if nearer), in [0, 1]."""
        return self._fit.familiarity.score(embeddings, reference)

    def leave_one_out(self) -> dict[str, float]:
        """Return each axis' accuracy on seeds that were left out of the fit."""
        return {axis: model.accuracy for axis, model in self._fit.models.items()}

    @cached_property
    def _fit(self) -> SeedFit:
        return seed_fit(self.taxonomy, self.encoder)

    def _vectors(self, texts: Sequence[str], embeddings: ArrayLike | None) -> NDArray[np.float32]:
        if isinstance(texts, str):
            raise TypeError("texts must be a sequence of texts, not one text: write [text]")
        if embeddings is None:
            return self.encoder.encode(texts)
        vectors = np.asarray(embeddings, dtype=np.float32)
        if vectors.shape != (len(texts), self.encoder.dim):
            raise ConfigError(f"embeddings has shape {vectors.shape}, expected {(len(texts), self.encoder.dim)}")
        return vectors


def category_probabilities(probabilities: Mapping[str, _Floats]) -> _Floats:
    """Return P(task) * P(complexity) for every pair, shape (n, tasks * complexities); complexity varies fastest."""
    task, level = probabilities["task"], probabilities["complexity"]
    return (task[:, :, None] * level[:, None, :]).reshape(len(task), -1)


def fuse(p_slow: ArrayLike, p_fast: ArrayLike, lam: float) -> _Floats:
    """Return lam * p_slow + (1 - lam) * p_fast (EMAFusion, section on the taxonomy).

    >>> fuse([1.0, 0.0], [0.5, 0.5], 0.4).tolist()
    [0.7, 0.3]
    """
    slow, fast = np.asarray(p_slow, dtype=np.float64), np.asarray(p_fast, dtype=np.float64)
    if not 0.0 <= lam <= 1.0:
        raise ConfigError(f"lam must lie in [0, 1], got {lam}")
    if slow.shape != fast.shape:
        raise ConfigError(f"p_slow has shape {slow.shape}, p_fast {fast.shape}; they must agree")
    fused: _Floats = lam * slow + (1.0 - lam) * fast
    return fused
