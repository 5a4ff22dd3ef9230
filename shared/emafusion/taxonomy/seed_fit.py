"""The noun here is the `SeedFit`: all that is fitted on a taxonomy's seeds, once a process for taxonomy and encoder.

That of the shipped taxonomy and encoder is shipped too, as `seed_fit.npz`, and read in a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.encoders import Encoder, HashingEncoder
from emafusion.taxonomy.familiarity import Familiarity
from emafusion.taxonomy.labels import AXES, Taxonomy
from emafusion.taxonomy.ridge import RidgeSoftmax, ridge_inverses
from emafusion.taxonomy.surface import surface_features

__all__ = ["SHIPPED", "SeedFit", "seed_fit"]

SHIPPED = Path(__file__).with_name("seed_fit.npz")

_Floats = NDArray[np.float64]
_LEXICAL = HashingEncoder(4096)
_SURFACE_WEIGHT = 0.5
_KEPT = 4
_CHUNK = 1024


class SeedFit:
    """A ridge for each axis on three views of the seeds, and the familiarity scale.

    Views: meaning (the encoder's vectors), wording (hashed n-grams, unit length) and looks (surface features,
    standardised, unit length, half weight). On the shipped seeds each adds to leave-one-out accuracy.

    Parameters
    ----------
    models : mapping of axis -> RidgeSoftmax
    familiarity : Familiarity
    mean, scale : arrays of shape (surface features,)
        What the looks are standardised by.
    """

    def __init__(
        self,
        models: Mapping[str, RidgeSoftmax],
        familiarity: Familiarity,
        mean: NDArray[np.float32],
        scale: NDArray[np.float32],
    ) -> None:
        self.models, self.familiarity, self._mean, self._scale = models, familiarity, mean, scale
        # The axes' weights side by side: one product of few rows serves all, as wording fills few of its buckets.
        weights = np.hstack([models[axis].weights for axis in AXES]).astype(np.float32)
        meaning = len(weights) - _LEXICAL.dim - len(mean)
        self._meaning = weights[:meaning].astype(np.float64)
        self._wording = np.ascontiguousarray(weights[meaning : meaning + _LEXICAL.dim])
        self._looks = weights[meaning + _LEXICAL.dim :].astype(np.float64)
        self._bias = np.concatenate([models[axis].bias for axis in AXES])
        widths = [len(models[axis].bias) for axis in AXES]
        self._sharpness = np.repeat([models[axis].sharpness for axis in AXES], widths)
        self._edges = np.cumsum([0, *widths]).tolist()
        self._starts = np.array(self._edges[:-1])
        self._axis_of = np.repeat(np.arange(len(widths)), widths)

    @classmethod
    def fit(cls, taxonomy: Taxonomy, encoder: Encoder) -> SeedFit:
        """Fit on the taxonomy's seeds."""
        texts = [seed.text for seed in taxonomy.seeds]
        surface = surface_features(texts)
        mean, scale = surface.mean(axis=0), surface.std(axis=0) + np.float32(0.05)
        vectors = encoder.encode(texts)
        looks = _looks(surface, mean, scale).astype(np.float32)
        views = np.concatenate([vectors, _LEXICAL.encode(texts), looks], axis=1)
        return cls(_models(taxonomy, views), Familiarity.fit(vectors, encoder), mean, scale)

    def probabilities(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> dict[str, _Floats]:
        """Return, for each axis, the probabilities of its labels for texts whose meaning is already encoded."""
        found = np.empty((len(texts), len(self._bias)))
        for start in range(0, len(texts), _CHUNK):
            rows = slice(start, start + _CHUNK)
            found[rows] = self._softmaxes(texts[rows], vectors[rows])
        return {axis: found[:, start:end] for axis, (start, end) in zip(AXES, pairwise(self._edges))}

    def _softmaxes(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> _Floats:
        looks = _looks(surface_features(texts), self._mean, self._scale)
        scores = vectors.astype(np.float64) @ self._meaning + looks @ self._looks + self._bias
        for score, text in zip(scores, texts):
            places, values = _LEXICAL.sparse(text)
            score += values @ self._wording[places]
        scores *= self._sharpness
        powers = np.exp(scores - np.maximum.reduceat(scores, self._starts, axis=1)[:, self._axis_of])
        shares: _Floats = powers / np.add.reduceat(powers, self._starts, axis=1)[:, self._axis_of]
        return shares

    def save(self, path: Path, identity: str) -> None:
        """Write it under the identity of taxonomy and encoder; see `load`."""
        arrays: dict[str, NDArray[Any]] = {"identity": np.frombuffer(identity.encode(), dtype=np.uint8)}
        arrays |= {"mean": self._mean, "scale": self._scale}
        arrays |= {f"familiarity.{name}": array for name, array in self.familiarity.to_arrays().items()}
        for axis, model in self.models.items():
            arrays[f"{axis}.weights"], arrays[f"{axis}.bias"] = model.weights, model.bias
            arrays[f"{axis}.scalars"] = np.array([model.sharpness, model.accuracy])
        np.savez(path, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, identity: str) -> SeedFit | None:
        """Read what `save` wrote; None where there is none, or it belongs to another taxonomy or encoder."""
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as arrays:
            if arrays["identity"].tobytes().decode() != identity:
                return None
            prefix = "familiarity."
            near = {name[len(prefix) :]: arrays[name] for name in arrays.files if name.startswith(prefix)}
            models = {
                axis: RidgeSoftmax(
                    arrays[f"{axis}.weights"], arrays[f"{axis}.bias"], *arrays[f"{axis}.scalars"].tolist()
                )
                for axis in AXES
            }
            return cls(models, Familiarity.from_arrays(near), arrays["mean"], arrays["scale"])


def _looks(surface: NDArray[np.float32], mean: NDArray[np.float32], scale: NDArray[np.float32]) -> _Floats:
    # Clipped and of unit length: a text longer or fuller of code than any seed must not outshout the other views.
    clipped = np.minimum(np.maximum((surface - mean) / scale, -2.0), 2.0).astype(np.float64)
    norms = np.sqrt((clipped * clipped).sum(axis=1, keepdims=True))
    return np.asarray(_SURFACE_WEIGHT * clipped / np.maximum(norms, 1e-12))


def _models(taxonomy: Taxonomy, views: NDArray[np.float32]) -> dict[str, RidgeSoftmax]:
    models = {}
    shared: dict[tuple[int, ...], dict[float, _Floats]] = {}
    for axis in AXES:
        place = {label: position for position, label in enumerate(taxonomy.labels(axis))}
        labels = [seed.label(axis) for seed in taxonomy.seeds]
        taught = tuple(row for row, label in enumerate(labels) if label is not None)
        known = views[list(taught)]
        if taught not in shared:  # Axes that the same seeds teach share the costly part.
            shared[taught] = ridge_inverses(known)
        targets = np.array([place[str(labels[row])] for row in taught])
        models[axis] = RidgeSoftmax.fit(known, shared[taught], targets, len(place))
    return models


_fits: dict[str, SeedFit] = {}
_lock = Lock()


def seed_fit(taxonomy: Taxonomy, encoder: Encoder) -> SeedFit:
    """Return the fit of this taxonomy and encoder, read or made at the first call; the last few are kept."""
    identity = f"{taxonomy.identity}|{encoder.identity}"
    with _lock:
        fit = _fits.get(identity)
        if fit is None:
            fit = SeedFit.load(SHIPPED, identity) or SeedFit.fit(taxonomy, encoder)
            while len(_fits) >= _KEPT:
                _fits.pop(next(iter(_fits)))
            _fits[identity] = fit
        return fit
