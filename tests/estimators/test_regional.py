"""Where a forecast's distinctions are noise they shrink to the region's table; where they hold they stand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from emafusion.estimators.regional import RegionalShrinkage
from emafusion.estimators.scales import log_losses, logit, sigmoid

Array = NDArray[np.float64]
STANDING = np.array([-1.0, 0.0, 1.0])


def world(seed: int, n: int = 1200) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Two regions of queries: in the first the forecaster knows each candidate's chance, in the second it guesses.

    Returns embeddings (n, 2), forecasts, scores (n, 3), and which region (n,).
    """
    rng = np.random.default_rng(seed)
    region = (np.arange(n) % 2).astype(np.int64)
    embeddings = np.eye(2)[region] * 4.0 + 0.1 * rng.normal(size=(n, 2))
    told = STANDING + rng.normal(size=(n, 3))
    truth = np.where(region[:, None] == 0, told, STANDING)
    scores = (rng.random((n, 3)) < sigmoid(truth)).astype(np.float64)
    return embeddings, sigmoid(told), scores, region


@pytest.fixture(scope="module")
def shrinkage() -> RegionalShrinkage:
    embeddings, p, scores, _ = world(0)
    return RegionalShrinkage(regions=2, seed=0).fit(p, scores, embeddings)


def test_distinctions_that_hold_stand_and_guesses_shrink_to_the_table(shrinkage: RegionalShrinkage) -> None:
    embeddings, p, scores, region = world(1)
    shrunk = shrinkage.predict(p, embeddings, np.ones(len(p)))
    known, guessed = region == 0, region == 1
    assert np.abs(logit(shrunk[known]) - logit(p[known])).mean() < 0.3
    assert np.abs(logit(shrunk[guessed]) - STANDING).mean() < 0.3
    before, after = (log_losses(x[guessed], scores[guessed]).mean() for x in (p, shrunk))
    assert after < before - 0.02


def test_the_best_looking_candidate_is_no_longer_too_good_to_be_true(shrinkage: RegionalShrinkage) -> None:
    embeddings, p, scores, region = world(2)
    guessed = region == 1
    shrunk = shrinkage.predict(p, embeddings, np.ones(len(p)))

    def excess(forecast: Array) -> float:
        """By how much the highest forecast of a query exceeds that candidate's mean score."""
        best = forecast[guessed].argmax(1)
        return float((forecast[guessed].max(1) - scores[guessed][np.arange(len(best)), best]).mean())

    assert excess(p) > 0.1
    assert abs(excess(shrunk)) < 0.05


def test_an_unfamiliar_query_keeps_its_forecast(shrinkage: RegionalShrinkage) -> None:
    embeddings, p, _, _ = world(3)
    assert shrinkage.predict(p, embeddings, np.zeros(len(p))) == pytest.approx(p.clip(0.01, 0.99), abs=1e-9)


def test_unknown_scores_teach_nothing_and_few_rows_leave_the_forecast_alone() -> None:
    embeddings, p, scores, _ = world(4, n=20)
    scores[:] = np.nan
    shrunk = RegionalShrinkage(seed=0).fit(p, scores, embeddings).predict(p, embeddings, np.ones(len(p)))
    assert shrunk == pytest.approx(p.clip(0.01, 0.99), abs=1e-6)


def test_out_of_fold_forecasts_come_from_weights_that_did_not_see_the_fold(shrinkage: RegionalShrinkage) -> None:
    embeddings, p, scores, _ = world(0)
    fold = np.arange(len(p)) % 5
    held_out = shrinkage.cross_predict(p, scores, embeddings, fold)
    changed = scores.copy()
    changed[fold == 2] = 1.0 - changed[fold == 2]
    again = shrinkage.cross_predict(p, changed, embeddings, fold)
    assert np.array_equal(held_out[fold == 2], again[fold == 2])
    assert not np.allclose(held_out[fold != 2], again[fold != 2])


def test_shrinkage_survives_the_way_to_arrays_and_back(shrinkage: RegionalShrinkage) -> None:
    embeddings, p, _, _ = world(5)
    again = RegionalShrinkage.from_arrays(*shrinkage.to_arrays())
    ones = np.ones(len(p))
    assert np.array_equal(again.predict(p, embeddings, ones), shrinkage.predict(p, embeddings, ones))
