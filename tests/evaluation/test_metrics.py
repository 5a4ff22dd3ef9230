"""Metrics of a trade-off: what must hold whatever the points are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from emafusion.evaluation.bootstrap import area_samples, mean_samples, percentile_interval, resamples
from emafusion.evaluation.metrics import (
    area_under_frontier,
    brier_score,
    cost_at_quality,
    expected_calibration_error,
    frontier,
    mixture_at_cost,
    oracle_gap_recovered,
    quality_at_cost,
    reliability,
)
from emafusion.evaluation.points import Points

Array = NDArray[np.float64]

points = st.lists(
    st.tuples(st.floats(0.01, 10.0), st.floats(0.0, 1.0)).map(lambda p: (round(p[0], 6), round(p[1], 6))),
    min_size=1,
    max_size=12,
)


def split(given: list[tuple[float, float]]) -> tuple[Array, Array]:
    return np.array([c for c, _ in given]), np.array([q for _, q in given])


@given(points)
def test_the_frontier_rises_ever_more_slowly(given: list[tuple[float, float]]) -> None:
    cost, quality = split(given)
    on = frontier(cost, quality)
    assert (np.diff(cost[on]) > 0).all()
    assert (np.diff(quality[on]) > 0).all()
    slopes = np.diff(quality[on]) / np.diff(cost[on])
    assert (np.diff(slopes) < 1e-6).all()


@given(points)
def test_no_point_lies_above_the_frontier(given: list[tuple[float, float]]) -> None:
    cost, quality = split(given)
    assert (quality_at_cost(cost, quality, cost) >= quality - 1e-9).all()


@given(points, st.floats(0.0, 0.5), st.floats(1.0, 3.0), st.booleans())
def test_a_dominated_router_has_the_smaller_area(
    given: list[tuple[float, float]], worse: float, dearer: float, log: bool
) -> None:
    cost, quality = split(given)
    area = area_under_frontier(cost, quality, 0.05, 5.0, log=log)
    dominated = area_under_frontier(cost * dearer, quality * (1.0 - worse), 0.05, 5.0, log=log)
    assert dominated <= area + 1e-9
    assert 0.0 <= dominated <= 1.0


@given(points, points, st.booleans())
def test_more_points_never_lower_the_area(
    one: list[tuple[float, float]], more: list[tuple[float, float]], log: bool
) -> None:
    few = area_under_frontier(*split(one), 0.05, 5.0, log=log)
    assert area_under_frontier(*split(one + more), 0.05, 5.0, log=log) >= few - 1e-9


@given(points, st.booleans())
def test_the_area_is_the_mean_height_of_the_frontier(given: list[tuple[float, float]], log: bool) -> None:
    cost, quality = split(given)
    steps = np.geomspace(0.05, 5.0, 20_001) if log else np.linspace(0.05, 5.0, 20_001)
    scale = np.log(steps) if log else steps
    height = quality_at_cost(cost, quality, steps)
    expected = ((height[1:] + height[:-1]) / 2 * np.diff(scale)).sum() / (scale[-1] - scale[0])
    assert area_under_frontier(cost, quality, 0.05, 5.0, log=log) == pytest.approx(expected, abs=2e-4)


@given(points, st.floats(0.0, 1.0))
def test_cost_at_quality_is_the_least_that_reaches_it(given: list[tuple[float, float]], target: float) -> None:
    cost, quality = split(given)
    found = cost_at_quality(cost, quality, target)
    if found is None:
        assert target > quality.max()
        return
    assert quality_at_cost(cost, quality, found) >= target - 1e-6
    on = frontier(cost, quality)
    if target > quality[on[0]]:  # among mixtures of its own points: silence is no answer of that quality
        assert np.interp(found * (1 - 1e-3), cost[on], quality[on]) < target + 1e-9


@given(points, st.floats(0.001, 20.0))
def test_a_mixture_of_two_points_is_on_the_frontier(given: list[tuple[float, float]], at: float) -> None:
    cost, quality = split(given)
    low, high, share = mixture_at_cost(cost, quality, at)
    assert 0.0 <= share <= 1.0
    mixed_cost, mixed = ((1 - share) * x[low] + share * x[high] for x in (cost, quality))
    on = frontier(cost, quality)
    assert mixed_cost == pytest.approx(np.clip(at, cost[on[0]], cost[on[-1]]), rel=1e-9)
    if at >= cost[on[0]] and quality[on[0]] > 0:
        assert mixed <= quality_at_cost(cost, quality, at) + 1e-9


def test_below_the_cheapest_point_a_router_is_mixed_with_silence() -> None:
    assert quality_at_cost([2.0], [0.8], [1.0]) == pytest.approx(0.4)
    assert area_under_frontier([2.0], [0.8], 1.0, 2.0) == pytest.approx(0.6)


def test_a_range_of_costs_must_be_one() -> None:
    with pytest.raises(ValueError, match="positive and ascending"):
        area_under_frontier([1.0], [0.5], 2.0, 1.0)


def test_the_oracle_gap_runs_from_the_best_single_to_the_oracle() -> None:
    assert oracle_gap_recovered(0.7, 0.7, 0.9) == 0.0
    assert oracle_gap_recovered(0.9, 0.7, 0.9) == 1.0
    assert oracle_gap_recovered(0.9, 0.9, 0.9) is None


confidences = st.lists(st.tuples(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=60)


@given(confidences)
def test_calibration_errors_are_shares(given: list[tuple[float, float]]) -> None:
    confidence, score = split(given)
    assert 0.0 <= expected_calibration_error(confidence, score) <= 1.0
    assert expected_calibration_error(confidence, score) <= np.abs(confidence - score).mean() + 1e-9
    assert 0.0 <= brier_score(confidence, score) <= 1.0
    assert sum(b["count"] for b in reliability(confidence, score)) == len(given)


@given(confidences)
def test_a_confidence_that_is_the_mean_of_its_bin_is_calibrated(given: list[tuple[float, float]]) -> None:
    _, score = split(given)
    assert expected_calibration_error(np.full(len(score), score.mean()), score) == pytest.approx(0.0, abs=1e-9)


def test_one_method_against_itself_differs_by_nothing_in_every_resample() -> None:
    rng = np.random.default_rng(0)
    score, cost = (rng.random((3, 80)) < 0.6).astype(float), rng.random((3, 80)) + 0.1
    mine = Points(score, cost, np.zeros((3, 80), dtype=np.int64))
    samples = mean_samples({"a": mine, "b": mine}, count=250, seed=1)
    areas = [area_samples(*samples[name], 0.1, 1.0, log=True) for name in ("a", "b")]
    assert areas[0].shape == (250,)
    assert (areas[0] == areas[1]).all()
    assert areas[0].std() > 0


def test_queries_are_resampled_whole_and_for_all_methods_together() -> None:
    rng = np.random.default_rng(0)
    score = rng.random((2, 50))
    one = Points(score, score * 2.0, np.zeros((2, 50), dtype=np.int64))
    # The other is better by a tenth, and dearer by three, on every query: so it is in every resample.
    other = Points(score + 0.1, score * 2.0 + 3.0, one.answered)
    samples = mean_samples({"one": one, "other": other}, count=300, seed=2)
    (cost, quality), (its_cost, its_quality) = samples["one"], samples["other"]
    assert quality.shape == (300, 2)
    assert its_quality - quality == pytest.approx(np.full((300, 2), 0.1))
    assert its_cost - cost == pytest.approx(np.full((300, 2), 3.0))
    assert cost == pytest.approx(2.0 * quality)  # a query brings its cost and its score along
    assert quality.std(0) == pytest.approx(score.std(1) / np.sqrt(50), rel=0.15)


def test_a_resample_draws_as_many_queries_as_there_are() -> None:
    for weights in resamples(30, 250, seed=4):
        assert weights.sum(1) == pytest.approx(np.ones(len(weights)))
        assert weights * 30 == pytest.approx(np.round(weights * 30))


def test_a_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for trial in range(200):
        score = (np.random.default_rng(trial).random((1, 150)) < 0.7).astype(float)
        mine = Points(score, np.ones((1, 150)), np.zeros((1, 150), dtype=np.int64))
        samples = mean_samples({"a": mine}, count=200, seed=trial)["a"][1][:, 0]
        found = percentile_interval(samples, float(score.mean()))
        covered += found.low <= 0.7 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_a_quality_that_is_never_reached_stays_infinite() -> None:
    found = percentile_interval(np.array([1.0] * 90 + [np.inf] * 10), 1.0)
    assert found.high == np.inf
    assert found.as_dict() == {"estimate": 1.0, "low": 1.0, "high": None}
