"""A forest of extremely randomised trees over all candidates at once, served with numpy alone.

Trees (Geurts, Ernst and Wehenkel, 2006) find which mixtures of surface and meaning are hard; one tree serves every
candidate, so they share what is learned about difficulty. Leaf values are then re-estimated from observed scores only
and shrunk towards their ancestors (hierarchical shrinkage: Agarwal et al., 2022), with a strength chosen out of fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.views import Floats, Views

if TYPE_CHECKING:
    from typing_extensions import Self

SHRINKAGES: Final = (0.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
DEPTH: Final = 18
SAMPLES: Final = 12_000  # rows a tree: beyond that more trees see more rows, each tree need not
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

    def fit(self, views: Views, targets: NDArray[Any], completed: NDArray[Any]) -> Self:
        """Grow the trees on completed targets (n, m); value the leaves by observed targets (n, m), NaN where unknown."""
        from sklearn.ensemble import ExtraTreesRegressor

        features = _features(views)
        n = len(features)
        grown = ExtraTreesRegressor(
            self.trees,
            min_samples_leaf=max(self.min_leaf, min(n, SAMPLES) // 800),
            max_depth=DEPTH,
            max_features=self.share,
            bootstrap=n > SAMPLES,
            max_samples=SAMPLES if n > SAMPLES else None,
            random_state=self.seed,
        ).fit(features, completed)
        self.mean_ = np.nanmean(np.where(np.isnan(targets), completed, targets), axis=0)
        self._grown = [_Tree(estimator.tree_) for estimator in grown.estimators_]
        sums = np.nan_to_num(targets - self.mean_)
        known = (~np.isnan(targets)).astype(np.float64)
        for tree in self._grown:
            tree.count(features, sums, known)
        self._flatten()
        return self

    def _flatten(self) -> None:
        offsets = np.cumsum([0] + [len(tree.feature) for tree in self._grown])
        self.roots_ = offsets[:-1].astype(np.int32)
        self.feature_ = np.concatenate([tree.feature for tree in self._grown]).astype(np.int16)
        self.threshold_ = np.concatenate([tree.threshold for tree in self._grown]).astype(np.float32)
        self.child_ = np.concatenate([t.child + o for t, o in zip(self._grown, offsets)]).astype(np.int32)
        self.depth_ = max(tree.depth for tree in self._grown)
        leaves = self.child_ == np.arange(len(self.child_))
        self.leaf_ = np.where(leaves, np.cumsum(leaves) - 1, 0).astype(np.int32)

    def settle(self, setting: float) -> None:
        """Fix the strength of shrinkage and drop what only the choice needed."""
        self.values_ = self._leaf_values(setting)
        self._grown = []

    def _leaf_values(self, setting: float) -> Floats:
        values = np.concatenate([tree.values(setting) for tree in self._grown])
        leaves = self.child_ == np.arange(len(self.child_))
        return np.asarray(values[leaves].astype(np.float16), dtype=np.float32)

    def predict(self, views: Views, setting: float | None = None) -> NDArray[np.float64]:
        """Forecast (n, m) targets; with a setting before :meth:`settle`, without one after."""
        return self.predict_many(views, None if setting is None else (setting,))[0]

    def predict_many(self, views: Views, settings: tuple[float, ...] | None) -> list[NDArray[np.float64]]:
        """Forecast for several strengths of shrinkage in one descent of the trees."""
        values = [self.values_] if settings is None else [self._leaf_values(setting) for setting in settings]
        features = _features(views)
        forecasts = [np.empty((len(features), len(self.mean_))) for _ in values]
        for start in range(0, len(features), _CHUNK):
            rows = slice(start, start + _CHUNK)
            leaves = self._descend(features[rows])
            for forecast, value in zip(forecasts, values):
                for i, reached in enumerate(leaves, start=start):
                    forecast[i] = value[reached].mean(axis=0)
                forecast[rows] += self.mean_
        return forecasts

    def _descend(self, features: Floats) -> NDArray[np.int32]:
        width = features.shape[1]
        flat = features.ravel()
        base = (np.arange(len(features), dtype=np.int32) * width)[:, None]
        node = np.broadcast_to(self.roots_, (len(features), len(self.roots_)))
        for _ in range(self.depth_):
            node = self.child_[node] + (flat[base + self.feature_[node]] > self.threshold_[node])
        return self.leaf_[node]

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays."""
        config = {"trees": self.trees, "min_leaf": self.min_leaf, "share": self.share, "seed": self.seed}
        arrays = {"roots": self.roots_, "feature": self.feature_, "threshold": self.threshold_, "child": self.child_}
        arrays |= {"mean": self.mean_, "values": self.values_.astype(np.float16)}
        return config | {"depth": int(self.depth_)}, arrays

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        forest = cls(**{key: config[key] for key in ("trees", "min_leaf", "share", "seed")})
        forest.depth_, forest.roots_, forest.feature_ = config["depth"], arrays["roots"], arrays["feature"]
        forest.threshold_, forest.child_, forest.mean_ = arrays["threshold"], arrays["child"], arrays["mean"]
        forest.values_ = arrays["values"].astype(np.float32)
        leaves = forest.child_ == np.arange(len(forest.child_))
        forest.leaf_ = np.where(leaves, np.cumsum(leaves) - 1, 0).astype(np.int32)
        return forest


class _Tree:
    """One grown tree, renumbered so that siblings are neighbours: one array of children is enough."""

    def __init__(self, grown: Any) -> None:
        left, right = grown.children_left, grown.children_right
        self._grown = grown
        inner = np.flatnonzero(left >= 0)
        # The root is node 0; the k-th inner node's children become nodes 2k + 1 and 2k + 2.
        number = np.zeros(grown.node_count, dtype=np.int64)
        number[left[inner]] = 2 * np.arange(len(inner)) + 1
        number[right[inner]] = 2 * np.arange(len(inner)) + 2
        self._number = number
        self.feature = np.zeros(grown.node_count, dtype=np.int64)
        self.threshold = np.full(grown.node_count, np.inf)
        self.child = np.arange(grown.node_count)
        self.feature[number[inner]] = grown.feature[inner]
        self.threshold[number[inner]] = grown.threshold[inner]
        self.child[number[inner]] = number[left[inner]]
        self.depth = int(grown.max_depth)

    def count(self, features: Floats, sums: NDArray[Any], known: NDArray[Any]) -> None:
        """Sum observed deviations and their number in every node, leaves first."""
        from scipy import sparse

        nodes = self._number[self._grown.apply(features)]
        shape = (len(self.feature), len(features))
        member = sparse.csr_matrix((np.ones(len(nodes)), (nodes, np.arange(len(nodes)))), shape=shape)
        self._sums, self._known = member @ sums, member @ known
        self._levels = self._order()
        for inner in reversed(self._levels):
            for table in (self._sums, self._known):
                table[inner] = table[self.child[inner]] + table[self.child[inner] + 1]
        del self._grown

    def _order(self) -> list[NDArray[np.int64]]:
        """Inner nodes, level by level from the root."""
        levels, level = [], np.zeros(1, dtype=np.int64)
        while len(level):
            inner = level[self.child[level] != level]
            levels.append(inner)
            level = np.concatenate([self.child[inner], self.child[inner] + 1])
        return levels

    def values(self, strength: float) -> NDArray[np.float64]:
        """Walk from the root: each step from parent to child counts n / (n + strength), n the parent's observations."""
        mean = self._sums / np.maximum(self._known, 1e-9)
        values = np.zeros_like(mean)
        for inner in self._levels:
            trust = self._known[inner] / (self._known[inner] + strength + 1e-9)
            for child in (self.child[inner], self.child[inner] + 1):
                # A child that saw nothing of a candidate inherits its parent's value.
                step = np.where(self._known[child] > 0, mean[child] - mean[inner], 0.0)
                mean[child] = np.where(self._known[child] > 0, mean[child], mean[inner])
                values[child] = values[inner] + trust * step
        return values


def _features(views: Views) -> Floats:
    return np.ascontiguousarray(np.hstack([views.surface, views.lexical, views.axes]), dtype=np.float32)
