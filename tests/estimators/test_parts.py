from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emafusion.estimators.calibration import Calibration, Shape
from emafusion.estimators.completion import candidate_means, complete
from emafusion.estimators.grouping import fold_of, groups
from emafusion.estimators.neighbours import PLAIN, Neighbours
from emafusion.estimators.ngrams import DIMENSIONS, Counts, ngram_counts
from emafusion.estimators.scales import logit, mean_log_loss, ranking_quality, sigmoid
from emafusion.estimators.stacking import Stack
from emafusion.estimators.text_features import feature_names, text_features
from emafusion.estimators.views import ViewBuilder
from tests.estimators.synthetic import make_log

texts = st.lists(st.text(max_size=200), min_size=1, max_size=6)


@given(texts)
def test_text_features_are_finite_and_independent_of_the_batch(batch: list[str]) -> None:
    measured = text_features(batch)
    assert measured.shape == (len(batch), len(feature_names()))
    assert np.isfinite(measured).all()
    assert np.array_equal(measured[-1:], text_features(batch[-1:]))


def test_text_features_tell_code_from_prose_and_scripts_apart() -> None:
    columns = {name: i for i, name in enumerate(feature_names())}
    code, prose, russian = text_features(["def f(x):\n    return x == 3.5", "Who wrote the poem?", "Кто это написал?"])
    assert code[columns["phrase 'def '"]] > 0 == prose[columns["phrase 'def '"]]
    assert code[columns["decimals"]] > 0 == prose[columns["decimals"]]
    assert code[columns["deepest_indent"]] == pytest.approx(np.log1p(4))
    assert prose[columns["word who"]] > 0
    assert russian[columns["greek_cyrillic_share"]] > 0.5 > prose[columns["greek_cyrillic_share"]]


def dense(counts: Counts) -> NDArray[np.float32]:
    rows = np.zeros((len(counts), DIMENSIONS), dtype=np.float32)
    for row, start, end in zip(rows, counts.edges, counts.edges[1:]):
        row[counts.places[start:end]] = counts.counts[start:end]
    return rows


@settings(max_examples=40)
@given(texts)
def test_ngrams_are_counted_alike_alone_and_in_a_batch(batch: list[str]) -> None:
    counts = dense(ngram_counts(batch))
    for text, row in zip(batch, counts):
        assert np.array_equal(row, dense(ngram_counts([text]))[0])


def test_ngrams_ignore_case_and_the_value_of_digits_but_not_their_number() -> None:
    a, b, c = dense(ngram_counts(["Add 17 apples", "add 42 APPLES", "add 170 apples"]))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_ngrams_of_a_word_are_the_same_wherever_it_stands() -> None:
    alone = dense(ngram_counts(["zebra"]))[0]
    inside = dense(ngram_counts(["x" * 50 + " zebra"]))[0]
    assert np.all(inside[alone > 0] > 0)


@given(st.lists(st.sampled_from(["a", "A!", "b", "b  ", "c c", "d", "e-e", "E e"]), min_size=4, max_size=60))
def test_copies_of_a_text_stay_in_one_fold(batch: list[str]) -> None:
    group = groups(batch)
    fold = fold_of(group, 2, seed=0)
    assert all(len(set(fold[group == g])) == 1 for g in set(group))


def test_folds_of_distinct_texts_have_nearly_equal_size() -> None:
    sizes = np.bincount(fold_of(np.arange(103), 5, seed=1))
    assert sizes.max() - sizes.min() <= 3
    assert len(sizes) == 5


def test_completion_keeps_what_is_known_and_beats_the_means_on_what_is_not() -> None:
    log = make_log(500, 6)
    hidden = np.random.default_rng(0).random(log.scores.shape) < 0.3
    seen = np.where(hidden, np.nan, log.scores)
    filled = complete(seen)
    assert np.array_equal(filled[~hidden], log.scores[~hidden])
    means = np.broadcast_to(candidate_means(seen), filled.shape)
    assert ((filled - log.truth)[hidden] ** 2).mean() < 0.8 * ((means - log.truth)[hidden] ** 2).mean()


@pytest.mark.parametrize("shape", ["line", "curve"])
def test_calibration_lowers_the_log_loss_of_an_overconfident_forecast(shape: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4000, 2))
    scores = (rng.random((4000, 2)) < sigmoid(truth)).astype(float)
    overconfident = 3.0 * truth + 1.0
    fitted = Calibration(shape=shape).fit(overconfident[:2000], scores[:2000])  # type: ignore[arg-type]
    mapped = fitted.predict(overconfident[2000:])
    assert mean_log_loss(sigmoid(mapped), scores[2000:]) < mean_log_loss(sigmoid(overconfident[2000:]), scores[2000:])
    line = np.linspace(-9.0, 9.0, 400)[:, None]
    assert np.all(np.diff(fitted.predict(np.hstack([line, line])), axis=0) > 0)


def test_the_stack_trusts_the_member_that_knows_and_never_weighs_one_negatively() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2000, 3)) * 1.5
    scores = (rng.random(truth.shape) < sigmoid(truth)).astype(float)
    members = np.stack([truth, rng.normal(size=truth.shape), -truth])
    stack = Stack().fit(members, scores)
    assert np.all(stack.weights_ >= 0.0)
    assert np.all(stack.weights_[0] > 0.8)
    assert np.all(stack.weights_[1:] < 0.15)


def test_condensed_neighbours_forecast_nearly_as_well_as_all_of_them() -> None:
    log = make_log(900, 3)
    views = ViewBuilder().fit_transform(log.texts, log.embeddings)
    train, test = np.arange(600), np.arange(600, 900)
    losses = []
    for references in (600, 80):
        member = Neighbours(references=references).fit(views.take(train), log.scores[train], log.scores[train])
        forecasts, nearness = member.predict_many(views.take(test), (PLAIN,))
        losses.append(mean_log_loss(forecasts[0], log.scores[test]))
        assert np.all(nearness[0].effective_n > 0.0)
    means = np.tile(log.scores[train].mean(axis=0), (300, 1))
    assert max(losses) < mean_log_loss(means, log.scores[test]) - 0.05
    assert abs(losses[0] - losses[1]) < 0.05


def test_the_area_under_the_curve_counts_ties_as_one_half() -> None:
    scores = np.array([[0.0], [1.0], [1.0], [0.0]])
    assert ranking_quality(np.full((4, 1), 0.3), scores)[0] == 0.5
    assert ranking_quality(np.array([[0.1], [0.9], [0.8], [0.2]]), scores)[0] == 1.0


@given(st.lists(st.floats(0.02, 0.98), min_size=1, max_size=20))
def test_sigmoid_undoes_logit(values: list[float]) -> None:
    p = np.array(values)
    assert np.allclose(sigmoid(logit(p)), p)


@pytest.mark.parametrize("shape", ["line", "curve"])
def test_a_calibration_is_piecewise_linear_and_goes_on_with_slope_one(shape: Shape) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 2.0, (1500, 3))
    scores = (rng.random((1500, 3)) < sigmoid(0.5 * logits)).astype(np.float64)
    fitted = Calibration(shape=shape).fit(logits, scores)
    wide = np.linspace(-9.0, 9.0, 61)[:, None] + np.zeros((1, 3))
    mapped = fitted.predict(wide)
    for j in range(3):
        x, y = fitted.x_[j], fitted.y_[j]
        inside = np.clip(wide[:, j], x[0], x[-1])
        np.testing.assert_allclose(mapped[:, j], np.interp(inside, x, y) + wide[:, j] - inside, atol=1e-9)


def test_joined_views_are_kept_when_the_neighbours_forecast_is_added() -> None:
    log = make_log(40, 2)
    builder = ViewBuilder().fit(log.texts, log.embeddings)
    views = builder.transform(log.texts, log.embeddings)
    near = views.with_near(log.scores)
    assert near.near is log.scores
    np.testing.assert_array_equal(near.design, views.design)
    joined = views.design
    assert views.with_near(log.scores).design is joined
    np.testing.assert_array_equal(views.take(slice(3, 5)).design, joined[3:5])
