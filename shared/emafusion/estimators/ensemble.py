"""The members of the forecaster, each fitted with the setting that forecast held-out queries best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.categories import Categories
from emafusion.estimators.completion import complete
from emafusion.estimators.forest import Forest
from emafusion.estimators.neighbours import PLAIN, Nearness, Neighbours
from emafusion.estimators.ridge import Ridge
from emafusion.estimators.scales import logit, mean_log_loss, sigmoid
from emafusion.estimators.views import Views

if TYPE_CHECKING:
    from typing_extensions import Self

# The neighbours come first: the forest builds on what they say.
MEMBERS: Final[dict[str, Any]] = {"neighbours": Neighbours, "forest": Forest, "ridge": Ridge, "categories": Categories}


class Ensemble:
    """Fits members, chooses their settings out of fold, and remembers the out-of-fold forecasts.

    Attributes
    ----------
    members_ : dict of str to member
    settings_ : dict of str to the chosen setting
    oof_ : dict of str to ndarray of shape (n, m)
        Each member's forecast of rows it did not see, under its chosen setting.
    nearness_ : Nearness
        Familiarity and effective number of neighbours of the same rows, likewise out of fold.
    """

    def __init__(self, *, members: Sequence[str] = tuple(MEMBERS), trees: int = 100, seed: int = 0) -> None:
        self.members = members
        self.trees = trees
        self.seed = seed

    def _make(self, views: Views) -> dict[str, Any]:
        # The neighbours measure familiarity even where their forecast is not wanted.
        made: dict[str, Any] = {"neighbours": Neighbours(seed=self.seed)}
        if "forest" in self.members:
            made["forest"] = Forest(trees=self.trees, seed=self.seed)
        if "ridge" in self.members:
            made["ridge"] = Ridge()
        if "categories" in self.members and views.labels is not None:
            made["categories"] = Categories()
        return made

    def fit(self, views: Views, scores: NDArray[Any], fold: NDArray[np.int64]) -> Self:
        """Forecast each fold from the others under all settings, keep the best setting, fit it on everything.

        Rows without any known score are forecast but teach nothing.
        """
        completed = complete(scores)
        usable = ~np.isnan(scores).all(axis=1)
        tried: dict[str, NDArray[np.float32]] = {}
        near: list[Nearness] = []
        n, m = scores.shape
        for k in range(int(fold.max()) + 1):
            train, test = np.flatnonzero((fold != k) & usable), np.flatnonzero(fold == k)
            seen, unseen = views.take(train), views.take(test)
            for name, member in self._make(views).items():
                _fit_member(member, seen, scores[train], completed[train], fold[train])
                forecasts = member.predict_many(unseen, member.settings())
                if name == "neighbours":
                    forecasts, found = forecasts
                    unseen = unseen.with_near(forecasts[member.settings().index(PLAIN)])
                    near = near or [Nearness(np.zeros(n), np.zeros(n)) for _ in found]
                    for whole, part in zip(near, found):
                        whole.familiarity[test], whole.effective_n[test] = part.familiarity, part.effective_n
                table = tried.setdefault(name, np.zeros((len(forecasts), n, m), dtype=np.float32))
                table[:, test] = np.stack(forecasts)
        self._settle(views, scores, completed, fold, np.flatnonzero(usable), tried, near)
        return self

    def _settle(
        self,
        views: Views,
        scores: NDArray[Any],
        completed: NDArray[Any],
        fold: NDArray[np.int64],
        rows: NDArray[np.int64],
        tried: dict[str, NDArray[np.float32]],
        near: list[Nearness],
    ) -> None:
        self.members_: dict[str, Any] = {}
        self.settings_: dict[str, Any] = {}
        self.oof_: dict[str, NDArray[np.float64]] = {}
        for name, member in self._make(views).items():
            best = int(np.argmin([mean_log_loss(sigmoid(logit(table)), scores) for table in tried[name]]))
            self.settings_[name] = member.settings()[best]
            self.oof_[name] = tried[name][best].astype(np.float64)
            _fit_member(member, views.take(rows), scores[rows], completed[rows], fold[rows])
            member.settle(self.settings_[name])
            self.members_[name] = member
            if name == "neighbours":
                self.nearness_ = near[best]

    def predict(self, views: Views, names: Sequence[str]) -> tuple[dict[str, NDArray[np.float64]], Nearness]:
        """Return the (n, m) forecasts of the named members, and how near the neighbours are."""
        forecasts: dict[str, NDArray[np.float64]] = {}
        forecasts["neighbours"], nearness, near = self.members_["neighbours"].predict(views)
        views = views.with_near(near)
        for name in names:
            if name != "neighbours":
                forecasts[name] = self.members_[name].predict(views)
        return forecasts, nearness


def _fit_member(
    member: Any, views: Views, scores: NDArray[Any], completed: NDArray[Any], fold: NDArray[np.int64]
) -> None:
    """Fit one member; the forest cross-fits what it builds on, along the folds that remain."""
    if isinstance(member, Forest):
        member.fit(views, scores, completed, fold)
    else:
        member.fit(views, scores, completed)
