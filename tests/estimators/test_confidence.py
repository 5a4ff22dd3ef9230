"""Short ways to a number give the number that the long way gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emafusion.estimators.beliefs import Evidence, infer
from emafusion.estimators.confidence import ConfidenceCalibration, calibrated
from emafusion.estimators.shared_difficulty import SharedDifficulty, sigmoid


def calibration(m: int) -> ConfidenceCalibration:
    rng = np.random.default_rng(0)
    made = ConfidenceCalibration().start(m)
    made.slopes_ = made.slopes_ + rng.normal(0.0, 0.3, made.slopes_.shape)
    made.intercepts_ = rng.normal(0.0, 0.3, (2, m))
    return made


def some_evidence(n: int, m: int) -> Evidence:
    """The first half of the queries with nothing run."""
    rng = np.random.default_rng(1)
    difficulty = SharedDifficulty().start(m)
    ran = (rng.random((n, m)) < 0.5) & (np.arange(n) >= n // 2)[:, None]
    return Evidence(
        right=difficulty.right(rng.uniform(0.1, 0.9, (n, m))),
        log_nodes=np.log(difficulty.grid()[1]),
        ran=ran,
        label=np.where(ran, rng.integers(-1, 2, (n, m)), -1),
        llr=np.where(ran, rng.normal(size=(n, m)), 0.0),
        eps=rng.uniform(0.05, 0.5, n),
        rho=rng.uniform(0.5, 0.95, n),
    )


@pytest.mark.parametrize("ran", [False, True])
def test_confidence_without_features_is_that_of_the_features(ran: bool) -> None:
    rng = np.random.default_rng(2)
    p, forecast = rng.uniform(0.01, 0.99, (2, 50, 4))
    count = rng.integers(0, 5, (50, 1)) + ran
    own = np.minimum(rng.integers(1, 5, (50, 4)), count) if ran else np.zeros((50, 4), dtype=np.int64)
    fitted = calibration(4)
    intercept = fitted.intercepts_[int(ran)]
    short = fitted.confidence(p, forecast, own, count, ran=ran, intercept=intercept)
    whole = sigmoid(fitted.features(p, forecast, own, count) @ fitted.slopes_[int(ran)] + intercept)
    np.testing.assert_allclose(short, whole, atol=1e-12)


def test_queries_with_nothing_run_are_believed_alike_alone_and_among_others() -> None:
    evidence = some_evidence(12, 3)
    fresh = evidence.take(np.arange(6))
    among, alone = infer(evidence), infer(fresh)
    assert evidence.ran.any()
    assert not fresh.ran.any()
    np.testing.assert_allclose(alone.p, among.p[:6], atol=1e-12)
    np.testing.assert_allclose(alone.joint[..., 0], among.joint[:6, :, 0], atol=1e-12)
    np.testing.assert_allclose(alone.correct[:, 0], among.correct[:6, 0], atol=1e-12)
    forecast, fitted = np.full((12, 3), 0.6), calibration(3)
    np.testing.assert_allclose(
        calibrated(fresh, alone, forecast[:6], fitted), calibrated(evidence, among, forecast, fitted)[:6], atol=1e-12
    )
    assert infer(replace(fresh, eps=fresh.eps / 2)).p == pytest.approx(alone.p)
