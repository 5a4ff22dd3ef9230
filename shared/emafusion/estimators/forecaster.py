"""The learned router's forecast: for each candidate the probability of a good answer, its spread, and the tokens.

    texts, embeddings -> views -> members (neighbours, forest, ridge, categories) -> stack -> calibration -> shrinkage
                                                                  far from the data: categories or candidate means

Everything that combines members is fitted on their out-of-fold forecasts, and those that the training rows get back
(``oof_``) passed through combiners that had not seen them either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.combination import Combination
from emafusion.estimators.completion import candidate_means
from emafusion.estimators.ensemble import MEMBERS, Ensemble
from emafusion.estimators.forecasts import Forecasts
from emafusion.estimators.grouping import fold_of, groups
from emafusion.estimators.lengths import Lengths, characters
from emafusion.estimators.regional import RegionalShrinkage
from emafusion.estimators.scales import calibration_error, logit, quality
from emafusion.estimators.views import ViewBuilder, Views

if TYPE_CHECKING:
    from typing_extensions import Self


class Forecaster:
    """Forecast every candidate's score and tokens from the text of a query.

    Parameters
    ----------
    folds : int
        Folds of the cross-validation that chooses hyperparameters, weights the members and calibrates.
    members : sequence of str
        Which of "neighbours", "forest", "ridge" and "categories" compete; the data decide what each counts.
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
        self, *, folds: int = 5, members: Sequence[str] = tuple(MEMBERS), trees: int = 100, seed: int = 0
    ) -> None:
        self.folds = folds
        self.members = members
        self.trees = trees
        self.seed = seed

    def fit(
        self,
        texts: Sequence[str],
        embeddings: NDArray[Any],
        scores: NDArray[Any],
        in_tok: NDArray[Any],
        out_tok: NDArray[Any],
        label_probs: NDArray[Any] | None = None,
    ) -> Self:
        """Learn from a log of n queries and m candidates. Needs scikit-learn.

        Parameters
        ----------
        texts : sequence of str, length n
        embeddings : ndarray of shape (n, d)
        scores : ndarray of shape (n, m)
            In [0, 1]; NaN where unknown. A row without any score is forecast in ``oof_`` but teaches nothing.
        in_tok, out_tok : ndarray of shape (n, m)
            Tokens; NaN where unknown.
        label_probs : ndarray of shape (n, c), optional
            Probabilities of taxonomy labels; a row of zeros or NaN carries none.

        Raises
        ------
        ValueError
            If shapes disagree, a number is out of range, or fewer than two distinct queries have a score.
        """
        # Loaded first, for the limit on threads holds for what is loaded: else a first fit differs from a second one.
        import sklearn.ensemble
        import sklearn.utils.extmath  # noqa: F401
        from threadpoolctl import threadpool_limits

        scores, in_tok, out_tok = (np.asarray(table, dtype=np.float64) for table in (scores, in_tok, out_tok))
        _validate(self, texts, embeddings, scores, in_tok, out_tok, label_probs)
        group = groups(texts)
        distinct = len(np.unique(group[~np.isnan(scores).all(axis=1)]))
        if distinct < 2:
            raise ValueError("at least two distinct queries with a score are needed to fit a forecaster")
        fold = fold_of(group, min(self.folds, distinct), self.seed)
        # Threads of linear algebra that wait for each other cost more than they bring on matrices of this size.
        with threadpool_limits(limits=1):
            self.views_ = ViewBuilder(seed=self.seed)
            views = self.views_.fit_transform(texts, embeddings, label_probs)
            self.labels_ = None if views.labels is None else views.labels.shape[1]
            self.prior_ = candidate_means(scores)
            self.ensemble_ = Ensemble(members=self.members, trees=self.trees, seed=self.seed).fit(views, scores, fold)
            p = self._fit_combination(views, scores, fold)
            self._fit_lengths(views, texts, in_tok, out_tok, fold, p)
        return self

    def _fit_combination(self, views: Views, scores: NDArray[Any], fold: NDArray[np.int64]) -> NDArray[np.float64]:
        """Fit what turns members into one forecast; returns the out-of-fold forecasts (n, m)."""
        forecasts, nearness = self.ensemble_.oof_, self.ensemble_.nearness_
        competing = {name: forecast for name, forecast in forecasts.items() if name in self.members}
        prior = logit(forecasts.get("categories", np.tile(self.prior_, (len(scores), 1))))
        self.combination_ = Combination(seed=self.seed).fit(competing or forecasts, nearness, prior, scores, fold)
        stacked = self.combination_.oof_[0]
        self.regional_ = RegionalShrinkage(seed=self.seed).fit(stacked, scores, views.semantic)
        p = self.regional_.cross_predict(stacked, scores, views.semantic, fold)
        self.report_: dict[str, Any] = {
            "folds": int(fold.max()) + 1,
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in self.ensemble_.settings_.items()},
            "members": {name: quality(forecast, scores) for name, forecast in forecasts.items()},
            "prior": quality(np.tile(self.prior_, (len(scores), 1)), scores),
            "stack": quality(stacked, scores),
            "shrunk": quality(p, scores),
            "shares": {name: round(share, 3) for name, share in self.combination_.shares_.items()},
            "weights": dict(zip(self.combination_.names_, self.combination_.stack_.weights_.round(3).tolist())),
            "calibration": self.combination_.calibration_.shape,
            "calibration_log_loss": {shape: round(loss, 5) for shape, loss in self.combination_.losses_.items()},
            "ece_before": round(calibration_error(np.mean(list(forecasts.values()), axis=0), scores), 5),
            "ece_after": round(calibration_error(p, scores), 5),
        }
        return p

    def _fit_lengths(
        self,
        views: Views,
        texts: Sequence[str],
        in_tok: NDArray[Any],
        out_tok: NDArray[Any],
        fold: NDArray[np.int64],
        p: NDArray[np.float64],
    ) -> None:
        size = characters(texts)
        logs = np.hstack([np.log1p(out_tok), np.log((in_tok + 1.0) / size)])
        self.lengths_ = Lengths().fit(views, logs)
        predicted = self.lengths_.cross_predict(views, logs, fold)
        self.lengths_.smear(predicted, logs)
        gap = (predicted - logs)[:, : out_tok.shape[1]]
        known = ~np.isnan(gap)
        self.report_["out_tok_log_rmse"] = round(float(np.sqrt((gap[known] ** 2).mean())), 4) if known.any() else None
        sd = self.combination_.oof_[1]
        nearness = self.ensemble_.nearness_
        effective_n = nearness.effective_n * nearness.familiarity
        self.oof_ = Forecasts(
            p, sd, *_tokens(self.lengths_.rescale(predicted), size), nearness.familiarity, effective_n
        )

    def predict(
        self,
        texts: Sequence[str],
        embeddings: NDArray[Any],
        label_probs: NDArray[Any] | None = None,
        *,
        shrunk: bool = True,
    ) -> Forecasts:
        """Forecast n queries from their (n, d) embeddings and optional (n, c) label probabilities. Needs numpy only.

        With ``shrunk=False`` the forecast is that of the stack, before it is shrunk region by region.

        Raises
        ------
        ValueError
            If a shape differs from what was fitted.
        """
        if not hasattr(self, "combination_"):
            raise ValueError("this forecaster is not fitted yet: call fit, or load one with from_arrays")
        embeddings = np.asarray(embeddings, dtype=np.float32)
        expected = (len(texts), len(self.views_.mean_))
        if embeddings.shape != expected:
            raise ValueError(f"embeddings must have shape {expected} as in fit; got {embeddings.shape}")
        # A forecaster that was fitted without labels has no use for them.
        labels = None if self.labels_ is None or label_probs is None else np.asarray(label_probs)
        if labels is not None and labels.shape != (len(texts), self.labels_):
            raise ValueError(f"label_probs must have shape ({len(texts)}, {self.labels_}); got {labels.shape}")
        views = self.views_.transform(texts, embeddings, labels)
        tokens = _tokens(self.lengths_.rescale(self.lengths_.predict(views)), characters(texts))
        raw, nearness = self.ensemble_.predict(views, self.combination_.names_)
        p, sd = self.combination_.predict(raw, nearness, self._prior_logits(views, raw))
        if shrunk:
            p = self.regional_.predict(p, views.semantic, nearness.familiarity)
        return Forecasts(p, sd, *tokens, nearness.familiarity, nearness.effective_n * nearness.familiarity)

    def _prior_logits(self, views: Views, raw: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        if "categories" in raw:
            return logit(raw["categories"])
        if views.labels is not None and "categories" in self.ensemble_.members_:
            return logit(self.ensemble_.members_["categories"].predict(views))
        return np.tile(logit(self.prior_), (len(views), 1))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return a JSON-able configuration and named arrays; ``oof_`` is not part of the artefact."""
        needed = {*self.combination_.names_, "neighbours", "categories"}
        kept = {name: member for name, member in self.ensemble_.members_.items() if name in needed}
        parts: dict[str, Any] = {
            "views": self.views_,
            "lengths": self.lengths_,
            "combination": self.combination_,
            "regional": self.regional_,
        }
        config: dict[str, Any] = {
            "parameters": {
                "folds": self.folds,
                "members": list(self.members),
                "trees": self.trees,
                "seed": self.seed,
            },
            "labels": self.labels_,
            "report": self.report_,
            "parts": {},
        }
        arrays: dict[str, NDArray[Any]] = {"prior": self.prior_}
        for name, part in (parts | {f"member.{name}": member for name, member in kept.items()}).items():
            config["parts"][name], own = part.to_arrays()
            arrays |= {f"{name}/{key}": array for key, array in own.items()}
        return config, arrays

    @classmethod
    def from_arrays(cls, config: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild from :meth:`to_arrays`; forecasts are those of the original. Needs numpy only."""
        forecaster = cls(**config["parameters"])
        forecaster.labels_, forecaster.report_ = config["labels"], config["report"]
        forecaster.prior_ = arrays["prior"]
        forecaster.ensemble_ = Ensemble(members=forecaster.members, trees=forecaster.trees, seed=forecaster.seed)
        forecaster.ensemble_.members_ = {}
        for name, part in config["parts"].items():
            own = {key.split("/", 1)[1]: array for key, array in arrays.items() if key.startswith(f"{name}/")}
            if name == "views":
                forecaster.views_ = ViewBuilder.from_arrays(part, own)
            elif name == "lengths":
                forecaster.lengths_ = Lengths.from_arrays(part, own)
            elif name == "combination":
                forecaster.combination_ = Combination.from_arrays(part, own)
            elif name == "regional":
                forecaster.regional_ = RegionalShrinkage.from_arrays(part, own)
            else:
                member = name.split(".", 1)[1]
                forecaster.ensemble_.members_[member] = MEMBERS[member].from_arrays(part, own)
        return forecaster


def _tokens(means: NDArray[Any], size: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split (n, 2 m) means of 1 + output tokens and of input tokens a character into output and input tokens."""
    m = means.shape[1] // 2
    return np.maximum(means[:, :m] - 1.0, 0.0), means[:, m:] * size


def _validate(
    forecaster: Forecaster,
    texts: Sequence[str],
    embeddings: NDArray[Any],
    scores: NDArray[Any],
    in_tok: NDArray[Any],
    out_tok: NDArray[Any],
    label_probs: NDArray[Any] | None,
) -> None:
    n = len(texts)
    if forecaster.folds < 2:
        raise ValueError(f"folds must be at least 2; got {forecaster.folds}")
    unknown = set(forecaster.members) - set(MEMBERS)
    if unknown or not forecaster.members:
        raise ValueError(f"members must be some of {', '.join(MEMBERS)}; got {', '.join(forecaster.members) or 'none'}")
    if scores.ndim != 2 or len(scores) != n or scores.shape[1] == 0:
        raise ValueError(f"scores must have shape ({n}, candidates), one row a text; got {scores.shape}")
    if np.ndim(embeddings) != 2 or len(embeddings) != n or not np.isfinite(embeddings).all():
        raise ValueError(f"embeddings must be finite, of shape ({n}, dimensions); got shape {np.shape(embeddings)}")
    if label_probs is not None and (np.ndim(label_probs) != 2 or len(label_probs) != n):
        raise ValueError(f"label_probs must have shape ({n}, labels), one row a text; got {np.shape(label_probs)}")
    if ((scores < 0.0) | (scores > 1.0)).any():
        raise ValueError("scores must lie in [0, 1]: scale them before fitting")
    for name, tokens in (("in_tok", in_tok), ("out_tok", out_tok)):
        if tokens.shape != scores.shape:
            raise ValueError(f"{name} must have the shape of scores, {scores.shape}; got {tokens.shape}")
        if (tokens < 0.0).any() or np.isinf(tokens).any():
            raise ValueError(f"{name} must hold token counts, zero or more, or NaN where unknown")
