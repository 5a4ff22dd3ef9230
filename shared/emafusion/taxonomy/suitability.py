"""The noun here is `Suitability`: how likely each candidate is to answer a category of queries well.

The paper's Phi(F_i, T(x)) >= tau_c (EMAFusion, arXiv 2504.10681), as an empirical-Bayes estimate that starts at the
shipped prior and ends at the observed rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emafusion.errors import ArtefactError, ConfigError, NotFittedError
from emafusion.taxonomy.labels import Taxonomy

__all__ = ["Suitability"]

_Floats = NDArray[np.float64]
_CONCENTRATIONS = np.geomspace(1.0, 512.0, 19)
_NEWTON_STEPS = 25


class Suitability:
    """P(good answer) of each candidate in each category, by empirical Bayes over three levels.

    1. The taxonomy's prior: sigmoid(ability - difficulty), ability by the rank of the candidate's price in the pool.
    2. Parent: the prior's logit plus one offset a candidate and one a category, which all cells share; penalised to 0.
    3. Cell: ``phi = (alpha * parent + good) / (alpha + asked)`` with soft counts, for labels are probabilities.

    Without outcomes phi is the prior; with many it is the observed rate of the cell.

    Parameters
    ----------
    taxonomy : Taxonomy, optional
        Gives categories and prior; the shipped one unless given.
    tolerance : float
        How far below the best candidate's phi a candidate may lie and still be called suitable.
    offset_scale : float
        Standard deviation of the normal penalty on the parent's offsets, in logits.
    concentration : float, optional
        alpha, in outcomes. Unless given, `fit` takes the value in 1..512 of the greatest beta-binomial likelihood.

    Attributes
    ----------
    phi_, parent_, prior_, asked_, good_ : arrays of shape (candidates, categories)
        Estimates, and the additive statistics behind them.
    alpha_ : float
    tau_ : array of shape (categories,)
        Suitability threshold: the best phi of the category less `tolerance`.
    """

    def __init__(
        self,
        *,
        taxonomy: Taxonomy | None = None,
        tolerance: float = 0.05,
        offset_scale: float = 1.0,
        concentration: float | None = None,
    ) -> None:
        self.taxonomy = taxonomy
        self.tolerance = tolerance
        self.offset_scale = offset_scale
        self.concentration = concentration

    def prior(
        self, candidates: Sequence[str], log_prices: ArrayLike, *, abilities: Mapping[str, float] | None = None
    ) -> Suitability:
        """Start from the shipped prior alone.

        Parameters
        ----------
        candidates : sequence of str
        log_prices : array of shape (candidates,)
            Logarithm of a typical price, any base and unit; NaN when unknown (taken as the middle of the pool).
        abilities : mapping, optional
            Known abilities in logits, on the prior's scale; they replace the guess from the price.
        """
        for name, value in (("tolerance", self.tolerance), ("offset_scale", self.offset_scale)):
            if not value >= 0 or not math.isfinite(value):
                raise ConfigError(f"Suitability: {name} must be a finite number >= 0, got {value}")
        if self.concentration is not None and not self.concentration > 0:
            raise ConfigError(f"Suitability: concentration must be greater than 0, got {self.concentration}")
        taxonomy = self.taxonomy or Taxonomy.default()
        prices = np.asarray(log_prices, dtype=np.float64)
        if prices.shape != (len(candidates),):
            raise ConfigError(
                f"log_prices has shape {prices.shape}, expected one price for {len(candidates)} candidates"
            )
        low, high = taxonomy.prior.ability_cheapest, taxonomy.prior.ability_dearest
        ability = low + (high - low) * _price_ranks(prices)
        for position, candidate in enumerate(candidates):
            ability[position] = (abilities or {}).get(candidate, ability[position])
        self.candidates_ = tuple(candidates)
        self.prior_ = _sigmoid(ability[:, None] - taxonomy.difficulty[None, :])
        self.asked_ = np.zeros_like(self.prior_)
        self.good_ = np.zeros_like(self.prior_)
        self.alpha_ = self.concentration or 8.0
        self._estimate()
        return self

    def fit(
        self,
        label_probs: ArrayLike,
        scores: ArrayLike,
        *,
        candidates: Sequence[str],
        log_prices: ArrayLike,
        abilities: Mapping[str, float] | None = None,
    ) -> Suitability:
        """Fit on outcomes.

        Parameters
        ----------
        label_probs : array of shape (n, categories)
            Rows sum to 1; see `Labels.categories`.
        scores : array of shape (n, candidates)
            In [0, 1]; NaN where a candidate was not asked.
        candidates, log_prices, abilities
            As for `prior`.
        """
        self.prior(candidates, log_prices, abilities=abilities)
        self._count(label_probs, scores)
        if self.concentration is None and self.asked_.any():
            self.parent_ = self._parents()
            self.alpha_ = _likeliest_concentration(self.parent_, self.good_, self.asked_)
        self._estimate()
        return self

    def partial_fit(self, label_probs: ArrayLike, scores: ArrayLike) -> Suitability:
        """Add outcomes to the statistics; alpha stays. Arguments as for `fit`."""
        self._check_fitted()
        self._count(label_probs, scores)
        self._estimate()
        return self

    def predict(self, label_probs: ArrayLike) -> tuple[_Floats, _Floats]:
        """Return P(good) and its standard deviation, both of shape (n, candidates).

        The spread counts what is not known about the rates and what is not known about the category.
        """
        self._check_fitted()
        probs = self._probabilities(label_probs)
        expected = probs @ self.phi_.T
        variance = self.phi_ * (1.0 - self.phi_) / (self.alpha_ + self.asked_ + 1.0)
        second_moment = probs @ (variance + self.phi_**2).T
        return expected, np.sqrt(np.maximum(second_moment - expected**2, 0.0))

    def suitable(self, label_probs: ArrayLike) -> NDArray[np.bool_]:
        """Return which candidates reach the query's threshold, sum_c p_c tau_c; shape (n, candidates).

        At least one candidate of every row does.
        """
        expected, _ = self.predict(label_probs)
        threshold = self._probabilities(label_probs) @ self.tau_
        # Where the best candidate changes between likely categories, none may reach the mean of the thresholds.
        reachable = np.minimum(threshold, expected.max(axis=1))
        mask: NDArray[np.bool_] = expected >= reachable[:, None] - 1e-12
        return mask

    def to_arrays(self) -> dict[str, Any]:
        """Return statistics and settings: arrays, numbers and texts, to be written as JSON or .npz."""
        self._check_fitted()
        return {
            "taxonomy": (self.taxonomy or Taxonomy.default()).identity,
            "candidates": list(self.candidates_),
            "tolerance": self.tolerance,
            "offset_scale": self.offset_scale,
            "concentration": self.concentration,
            "alpha": self.alpha_,
            "prior": self.prior_,
            "asked": self.asked_,
            "good": self.good_,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], *, taxonomy: Taxonomy | None = None) -> Suitability:
        """Rebuild what `to_arrays` returned; `ArtefactError` when it belongs to another taxonomy."""
        used = taxonomy or Taxonomy.default()
        if arrays.get("taxonomy") != used.identity:
            raise ArtefactError(
                f"suitability was fitted with taxonomy {arrays.get('taxonomy')!r}, not {used.identity!r}"
            )
        try:
            self = cls(
                taxonomy=taxonomy,
                tolerance=float(arrays["tolerance"]),
                offset_scale=float(arrays["offset_scale"]),
                concentration=arrays["concentration"],
            )
            self.candidates_ = tuple(arrays["candidates"])
            self.prior_, self.asked_, self.good_ = (
                np.array(arrays[name], dtype=np.float64) for name in ("prior", "asked", "good")
            )
            self.alpha_ = float(arrays["alpha"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(f"suitability arrays are incomplete or malformed: {error}") from error
        shape = (len(self.candidates_), len(used.categories))
        if not self.prior_.shape == self.asked_.shape == self.good_.shape == shape:
            raise ArtefactError(f"suitability arrays have shape {self.prior_.shape}, expected {shape}")
        self._estimate()
        return self

    def _count(self, label_probs: ArrayLike, scores: ArrayLike) -> None:
        probs, outcome = self._probabilities(label_probs), np.asarray(scores, dtype=np.float64)
        if outcome.shape != (len(probs), len(self.candidates_)):
            raise ConfigError(f"scores has shape {outcome.shape}, expected {(len(probs), len(self.candidates_))}")
        known = ~np.isnan(outcome)
        if np.any((outcome[known] < 0) | (outcome[known] > 1)):
            raise ConfigError("scores must lie in [0, 1], or be NaN where a candidate was not asked")
        self.asked_ = self.asked_ + known.T.astype(np.float64) @ probs
        self.good_ = self.good_ + np.where(known, outcome, 0.0).T @ probs

    def _estimate(self) -> None:
        self.parent_ = self._parents()
        self.phi_ = (self.alpha_ * self.parent_ + self.good_) / (self.alpha_ + self.asked_)
        self.tau_ = self.phi_.max(axis=0) - self.tolerance

    def _parents(self) -> _Floats:
        """Penalised Newton for logit(parent) = logit(prior) + candidate offset + category offset."""
        base = _logit(self.prior_)
        if self.offset_scale == 0 or not self.asked_.any():
            return self.prior_
        rows, columns = base.shape
        offsets = np.zeros(rows + columns)
        penalty = self.offset_scale**-2
        for _ in range(_NEWTON_STEPS):
            rate = _sigmoid(base + offsets[:rows, None] + offsets[None, rows:])
            residual, weight = self.good_ - self.asked_ * rate, self.asked_ * rate * (1.0 - rate)
            gradient = np.concatenate([residual.sum(axis=1), residual.sum(axis=0)]) - penalty * offsets
            hessian = np.diag(np.concatenate([weight.sum(axis=1), weight.sum(axis=0)]) + penalty)
            hessian[:rows, rows:], hessian[rows:, :rows] = weight, weight.T
            step = np.linalg.solve(hessian, gradient)
            # The likelihood is concave, but a full step may overshoot where rates saturate: half a logit is safe.
            offsets += step * min(1.0, 0.5 / max(float(np.abs(step).max()), 1e-12))
            if np.abs(step).max() < 1e-9:
                break
        return _sigmoid(base + offsets[:rows, None] + offsets[None, rows:])

    def _probabilities(self, label_probs: ArrayLike) -> _Floats:
        probs = np.asarray(label_probs, dtype=np.float64)
        if probs.ndim != 2 or probs.shape[1] != self.prior_.shape[1]:
            raise ConfigError(f"label_probs has shape {probs.shape}, expected (n, {self.prior_.shape[1]})")
        if probs.size and (not np.all(probs >= 0) or np.abs(probs.sum(axis=1) - 1.0).max() > 1e-3):
            raise ConfigError("every row of label_probs must be non-negative and sum to 1")
        return probs

    def _check_fitted(self) -> None:
        if not hasattr(self, "phi_"):
            raise NotFittedError("this Suitability has no candidates yet; call prior(...) or fit(...) first")


def _price_ranks(prices: _Floats) -> _Floats:
    """Rank in [0, 1] of each price, ties at their mean; 0.5 for an unknown price or a pool of one."""
    ranks = np.full(len(prices), 0.5)
    known = np.flatnonzero(~np.isnan(prices))
    if len(known) > 1:
        values = prices[known]
        below = (values[None, :] < values[:, None]).sum(axis=1)
        ties = (values[None, :] == values[:, None]).sum(axis=1) - 1
        ranks[known] = (below + ties / 2) / (len(known) - 1)
    return ranks


def _likeliest_concentration(parent: _Floats, good: _Floats, asked: _Floats) -> float:
    """The alpha of the greatest beta-binomial likelihood of the soft counts, on a grid."""
    seen = asked > 0.5
    if not seen.any():
        return 8.0
    lgamma = np.vectorize(math.lgamma, otypes=[np.float64])
    p, k, n = (np.asarray(array[seen], dtype=np.float64) for array in (parent, good, asked))
    p, k = np.clip(p, 1e-4, 1 - 1e-4), np.clip(k, 0.0, n)
    likelihoods = [
        float(
            np.sum(
                lgamma(k + a * p) - lgamma(a * p) + lgamma(n - k + a * (1 - p)) - lgamma(a * (1 - p))
                - lgamma(n + a) + lgamma(np.full_like(n, a))
            )
        )
        for a in _CONCENTRATIONS
    ]  # fmt: skip
    return float(_CONCENTRATIONS[int(np.argmax(likelihoods))])


def _sigmoid(logits: _Floats) -> _Floats:
    rate: _Floats = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return rate


def _logit(rate: _Floats) -> _Floats:
    clipped = np.clip(rate, 1e-9, 1.0 - 1e-9)
    logits: _Floats = np.log(clipped) - np.log1p(-clipped)
    return logits
