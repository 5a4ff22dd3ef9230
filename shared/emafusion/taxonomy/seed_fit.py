"""The noun here is the `SeedFit`: all that is fitted on a taxonomy's seeds, once a process for taxonomy and encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from emafusion.encoders import Encoder, HashingEncoder, unit_rows
from emafusion.taxonomy.familiarity import Familiarity
from emafusion.taxonomy.labels import AXES, Taxonomy
from emafusion.taxonomy.ridge import RidgeSoftmax, ridge_inverses
from emafusion.taxonomy.surface import surface_features

__all__ = ["SeedFit", "seed_fit"]

_LEXICAL_DIM = 4096
_SURFACE_WEIGHT = 0.5
_KEPT = 4


class SeedFit:
    """A ridge for each axis on three views of the seeds, and the familiarity scale.

    Views, concatenated: meaning (the encoder's vectors), wording (hashed n-grams, unit length) and looks (surface
    features, standardised, unit length, half weight). On the shipped seeds each adds to leave-one-out accuracy.
    """

    def __init__(self, taxonomy: Taxonomy, encoder: Encoder) -> None:
        texts = [seed.text for seed in taxonomy.seeds]
        looks = surface_features(texts)
        self._mean, self._scale = looks.mean(axis=0), looks.std(axis=0) + np.float32(0.05)
        self._lexical = HashingEncoder(_LEXICAL_DIM)
        vectors = encoder.encode(texts)
        self.familiarity = Familiarity(vectors, encoder)
        self.models: Mapping[str, RidgeSoftmax] = _models(taxonomy, self.views(texts, vectors))

    def views(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the features of texts whose meaning is already encoded, shape (n, f)."""
        if not len(texts):
            return np.zeros((0, vectors.shape[1] + _LEXICAL_DIM + len(self._mean)), dtype=np.float32)
        # Clipped and of unit length: a text longer or fuller of code than any seed must not outshout the other views.
        looks = unit_rows(np.clip((surface_features(texts) - self._mean) / self._scale, -2.0, 2.0))
        return np.concatenate([vectors, self._lexical.encode(texts), np.float32(_SURFACE_WEIGHT) * looks], axis=1)


def _models(taxonomy: Taxonomy, views: NDArray[np.float32]) -> dict[str, RidgeSoftmax]:
    models = {}
    shared: dict[tuple[int, ...], dict[float, NDArray[np.float64]]] = {}
    for axis in AXES:
        place = {label: position for position, label in enumerate(taxonomy.labels(axis))}
        labels = [seed.label(axis) for seed in taxonomy.seeds]
        taught = tuple(row for row, label in enumerate(labels) if label is not None)
        known = views[list(taught)]
        if taught not in shared:  # Axes that the same seeds teach share the costly part.
            shared[taught] = ridge_inverses(known)
        targets = np.array([place[str(labels[row])] for row in taught])
        models[axis] = RidgeSoftmax(known, shared[taught], targets, len(place))
    return models


_fits: dict[str, SeedFit] = {}
_lock = Lock()


def seed_fit(taxonomy: Taxonomy, encoder: Encoder) -> SeedFit:
    """Return the fit of this taxonomy and encoder, made at the first call; the last few are kept."""
    key = f"{taxonomy.identity}|{encoder.identity}"
    with _lock:
        fit = _fits.get(key)
        if fit is None:
            fit = SeedFit(taxonomy, encoder)
            while len(_fits) >= _KEPT:
                _fits.pop(next(iter(_fits)))
            _fits[key] = fit
        return fit
