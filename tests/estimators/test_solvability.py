"""Which candidates can answer, and what verifications show: what is fitted is what was put in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emafusion.estimators.solvability import BINS, Array, Solvability
from tests.learning.verified_log import SAYS_CORRECT, SHARES, simulated


def fitted(n: int = 4000, seed: int = 0) -> Solvability:
    log = simulated(n, seed)
    return Solvability.fit(("s", "l"), log.score, log.cost, log.confidence, log.verified, np.array([2e-5, 0.0]))


def made(score: Array, confidence: Array | None = None) -> Solvability:
    """Fitted on scores alone, or with confidences for every answer."""
    shape = score.shape
    share = np.full(shape, np.nan) if confidence is None else confidence
    verified = np.full(shape, confidence is not None)
    return Solvability.fit(tuple("abcdef"[: shape[1]]), score, np.ones(shape), share, verified, np.zeros(shape[1]))


def test_two_candidates_are_simple_complex_or_unsolvable() -> None:
    model = fitted()
    assert not model.patterns
    assert model.prior == pytest.approx(SHARES, abs=0.03)
    assert model.quality == pytest.approx(np.array([[1, 1], [0, 1], [0, 0]]), abs=0.01)


def test_the_bins_show_what_the_verdicts_are_worth() -> None:
    model = fitted()
    bins = model.likelihood[0][:BINS]
    means = np.arange(BINS) @ (bins / bins.sum(0))
    assert means[0] > means[1] > means[2]
    agreeing, denying = (model.after(model.prior[None], 0, np.array([c]))[0] for c in (1.0, 0.0))
    assert agreeing[0] > 0.9
    assert denying[2] > 0.8
    assert SAYS_CORRECT[0] > SAYS_CORRECT[2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 40))
def test_every_fit_is_made_of_probabilities(seed: int, candidates: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = np.where(rng.random((n, candidates)) < 0.2, np.nan, rng.integers(0, 9, (n, candidates)) / 8)
    model = made(rng.integers(0, 2, (n, candidates)).astype(np.float64), confidence)
    assert model.prior.sum() == pytest.approx(1.0)
    assert model.likelihood.sum(1) == pytest.approx(np.ones((candidates, len(model.prior))))
    assert (model.likelihood > 0).all()
    assert ((model.quality >= 0) & (model.quality <= 1)).all()
    beliefs = model.after(rng.dirichlet(np.ones(len(model.prior)), 5), 0, np.array([0.0, 0.3, 0.5, 1.0, np.nan]))
    assert beliefs.sum(1) == pytest.approx(np.ones(5))
    assert len(model.process().stages) == len(model.stages())


def test_a_verification_without_a_verdict_says_nothing() -> None:
    model = fitted(300)
    assert model.after(model.prior[None], 0, np.array([np.nan]))[0] == pytest.approx(model.prior)


def test_combinations_are_told_apart_where_the_dear_often_fail_where_the_cheap_succeed() -> None:
    rng = np.random.default_rng(0)
    assert made(rng.integers(0, 2, (200, 3)).astype(np.float64)).patterns
    nested = (rng.random((200, 1)) < np.array([0.3, 0.6, 0.9])).astype(np.float64)
    assert not made(nested).patterns
    assert not made(rng.integers(0, 2, (200, 4)).astype(np.float64)).patterns


def test_in_long_chains_dearer_candidates_keep_their_own_quality() -> None:
    rng = np.random.default_rng(1)
    score = (rng.random((3000, 4)) < np.array([0.4, 0.5, 0.6, 0.9])).astype(np.float64)
    model = made(score)
    assert model.quality[0] == pytest.approx([1.0, 0.5, 0.6, 0.9], abs=0.05)
    assert model.quality[-1] == pytest.approx(np.zeros(4), abs=0.01)


def test_forecasts_tilt_the_prior_towards_them() -> None:
    model = fitted()
    for wanted in ([0.8, 0.9], [0.1, 0.3], [0.05, 0.9]):
        (tilted,) = model.tilted(np.array([wanted]))
        assert tilted @ model.quality == pytest.approx(wanted, abs=0.03)


def test_it_survives_json() -> None:
    model = fitted(200)
    again = Solvability.from_config(json.loads(json.dumps(model.to_config())))
    assert again.to_config() == model.to_config()


def test_nothing_to_fit_on_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one query"):
        made(np.zeros((0, 2)))
