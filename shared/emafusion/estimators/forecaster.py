"""The learned router's forecast: for each candidate the probability of a good answer, its spread, and the tokens.

    texts, embeddings -> views -> members (forest, ridge, neighbours, categories) -> stack -> calibration -> forecast
                                                                  far from the data: categories or candidate means

Everything that combines members is fitted on their out-of-fold forecasts, and those that the training rows get back
(``oof_``) passed through combiners that had not seen them either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.calibration import Calibration, Shape
from emafusion.estimators.categories import Categories
from emafusion.estimators.completion import candidate_means, complete
from emafusion.estimators.forecasts import Forecasts
from emafusion.estimators.forest import Forest
from emafusion.estimators.grouping import fold_of, groups
from emafusion.estimators.lengths import Lengths, characters
from emafusion.estimators.neighbours import Nearness, Neighbours
from emafusion.estimators.ridge import Ridge
from emafusion.estimators.scales import calibration_error, log_losses, logit, mean_log_loss, ranking_quality, sigmoid
from emafusion.estimators.stacking import Stack
from emafusion.estimators.views import ViewBuilder, Views

if TYPE_CHECKING:
    from typing_extensions import Self

MEMBERS: Final[dict[str, Any]] = {"forest": Forest, "ridge": Ridge, "neighbours": Neighbours, "categories": Categories}
_NEGLIGIBLE: Final = 0.03  # a member with less than this share of the weight does not pay for its time
_SHAPES: Final[tuple[Shape, ...]] = ("none", "line", "curve")


class Forecaster:
    """Forecast every candidate's score and tokens from the text of a query.

    Parameters
    ----------
    folds : int
        Folds of the cross-validation that chooses hyperparameters, weights the members and calibrates.
    members : sequence of str
        Which of "forest", "ridge", "neighbours" and "categories" compete; the data decide what each counts.
    trees : int
        Trees in the forest.
    seed : int
        Seed of folds, trees and subsamples.

    Attributes
    ----------
    oof_ : Forecasts
        Out-of-fold forecasts of the training rows, calibrated as at serving.
    report_ : dict
        Log loss, AUC and weight of each member, chosen hyperparameters, calibration error before and after.

    Notes
    -----
    The flow is the "learned router" of EMAFusion (arXiv:2504.10681, section 3), with stacked generalisation
    (Wolpert, 1992) in place of a single regression.
    """

    def __init__(
        self,
        *,
        folds: int = 5,
        members: Sequence[str] = tuple(MEMBERS),
        trees: int = 100,
        seed: int = 0,
    ) -> None:
        self.folds = folds
        self.members = members
        self.trees = trees
        self.seed = seed

    # ------------------------------------------------------------------ fitting

    def fit(
        self,
        texts: Sequence[str],
        embeddings: NDArray[Any],
        scores: NDArray[Any],
        in_tok: NDArray[Any],
        out_tok: NDArray[Any],
        label_probs: NDArray[Any] | None = None,
    ) -> Self:
        """Learn from a log of n queries and m candidates.

        Parameters
        ----------
        texts : sequence of str, length n
        embeddings : ndarray of shape (n, d)
        scores : ndarray of shape (n, m)
            In [0, 1]; NaN where unknown. A row without any score is forecast in ``oof_`` but teaches nothing.
        in_tok, out_tok : ndarray of shape (n, m)
            Tokens; NaN where unknown.
        label_probs : ndarray of shape (n, c), optional
            Probabilities of taxonomy labels.

        Raises
        ------
        ValueError
            If shapes disagree, a score lies outside [0, 1], or fewer than two distinct queries have a score.
        """
        from threadpoolctl import threadpool_limits

        scores, in_tok, out_tok = (np.asarray(a, dtype=np.float64) for a in (scores, in_tok, out_tok))
        group = _validate(texts, embeddings, scores, in_tok, out_tok, label_probs)
        # Threads of linear algebra that wait for each other cost more than they bring on matrices of this size.
        with threadpool_limits(limits=1):
            self.views_ = ViewBuilder(seed=self.seed).fit(texts, embeddings)
            views = self.views_.transform(texts, embeddings, label_probs)
            usable = ~np.isnan(scores).all(axis=1)
            count = min(self.folds, len(np.unique(group[usable])))
            fold = fold_of(group, count, self.seed)
            self.prior_ = candidate_means(scores)
            oof_members, nearness = self._fit_members(views, scores, fold, usable)
            self._fit_combiners(views, oof_members, nearness, scores, fold)
            self._fit_lengths(views, texts, in_tok, out_tok, fold)
        return self

    def _members(self, views: Views) -> dict[str, Any]:
        made = {}
        for name in self.members:
            if name == "categories" and views.labels is None:
                continue
            made[name] = Forest(trees=self.trees, seed=self.seed) if name == "forest" else MEMBERS[name]()
        # The neighbours measure familiarity even where their forecast is not wanted.
        made.setdefault("neighbours", Neighbours())
        return made

    def _fit_members(
        self, views: Views, scores: NDArray[Any], fold: NDArray[np.int64], usable: NDArray[np.bool_]
    ) -> tuple[dict[str, NDArray[Any]], Nearness]:
        """Forecast each fold from the others under all settings, keep the best setting, fit it on everything."""
        completed = complete(scores)
        tried: dict[str, NDArray[np.float32]] = {}
        near: list[Nearness] = []
        n, m = scores.shape
        for k in range(int(fold.max()) + 1):
            train, test = np.flatnonzero((fold != k) & usable), np.flatnonzero(fold == k)
            for name, member in self._members(views).items():
                member.fit(views.take(train), scores[train], completed[train])
                forecasts = member.predict_many(views.take(test), member.settings())
                if name == "neighbours":
                    forecasts, found = forecasts
                    near = near or [Nearness(np.zeros(n), np.zeros(n)) for _ in found]
                    for all_, one in zip(near, found):
                        all_.familiarity[test], all_.effective_n[test] = one.familiarity, one.effective_n
                table = tried.setdefault(name, np.zeros((len(forecasts), n, m), dtype=np.float32))
                table[:, test] = np.stack(forecasts)
        self.members_, self.settings_ = {}, {}
        chosen, rows = {}, np.flatnonzero(usable)
        for name, member in self._members(views).items():
            losses = [mean_log_loss(sigmoid(logit(table)), scores) for table in tried[name]]
            best = int(np.argmin(losses))
            self.settings_[name] = member.settings()[best]
            chosen[name] = tried[name][best].astype(np.float64)
            member.fit(views.take(rows), scores[rows], completed[rows]).settle(self.settings_[name])
            self.members_[name] = member
            if name == "neighbours":
                nearness = near[best]
        return chosen, nearness

    def _fit_combiners(
        self,
        views: Views,
        oof: dict[str, NDArray[Any]],
        nearness: Nearness,
        scores: NDArray[Any],
        fold: NDArray[np.int64],
    ) -> None:
        """Weigh the members, drop those that do not pay, calibrate; each step also out of fold."""
        names = [name for name in oof if name in self.members]
        logits = np.stack([logit(oof[name]) for name in names])
        everything = Stack(seed=self.seed).fit(logits, scores)
        share = everything.pool_ / max(everything.pool_.sum(), 1e-9)
        self.stacked_ = [name for name, part in zip(names, share) if part >= _NEGLIGIBLE] or names
        logits = logits[[names.index(name) for name in self.stacked_]]
        self.stack_ = Stack(seed=self.seed).fit(logits, scores)
        stacked = _cross_fitted(lambda rows: Stack(seed=self.seed).fit(logits[:, rows], scores[rows]), logits, fold)
        mapped = {
            shape: _cross_fitted(lambda rows, s=shape: Calibration(shape=s).fit(stacked[rows], scores[rows]), stacked, fold)
            for shape in _SHAPES
        }
        losses = {shape: mean_log_loss(sigmoid(z), scores) for shape, z in mapped.items()}
        shape = min(_SHAPES, key=losses.__getitem__)
        self.calibration_ = Calibration(shape=shape).fit(stacked, scores)
        prior = self._prior_logits(views, oof.get("categories"))
        self._oof = self._combine(logits, mapped[shape], prior, nearness)
        self.report_ = {
            "folds": int(fold.max()) + 1,
            "settings": {name: _plain(setting) for name, setting in self.settings_.items()},
            "members": {name: _quality(oof[name], scores) for name in oof},
            "weights": {name: w.round(3).tolist() for name, w in zip(self.stacked_, self.stack_.weights_)},
            "share": {name: round(float(part), 3) for name, part in zip(names, share)},
            "calibration": {"shape": shape, "log_loss": {k: round(v, 5) for k, v in losses.items()}},
            "stack": _quality(self._oof[0], scores),
            "prior": _quality(np.tile(self.prior_, (len(scores), 1)), scores),
            "ece_before": round(calibration_error(np.mean([oof[n] for n in names], axis=0), scores), 5),
            "ece_after": round(calibration_error(self._oof[0], scores), 5),
        }

    def _fit_lengths(
        self, views: Views, texts: Sequence[str], in_tok: NDArray[Any], out_tok: NDArray[Any], fold: NDArray[np.int64]
    ) -> None:
        size = characters(texts)
        logs = np.hstack([np.log1p(out_tok), np.log((in_tok + 1.0) / size)])
        predicted = np.empty(logs.shape)
        for k in range(int(fold.max()) + 1):
            test = fold == k
            predicted[test] = Lengths().fit(views.take(~test), logs[~test]).predict_logs(views.take(test))
        self.lengths_ = Lengths().fit(views, logs)
        self.lengths_.smear(predicted, logs)
        means = np.where(self.lengths_.known_, np.exp(predicted) * self.lengths_.smear_, np.nan)
        residual = np.nanstd(logs - predicted)
        self.report_["tokens"] = {"log_rmse": round(float(residual), 4), "log_sd": round(float(np.nanstd(logs)), 4)}
        p, sd, familiarity, effective_n = self._oof
        m = out_tok.shape[1]
        self.oof_ = Forecasts(p, sd, means[:, :m] - 1.0, means[:, m:] * size, familiarity, effective_n)
        del self._oof

    # ------------------------------------------------------------------ serving

    def predict(
        self, texts: Sequence[str], embeddings: NDArray[Any], label_probs: NDArray[Any] | None = None
    ) -> Forecasts:
        """Forecast n queries. Needs numpy only."""
        views = self.views_.transform(texts, embeddings, label_probs)
        raw: dict[str, NDArray[Any]] = {}
        raw["neighbours"], nearness = self.members_["neighbours"].predict(views)
        for name in self.stacked_:
            if name != "neighbours":
                raw[name] = self.members_[name].predict(views)
        logits = np.stack([logit(raw[name]) for name in self.stacked_])
        mapped = self.calibration_.predict(self.stack_.predict(logits))
        p, sd, familiarity, effective_n = self._combine(logits, mapped, self._prior_logits(views, None), nearness)
        means = self.lengths_.predict(views)
        m = p.shape[1]
        return Forecasts(p, sd, means[:, :m] - 1.0, means[:, m:] * characters(texts), familiarity, effective_n)

    def _prior_logits(self, views: Views, known: NDArray[Any] | None) -> NDArray[np.float64]:
        if known is not None:
            return logit(known)
        if "categories" in self.members_ and views.labels is not None:
            return logit(self.members_["categories"].predict(views))
        return np.tile(logit(self.prior_), (len(views), 1))

    def _combine(
        self, logits: NDArray[Any], mapped: NDArray[Any], prior: NDArray[Any], nearness: Nearness
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Fall back to the prior far from the data; spread = what few neighbours leave open + members' disagreement."""
        familiarity = nearness.familiarity[:, None]
        p = sigmoid(familiarity * mapped + (1.0 - familiarity) * prior)
        weight = self.stack_.weights_ / np.maximum(self.stack_.weights_.sum(axis=0), 1e-9)
        opinions = sigmoid(logits)
        centre = np.einsum("knm,km->nm", opinions, weight)
        disagreement = np.einsum("knm,km->nm", (opinions - centre) ** 2, weight)
        effective_n = nearness.effective_n * nearness.familiarity
        variance = p * (1.0 - p) / (effective_n[:, None] + 2.0) + disagreement
        return p, np.sqrt(np.minimum(variance, p * (1.0 - p))), nearness.familiarity, effective_n

    # ------------------------------------------------------------------ artefact

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays; ``oof_`` is not part of the artefact."""
        kept = {name: self.members_[name] for name in self.members_ if name in (*self.stacked_, "neighbours", "categories")}
        parts = {"views": self.views_, "lengths": self.lengths_} | {f"member.{k}": v for k, v in kept.items()}
        config: dict[str, Any] = {
            "folds": self.folds,
            "members": list(self.members),
            "trees": self.trees,
            "seed": self.seed,
            "stacked": self.stacked_,
            "report": self.report_,
            "parts": {},
        }
        arrays: dict[str, NDArray[Any]] = {
            "prior": self.prior_,
            "stack.weights": self.stack_.weights_,
            "stack.bias": self.stack_.bias_,
            "calibration.x": self.calibration_.x_,
            "calibration.y": self.calibration_.y_,
        }
        for name, part in parts.items():
            config["parts"][name], own = part.to_arrays()
            arrays |= {f"{name}/{key}": array for key, array in own.items()}
        return config, arrays

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`."""
        forecaster = cls(**{key: config[key] for key in ("folds", "members", "trees", "seed")})
        forecaster.stacked_, forecaster.report_ = config["stacked"], config["report"]
        forecaster.prior_ = arrays["prior"]
        forecaster.stack_, forecaster.calibration_ = Stack(), Calibration()
        forecaster.stack_.weights_, forecaster.stack_.bias_ = arrays["stack.weights"], arrays["stack.bias"]
        forecaster.calibration_.x_, forecaster.calibration_.y_ = arrays["calibration.x"], arrays["calibration.y"]
        forecaster.members_ = {}
        for name, part in config["parts"].items():
            own = {key.split("/", 1)[1]: array for key, array in arrays.items() if key.startswith(f"{name}/")}
            if name == "views":
                forecaster.views_ = ViewBuilder.from_arrays(part, own)
            elif name == "lengths":
                forecaster.lengths_ = Lengths.from_arrays(part, own)
            else:
                member = name.split(".", 1)[1]
                forecaster.members_[member] = MEMBERS[member].from_arrays(part, own)
        return forecaster


def _cross_fitted(fit: Any, logits: NDArray[Any], fold: NDArray[np.int64]) -> NDArray[np.float64]:
    """Map each fold's logits (..., n, m) by what ``fit`` learned from the rows of the other folds."""
    mapped = np.empty(logits.shape[-2:])
    for k in range(int(fold.max()) + 1):
        test = np.flatnonzero(fold == k)
        mapped[test] = fit(np.flatnonzero(fold != k)).predict(logits[..., test, :])
    return mapped


def _quality(p: NDArray[Any], scores: NDArray[Any]) -> dict[str, float]:
    p = np.clip(p, 0.01, 0.99)
    areas = ranking_quality(p, scores)
    auc = float(areas[~np.isnan(areas)].mean()) if (~np.isnan(areas)).any() else 0.5
    losses = log_losses(p, scores)
    return {"log_loss": round(float(losses[~np.isnan(losses)].mean()), 5), "auc": round(auc, 5)}


def _plain(setting: Any) -> Any:
    return list(setting) if isinstance(setting, tuple) else setting


def _validate(
    texts: Sequence[str],
    embeddings: NDArray[Any],
    scores: NDArray[Any],
    in_tok: NDArray[Any],
    out_tok: NDArray[Any],
    label_probs: NDArray[Any] | None,
) -> NDArray[np.int64]:
    n = len(texts)
    if scores.ndim != 2 or len(scores) != n or scores.shape[1] == 0:
        raise ValueError(f"scores must have shape ({n}, candidates), one row a text; got {scores.shape}")
    if np.ndim(embeddings) != 2 or len(embeddings) != n:
        raise ValueError(f"embeddings must have shape ({n}, dimensions), one row a text; got {np.shape(embeddings)}")
    for name, tokens in (("in_tok", in_tok), ("out_tok", out_tok)):
        if tokens.shape != scores.shape:
            raise ValueError(f"{name} must have the shape of scores, {scores.shape}; got {tokens.shape}")
    if label_probs is not None and (np.ndim(label_probs) != 2 or len(label_probs) != n):
        raise ValueError(f"label_probs must have shape ({n}, labels); got {np.shape(label_probs)}")
    if np.nanmin(scores, initial=0.0) < 0.0 or np.nanmax(scores, initial=0.0) > 1.0:
        raise ValueError("scores must lie in [0, 1]; scale them before fitting")
    group = groups(texts)
    usable = ~np.isnan(scores).all(axis=1)
    if len(np.unique(group[usable])) < 2:
        raise ValueError("at least two distinct queries with a score are needed to fit a forecaster")
    return group
