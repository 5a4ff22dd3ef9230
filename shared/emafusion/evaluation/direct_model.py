"""The direct model of off-policy evaluation: what a first move is expected to bring, learned from earlier decisions.

It starts from the router's own forecast and learns by ridge regression how far that is off. Decisions are predicted
block by block, each from those before it: nothing that is predicted was fitted on, and in the order of time the
predictions are a martingale's, which a bet may rest on. A wrong model costs variance, never bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Predictions", "predict_forward"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

FIRST_BLOCK = 32
"""Decisions before anything is learned; blocks double from there on."""
PENALTY = 10.0
"""Of the ridge regressions, in decisions: how many it takes to believe half of a correction."""


@dataclass(frozen=True)
class Predictions:
    """What was expected of n decisions.

    Attributes
    ----------
    quality, cost : (n, m)
        If this candidate was asked first; quality in [0, 1], cost in good answers.
    judged : (n,)
        Quality of the answer that was given, seen through its judges' confidence.
    """

    quality: Array
    cost: Array
    judged: Array


def predict_forward(
    action: IntArray, quality: Array, cost: Array, confidence: Array, expected_quality: Array, expected_cost: Array
) -> Predictions:
    """Predict every decision from those before it.

    Parameters
    ----------
    action : (n,)
        Who was asked first.
    quality : (n,)
        Of the answer, NaN where unknown.
    cost : (n,)
        In good answers.
    confidence : (n,)
        The judges', NaN where there was none.
    expected_quality, expected_cost : (n, m)
        The router's forecast, NaN where it had none.
    """
    n, m = expected_quality.shape
    start_quality, start_cost = _filled(expected_quality, 0.5), _filled(expected_cost, 0.0)
    out = Predictions(start_quality.copy(), start_cost.copy(), np.empty(n))
    rows = np.arange(n)
    features = _features(start_quality, start_cost)
    for begin, end in _blocks(n):
        past, now = slice(0, begin), slice(begin, end)
        taken = start_quality[rows, action]
        heard = np.where(np.isnan(confidence), taken, confidence)
        shown = _shown(heard, taken, action, m)
        known = ~np.isnan(quality[past])
        correction = _ridge(shown[past][known], (quality - heard)[past][known, None])
        seen = np.clip(heard[:end] + (shown[:end] @ correction)[:, 0], 0.0, 1.0)
        out.judged[now] = np.where(np.isnan(confidence[now]), np.nan, seen[now])
        # What is learned from: the truth where it is known, else what the judges' word is worth.
        told = np.where(known, quality[past], seen[past])
        told = np.where(known | ~np.isnan(confidence[past]), told, np.nan)
        informative = ~np.isnan(told)
        mine = features[rows[past], action[past]]
        of_quality = _ridge(mine[informative], (told - taken[past])[informative, None])
        of_cost = _ridge(mine, (cost[past] - start_cost[rows[past], action[past]])[:, None])
        out.quality[now] = np.clip(start_quality[now] + (features[now] @ of_quality)[..., 0], 0.0, 1.0)
        out.cost[now] = np.maximum(start_cost[now] + (features[now] @ of_cost)[..., 0], 0.0)
    unheard = np.isnan(out.judged)
    out.judged[unheard] = out.quality[rows, action][unheard]
    return out


def _blocks(n: int) -> Iterator[tuple[int, int]]:
    begin, end = 0, FIRST_BLOCK
    while begin < n:
        yield begin, min(end, n)
        begin, end = end, 2 * end


def _filled(forecast: Array, default: float) -> Array:
    """The forecast, with the candidate's mean where it had none."""
    known = ~np.isnan(forecast)
    count = known.sum(0)
    mean = np.where(count > 0, np.where(known, forecast, 0.0).sum(0) / np.maximum(count, 1), default)
    return np.where(known, forecast, mean)


def _features(quality: Array, cost: Array) -> Array:
    """(n, m, d): this candidate's forecast, the query's ease, and which candidate it is."""
    n, m = quality.shape
    ease = np.broadcast_to(quality.mean(1, keepdims=True), (n, m))
    shared = np.stack([np.ones((n, m)), quality, quality**2, ease, cost], axis=2)
    return np.concatenate([shared, np.broadcast_to(np.eye(m), (n, m, m))], axis=2)


def _shown(heard: Array, forecast: Array, action: IntArray, m: int) -> Array:
    """(n, d): the judges' word, what was expected, and who answered."""
    shared = np.stack([np.ones(len(heard)), heard - 0.5, (heard - 0.5) ** 2, forecast - 0.5], axis=1)
    return np.concatenate([shared, np.eye(m)[action]], axis=1)


def _ridge(features: Array, target: Array) -> Array:
    d = features.shape[1]
    return np.asarray(np.linalg.solve(features.T @ features + PENALTY * np.eye(d), features.T @ target))
