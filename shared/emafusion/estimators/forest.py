"""A forest of extremely randomised trees over all candidates at once, served with numpy alone.

Trees (Geurts, Ernst and Wehenkel, 2006) find which mixtures of surface and meaning are hard; one tree serves every
candidate, so they share what is learned about difficulty. They also see what a ridge regression and the neighbours,
fitted on other rows, make of the query. Leaf values are re-estimated from observed scores only and shrunk towards
their ancestors (hierarchical shrinkage: Agarwal et al., 2022), with a strength chosen out of fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.difficulty import Difficulty
from emafusion.estimators.views import Floats, Views

if TYPE_CHECKING:
    from typing_extensions import Self

SHRINKAGES: Final = (0.0, 5.0, 30.0, 300.0)
SAMPLES: Final = 12_000  # rows a tree sees: more trees see more rows, each tree need not
DEPTH: Final = 18
AXES: Final = 24  # leading coordinates of each latent space; those behind them split on noise
_CHUNK: Final = 256


class Forest:
    """Multi-output trees with hierarchical shrinkage.

    Parameters
    ----------
    trees : int
        Number of trees.
    min_leaf : int
        Fewest training rows in a leaf; grows with the data so that the artefact stays small.
    share : float
        Share of the features that a split may look at.
    seed : int
        Seed of the splits.
    """

    name = "forest"

    def __init__(self, *, trees: int = 100, min_leaf: int = 5, share: float = 0.3, seed: int = 0) -> None:
        self.trees = trees
        self.min_leaf = min_leaf
        self.share = share
        self.seed = seed

    def settings(self) -> tuple[float, ...]:
        """Strengths of shrinkage worth comparing."""
        return SHRINKAGES

    def fit(
        self, views: Views, targets: NDArray[Any], completed: NDArray[Any], inner: NDArray[np.int64] | None = None
    ) -> Self:
        """Grow trees on completed targets (n, m); value leaves by observed ones (n, m), NaN where unknown.

        ``inner`` (n,) gives folds for what must be cross-fitted inside; without it rows are dealt at random.
        """
        from sklearn.ensemble import ExtraTreesRegressor

        n = len(views)
        if inner is None:
            inner = np.random.default_rng(self.seed).permutation(n) % 5
        self.difficulty_ = Difficulty()
        features = _features(views, self.difficulty_.fit_transform(views, targets, completed, inner))
        grown = ExtraTreesRegressor(
            self.trees,
            min_samples_leaf=max(self.min_leaf, min(n, SAMPLES) // 800),
            max_depth=DEPTH,
            max_features=self.share,
            bootstrap=n > SAMPLES,
            max_samples=SAMPLES if n > SAMPLES else None,
            random_state=self.seed,
        ).fit(features, completed if completed.shape[1] > 1 else completed.ravel())
        self._flatten([estimator.tree_ for estimator in grown.estimators_])
        self.mean_ = np.nanmean(np.where(np.isnan(targets), completed, targets), axis=0)
        self._count(features, targets)
        return self

    def _flatten(self, grown: list[Any]) -> None:
        """Join the trees, renumbered so that siblings are neighbours: one array of children is enough."""
        counts = [tree.node_count for tree in grown]
        self.roots_ = np.cumsum([0, *counts[:-1]]).astype(np.int32)
        self.feature_ = np.zeros(sum(counts), dtype=np.int16)
        self.threshold_ = np.full(sum(counts), np.inf, dtype=np.float32)
        self.child_ = np.arange(sum(counts), dtype=np.int32)
        for tree, root in zip(grown, self.roots_):
            inner = np.flatnonzero(tree.children_left >= 0)
            number = np.zeros(tree.node_count, dtype=np.int64)
            number[tree.children_left[inner]] = 2 * np.arange(len(inner)) + 1
            number[tree.children_right[inner]] = 2 * np.arange(len(inner)) + 2
            here = number[inner] + root
            self.feature_[here] = tree.feature[inner]
            self.threshold_[here] = tree.threshold[inner]
            self.child_[here] = number[tree.children_left[inner]] + root
        self._index_leaves()

    def _index_leaves(self) -> None:
        self._is_leaf = self.child_ == np.arange(len(self.child_))
        self.leaf_ = np.where(self._is_leaf, np.cumsum(self._is_leaf) - 1, 0).astype(np.int32)
        self._wide_feature, self._wide_child = self.feature_.astype(np.intp), self.child_.astype(np.intp)
        self._wide_roots = self.roots_.astype(np.intp)
        self._levels = []
        level = self.roots_
        while len(level):
            inner = level[~self._is_leaf[level]]
            self._levels.append(inner)
            level = np.concatenate([self.child_[inner], self.child_[inner] + 1])

    def _count(self, features: Floats, targets: NDArray[Any]) -> None:
        """Sum observed deviations from the means, and their number, in every node of every tree, leaves first."""
        known = ~np.isnan(targets)
        deviation = np.where(known, targets - self.mean_, 0.0)
        m = targets.shape[1]
        both = np.hstack([deviation, known.astype(np.float64)])
        totals = np.zeros((len(self.child_), 2 * m))
        from scipy import sparse

        for start in range(0, len(features), 8 * _CHUNK):
            rows = slice(start, start + 8 * _CHUNK)
            nodes = self._nodes(features[rows])
            places = (nodes.ravel(), np.repeat(np.arange(len(nodes)), nodes.shape[1]))
            reached = sparse.csr_matrix((np.ones(nodes.size), places), shape=(len(totals), len(nodes)))
            totals += reached @ both[rows]
        for inner in reversed(self._levels):
            totals[inner] = totals[self.child_[inner]] + totals[self.child_[inner] + 1]
        self._known = totals[:, m:]
        self._means = totals[:, :m] / np.maximum(self._known, 1.0)

    def _leaf_values(self, strength: float) -> Floats:
        """Walk from the roots: each step to a child counts n / (n + strength), n the parent's observations."""
        values = np.zeros_like(self._means)
        values[self.roots_] = self._means[self.roots_]
        means = self._means.copy()
        for inner in self._levels:
            trust = self._known[inner] / (self._known[inner] + strength + 1e-9)
            for child in (self.child_[inner], self.child_[inner] + 1):
                # A child that saw nothing of a candidate inherits its parent's value.
                means[child] = np.where(self._known[child] > 0, means[child], means[inner])
                values[child] = values[inner] + trust * (means[child] - means[inner])
        return np.asarray(values[self._is_leaf].astype(np.float16), dtype=np.float32)

    def settle(self, setting: float) -> None:
        """Fix the strength of shrinkage and drop what only the choice needed."""
        self.values_ = self._leaf_values(setting)
        del self._means, self._known

    def predict(self, views: Views) -> NDArray[np.float64]:
        """Forecast (n, m) targets after :meth:`settle`."""
        return self._average(views, [self.values_])[0]

    def predict_many(self, views: Views, settings: tuple[float, ...]) -> list[NDArray[np.float64]]:
        """Forecast for several strengths of shrinkage, before :meth:`settle`, in one descent of the trees."""
        return self._average(views, [self._leaf_values(setting) for setting in settings])

    def _average(self, views: Views, values: list[Floats]) -> list[NDArray[np.float64]]:
        features = _features(views, self.difficulty_.transform(views))
        forecasts = [np.empty((len(features), len(self.mean_)), dtype=np.float64) for _ in values]
        for start in range(0, len(features), _CHUNK):
            leaves = self.leaf_[self._nodes(features[start : start + _CHUNK])]
            for forecast, value in zip(forecasts, values):
                for i, reached in enumerate(leaves, start=start):
                    forecast[i] = np.add.reduce(value[reached], axis=0)
        return [forecast / len(self.roots_) + self.mean_ for forecast in forecasts]

    def _nodes(self, features: Floats) -> NDArray[np.intp]:
        """Descend every tree with every row: (n, d) features to (n, trees) leaves."""
        flat, n = features.ravel(), len(features)
        feature, threshold, child = self._wide_feature, self.threshold_, self._wide_child
        base = (np.arange(n) * features.shape[1])[:, None] if n > 1 else 0
        node = self._wide_roots if n == 1 else np.tile(self._wide_roots, (n, 1))
        # `take` on machine-sized indices: these few array steps a level are most of what a single query costs.
        for _ in self._levels[1:]:
            place = feature.take(node)
            if n > 1:
                place += base
            right = flat.take(place) > threshold.take(node)
            node = child.take(node)
            node += right
        return node.reshape(n, -1)

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays."""
        config = {"trees": self.trees, "min_leaf": self.min_leaf, "share": self.share, "seed": self.seed}
        arrays = {"roots": self.roots_, "feature": self.feature_, "threshold": self.threshold_, "child": self.child_}
        arrays |= {"mean": self.mean_, "values": self.values_.astype(np.float16)}
        return config, arrays | {f"difficulty.{key}": value for key, value in self.difficulty_.to_arrays().items()}

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        forest = cls(**config)
        forest.roots_, forest.feature_, forest.mean_ = arrays["roots"], arrays["feature"], arrays["mean"]
        forest.threshold_, forest.child_ = arrays["threshold"], arrays["child"]
        forest.values_ = arrays["values"].astype(np.float32)
        prefix = "difficulty."
        own = {key[len(prefix) :]: value for key, value in arrays.items() if key.startswith(prefix)}
        forest.difficulty_ = Difficulty.from_arrays(own)
        forest._index_leaves()
        return forest


def _features(views: Views, difficulty: Floats) -> Floats:
    parts = [views.surface, views.lexical[:, :AXES], views.axes[:, :AXES], difficulty]
    return np.concatenate(parts, axis=1, dtype=np.float32)
