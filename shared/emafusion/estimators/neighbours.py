"""Similarity-weighted nearest neighbours, and what their nearness says about how familiar a query is.

The number of neighbours and the temperature of the weights are chosen out of fold: too few neighbours cost more than
any other mistake a router can make. A large log is condensed: every row lends its scores to its nearest landmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.completion import candidate_means
from emafusion.estimators.views import Floats, Views, unit_rows

if TYPE_CHECKING:
    from typing_extensions import Self

NEIGHBOURS: Final = (10, 25, 60, 150)
TEMPERATURES: Final = (0.06, 0.15)
PLAIN: Final = (60, 0.15)  # a setting that serves nearly every log: what other learners are given to build on
REFERENCES: Final = 4_000
_NEAREST: Final = 5  # familiarity looks at this many neighbours
_CHUNK: Final = 256


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near n queries are to the reference set."""

    familiarity: NDArray[np.float64]
    effective_n: NDArray[np.float64]


class Neighbours:
    """k nearest neighbours over a capped reference set.

    Parameters
    ----------
    references : int
        Largest number of reference points kept.
    seed : int
        Seed of the choice of landmarks.
    """

    name = "neighbours"

    def __init__(self, *, references: int = REFERENCES, seed: int = 0) -> None:
        self.references = references
        self.seed = seed

    def settings(self) -> tuple[tuple[int, float], ...]:
        """Pairs of number and temperature worth comparing."""
        return tuple((k, temperature) for k in NEIGHBOURS for temperature in TEMPERATURES)

    def fit(self, views: Views, targets: NDArray[Any], completed: NDArray[Any]) -> Self:
        """Keep the reference points of (n, m) targets, NaN where unknown."""
        del completed
        points = _points(views).astype(np.float16).astype(np.float32)
        known = (~np.isnan(targets)).astype(np.float32)
        sums = np.nan_to_num(targets).astype(np.float32)
        self.mean_ = candidate_means(targets)
        rng = np.random.default_rng(self.seed)
        mass = np.ones(len(points), dtype=np.float32)
        if len(points) > self.references:
            landmarks = np.sort(rng.permutation(len(points))[: self.references])
            owner = _nearest_landmark(points, points[landmarks])
            # Of equal landmarks one owns all the rows: the others go.
            kept, owner = np.unique(owner, return_inverse=True)
            mass = np.bincount(owner).astype(np.float32)
            sums, known = _gather(sums, owner, len(kept)), _gather(known, owner, len(kept))
            points = points[landmarks[kept]]
        self.points_, self.mass_, self.known_ = points, mass, known
        self.scores_ = sums / np.maximum(known, 1.0)
        self._join()
        self._fit_familiarity(rng)
        self.setting_ = PLAIN
        return self

    def _join(self) -> None:
        # Mass counts rows of a landmark; of these only the share with a known score of a candidate speaks for it.
        share = self.known_ / self.mass_[:, None]
        self._spoken = np.hstack([share * self.scores_, share])

    def _fit_familiarity(self, rng: np.random.Generator) -> None:
        sample = rng.permutation(len(self.points_))[:1000]
        similar = self.points_[sample] @ self.points_.T
        self.unrelated_ = float(similar.mean())
        similar[np.arange(len(sample)), sample] = -1.0
        nearest = np.partition(similar, -_NEAREST, axis=1)[:, -_NEAREST:] if similar.shape[1] > _NEAREST else similar
        # Nineteen of twenty training queries count as fully familiar.
        self.familiar_ = float(np.quantile(nearest.mean(axis=1), 0.05))

    def settle(self, setting: tuple[int, float]) -> None:
        """Fix the number of neighbours and the temperature."""
        self.setting_ = (int(setting[0]), float(setting[1]))

    def predict(self, views: Views) -> tuple[NDArray[np.float64], Nearness, NDArray[np.float64]]:
        """Forecast (n, m) targets, say how near the neighbours are, and forecast once more under ``PLAIN``."""
        settings = (self.setting_,) if self.setting_ == PLAIN else (self.setting_, PLAIN)
        forecasts, nearness = self.predict_many(views, settings, settings[:1])
        return forecasts[0], nearness[0], forecasts[-1]

    def predict_many(
        self,
        views: Views,
        settings: tuple[tuple[int, float], ...],
        measured: tuple[tuple[int, float], ...] | None = None,
    ) -> tuple[list[NDArray[np.float64]], list[Nearness]]:
        """Forecast for several settings from one search; nearness for all of them or those ``measured`` alone."""
        points = _points(views)
        n, m = len(points), len(self.mean_)
        forecasts = [np.empty((n, m)) for _ in settings]
        nearness = [Nearness(np.empty(n), np.empty(n)) for _ in (measured or settings)]
        largest = min(max(k for k, _ in settings), len(self.points_))
        for start in range(0, n, _CHUNK):
            rows = slice(start, min(start + _CHUNK, n))
            similar, index = self._search(points[rows], largest)
            familiarity = self._familiarity(similar)
            behind, mass = similar - similar[:, :1], self.mass_.take(index)
            for number, ((k, temperature), forecast) in enumerate(zip(settings, forecasts)):
                each = np.exp(behind[:, :k] / temperature)
                weight = each * mass[:, :k]
                forecast[rows] = self._average(weight, index[:, :k])
                if number < len(nearness):
                    nearness[number].familiarity[rows] = familiarity
                    nearness[number].effective_n[rows] = weight.sum(axis=1) ** 2 / (weight * each).sum(axis=1)
        return forecasts, nearness

    def _search(self, points: Floats, k: int) -> tuple[Floats, NDArray[np.int64]]:
        similar = points @ self.points_.T
        index = np.argpartition(similar, -k, axis=1)[:, -k:] if k < similar.shape[1] else np.argsort(similar, axis=1)
        if len(points) == 1:
            place = index[0]
            nearest = similar[0].take(place)
            order = (-nearest).argsort(kind="stable")
            return nearest.take(order)[None], place.take(order)[None]
        row = np.arange(len(points))[:, None]
        nearest = similar[row, index]
        order = np.argsort(-nearest, axis=1, kind="stable")
        return nearest[row, order], index[row, order]

    def _average(self, weight: Floats, index: NDArray[np.int64]) -> NDArray[np.float64]:
        spoken = (weight[:, None] @ self._spoken.take(index, axis=0))[:, 0]
        m = len(self.mean_)
        return np.asarray((spoken[:, :m] + self.mean_) / (spoken[:, m:] + 1.0))

    def _familiarity(self, similar: Floats) -> NDArray[np.float64]:
        nearest = similar[:, :_NEAREST]
        near = np.add.reduce(nearest, axis=1) / nearest.shape[1]
        # Where even training queries are strangers to each other, nothing is less familiar than anything else.
        reach = max(self.familiar_ - self.unrelated_, 1e-3)
        share = np.minimum(np.maximum((near - self.unrelated_) / reach, 0.0), 1.0)
        return np.asarray(share, dtype=np.float64)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays."""
        config = {"references": self.references, "seed": self.seed, "setting": list(self.setting_)}
        config |= {"unrelated": self.unrelated_, "familiar": self.familiar_}
        arrays = {"points": self.points_.astype(np.float16), "mass": self.mass_, "known": self.known_}
        return config, arrays | {"scores": self.scores_, "mean": self.mean_}

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        member = cls(references=config["references"], seed=config["seed"])
        member.settle(config["setting"])
        member.unrelated_, member.familiar_ = config["unrelated"], config["familiar"]
        member.points_ = arrays["points"].astype(np.float32)
        member.mass_, member.known_, member.scores_ = arrays["mass"], arrays["known"], arrays["scores"]
        member.mean_ = arrays["mean"]
        member._join()
        return member


def _points(views: Views) -> Floats:
    return unit_rows(np.concatenate([views.axes, views.lexical], axis=1))


def _nearest_landmark(points: Floats, landmarks: Floats) -> NDArray[np.int64]:
    owner = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), 1024):
        owner[start : start + 1024] = (points[start : start + 1024] @ landmarks.T).argmax(axis=1)
    return owner


def _gather(table: Floats, owner: NDArray[np.int64], count: int) -> Floats:
    columns = [np.bincount(owner, weights=column, minlength=count) for column in table.T]
    return np.asarray(np.stack(columns, axis=1), dtype=np.float32)
