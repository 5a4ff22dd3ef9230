"""Suitability: from the shipped prior to the observed rates, by way of shrinkage."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from emafusion.errors import ArtefactError, ConfigError, NotFittedError
from emafusion.taxonomy import Suitability, Taxonomy

POOL = ("cheap", "middle", "dear")
LOG_PRICES = (-3.0, -1.0, 2.0)
CATEGORIES = Taxonomy.default().categories


def certain(category: str, count: int = 1) -> NDArray[np.float64]:
    return np.tile(np.eye(len(CATEGORIES))[CATEGORIES.index(category)], (count, 1))


def everywhere() -> NDArray[np.float64]:
    return np.eye(len(CATEGORIES))


def prior() -> Suitability:
    return Suitability().prior(POOL, LOG_PRICES)


def fitted(category: str, good: int, asked: int, *, candidate: int = 0, alpha: float = 8.0) -> Suitability:
    scores = np.full((asked, len(POOL)), np.nan)
    scores[:, candidate] = np.arange(asked) < good
    model = Suitability(concentration=alpha)
    return model.fit(certain(category, asked), scores, candidates=POOL, log_prices=LOG_PRICES)


def phi(model: Suitability, category: str, candidate: int = 0) -> float:
    return float(model.predict(certain(category))[0][0, candidate])


def test_without_outcomes_dearer_is_better_and_harder_is_worse() -> None:
    p, _ = prior().predict(everywhere())
    assert np.all(np.diff(p, axis=1) > 0)
    assert phi(prior(), "arithmetic_reasoning/direct") > phi(prior(), "competition_mathematics/expert")


def test_fitting_on_nothing_is_the_prior() -> None:
    empty = Suitability().fit(np.zeros((0, len(CATEGORIES))), np.zeros((0, 3)), candidates=POOL, log_prices=LOG_PRICES)
    unknown = Suitability().fit(everywhere(), np.full((64, 3), np.nan), candidates=POOL, log_prices=LOG_PRICES)
    for model in (empty, unknown):
        np.testing.assert_array_equal(model.phi_, prior().prior_)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 20))
def test_with_many_outcomes_the_estimate_is_the_observed_rate(twentieths: int) -> None:
    few, many = (fitted("translation/direct", count * twentieths // 20, count) for count in (40, 2_000))
    distance = [abs(phi(model, "translation/direct") - twentieths / 20) for model in (few, many)]
    assert distance[1] <= min(distance[0], 0.005)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.data())
def test_one_more_good_answer_never_lowers_the_estimate(asked: int, data: st.DataObject) -> None:
    good = data.draw(st.integers(0, asked - 1))
    fewer, more = fitted("extraction/few_step", good, asked), fitted("extraction/few_step", good + 1, asked)
    assert phi(more, "extraction/few_step") > phi(fewer, "extraction/few_step")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.5, 100.0))
def test_the_estimate_lies_between_parent_and_observed_rate(good: int, asked: int, alpha: float) -> None:
    good = min(good, asked)
    model = fitted("extraction/few_step", good, asked, alpha=alpha)
    cell = CATEGORIES.index("extraction/few_step")
    ends = sorted((float(model.parent_[0, cell]), good / asked))
    assert ends[0] - 1e-12 <= phi(model, "extraction/few_step") <= ends[1] + 1e-12


def test_good_answers_elsewhere_raise_a_candidate_everywhere_but_less() -> None:
    model = fitted("translation/direct", 60, 60)
    here = phi(model, "translation/direct") - phi(prior(), "translation/direct")
    there = phi(model, "code_generation/expert") - phi(prior(), "code_generation/expert")
    assert there > 0
    bad = fitted("translation/direct", 0, 60)
    assert phi(bad, "translation/direct") < phi(prior(), "translation/direct") - here
    assert phi(bad, "code_generation/expert") < phi(prior(), "code_generation/expert")


def test_the_spread_shrinks_with_outcomes_and_grows_with_unsure_labels() -> None:
    few, many = fitted("translation/direct", 8, 10), fitted("translation/direct", 160, 200)
    assert many.predict(certain("translation/direct"))[1][0, 0] < few.predict(certain("translation/direct"))[1][0, 0]
    unsure = 0.5 * certain("conversation/direct") + 0.5 * certain("competition_mathematics/expert")
    ends = [
        prior().predict(certain(name))[1][0, 0] for name in ("conversation/direct", "competition_mathematics/expert")
    ]
    assert prior().predict(unsure)[1][0, 0] > max(ends)


def test_alpha_is_large_where_categories_agree_with_their_parent_and_small_where_not() -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat(everywhere(), 40, axis=0)
    parent = prior().predict(labels)[0]
    erratic = np.clip(parent + rng.choice([-0.4, 0.4], size=(len(CATEGORIES), 3)).repeat(40, axis=0), 0.02, 0.98)
    alphas = [
        Suitability()
        .fit(labels, (rng.random(rate.shape) < rate).astype(float), candidates=POOL, log_prices=LOG_PRICES)
        .alpha_
        for rate in (parent, erratic)
    ]
    assert alphas[0] > 4 * alphas[1]


def test_fitting_beats_the_prior_and_the_mean_on_new_queries() -> None:
    rng = np.random.default_rng(3)
    truth = rng.beta(3, 2, size=(3, len(CATEGORIES)))
    labels = rng.dirichlet(np.full(len(CATEGORIES), 0.02), size=4_000)
    scores = (rng.random((4_000, 3)) < labels @ truth.T).astype(float)
    model = Suitability().fit(labels[:3_000], scores[:3_000], candidates=POOL, log_prices=LOG_PRICES)

    def brier(p: NDArray[np.float64]) -> float:
        return float(np.mean((p - scores[3_000:]) ** 2))

    assert brier(model.predict(labels[3_000:])[0]) < brier(prior().predict(labels[3_000:])[0])
    assert brier(model.predict(labels[3_000:])[0]) < brier(scores[:3_000].mean(axis=0))


def test_statistics_add_up_in_any_order() -> None:
    rng = np.random.default_rng(1)
    labels, scores = rng.dirichlet(np.ones(len(CATEGORIES)), size=50), rng.random((50, 3))
    whole = Suitability(concentration=5.0).fit(labels, scores, candidates=POOL, log_prices=LOG_PRICES)
    parts = Suitability(concentration=5.0).prior(POOL, LOG_PRICES)
    parts.partial_fit(labels[30:], scores[30:]).partial_fit(labels[:30], scores[:30])
    np.testing.assert_allclose(parts.phi_, whole.phi_)


def test_the_best_candidate_is_suitable_and_a_hopeless_one_is_not() -> None:
    model = fitted("translation/direct", 0, 500, candidate=1)
    mask = model.suitable(everywhere())
    assert mask.any(axis=1).all()
    assert mask[CATEGORIES.index("translation/direct")].tolist() == [False, False, True]


def test_a_wide_tolerance_makes_everyone_suitable() -> None:
    assert Suitability(tolerance=1.0).prior(POOL, LOG_PRICES).suitable(everywhere()).all()


def test_a_known_ability_replaces_the_guess_from_the_price() -> None:
    model = Suitability().prior(POOL, LOG_PRICES, abilities={"cheap": 5.0})
    assert model.predict(everywhere())[0].argmax(axis=1).tolist() == [0] * len(CATEGORIES)


def test_unknown_prices_stand_in_the_middle() -> None:
    p = Suitability().prior(("a", "b", "c"), (0.0, np.nan, 1.0)).predict(everywhere())[0]
    assert np.all((p[:, 0] < p[:, 1]) & (p[:, 1] < p[:, 2]))


def test_arrays_survive_json() -> None:
    model = fitted("translation/direct", 5, 9)
    arrays = {
        key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in model.to_arrays().items()
    }
    again = Suitability.from_arrays(json.loads(json.dumps(arrays)))
    np.testing.assert_array_equal(again.phi_, model.phi_)
    assert again.candidates_ == POOL
    with pytest.raises(ArtefactError, match="fitted with taxonomy"):
        Suitability.from_arrays({**arrays, "taxonomy": "other@0"})
    with pytest.raises(ArtefactError, match="incomplete"):
        Suitability.from_arrays({key: value for key, value in arrays.items() if key != "good"})


def test_wrong_input_is_named() -> None:
    with pytest.raises(NotFittedError):
        Suitability().predict(everywhere())
    with pytest.raises(ConfigError, match="log_prices has shape"):
        Suitability().prior(POOL, [1.0])
    with pytest.raises(ConfigError, match="label_probs has shape"):
        prior().predict(np.ones((2, 3)))
    with pytest.raises(ConfigError, match="sum to 1"):
        prior().predict(2 * everywhere())
    with pytest.raises(ConfigError, match=r"scores must lie in \[0, 1\]"):
        prior().partial_fit(certain("translation/direct"), [[2.0, np.nan, 0.0]])
    with pytest.raises(ConfigError, match="concentration"):
        Suitability(concentration=0.0).prior(POOL, LOG_PRICES)
