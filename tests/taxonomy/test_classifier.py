"""The fast labeller on its seeds, on texts it has not seen, and fused with the slow one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from emafusion.encoders import HashingEncoder, default_encoder
from emafusion.errors import ConfigError
from emafusion.taxonomy import AXES, Taxonomy, TaxonomyClassifier, category_probabilities, fuse


@pytest.fixture(scope="module")
def classifier() -> TaxonomyClassifier:
    return TaxonomyClassifier()


def test_left_out_seeds_are_labelled_far_better_than_by_chance(classifier: TaxonomyClassifier) -> None:
    accuracy = classifier.leave_one_out()
    assert accuracy["task"] > 0.6  # Sixteen labels: the most frequent one would give 0.08.
    assert accuracy["domain"] > 0.5
    assert accuracy["complexity"] > 0.5
    assert accuracy["format"] > 0.6


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Please translate this paragraph into Polish.", "translation"),
        ("Write a Python class for a bank account with deposit and withdraw.", "code_generation"),
        ("Sara has 24 marbles and loses a third of them. How many are left?", "arithmetic_reasoning"),
        ("8.25 or 8.3, which is larger?", "arithmetic_reasoning"),
        ("Give me a summary of the article below in four sentences.", "summarisation"),
        ("Which planet is the hottest? A) Mercury B) Venus C) Mars D) Jupiter", "multiple_choice_knowledge"),
        ("hey, how are you doing?", "conversation"),
        ("Escribe un poema sobre el otoño", "creative_writing"),
        (
            "Let $p$ be a prime with $p \\equiv 1 \\pmod 4$. Find all $x$ such that $x^2 \\equiv -1$.",
            "competition_mathematics",
        ),
        (
            'Order a pizza.\nAvailable functions:\n[{"name": "order", "parameters": {"type": "object", "properties": '
            '{"dish": {"type": "string"}}, "required": ["dish"]}}]',
            "function_calling",
        ),
    ],
)
def test_plain_requests_get_the_plain_label(classifier: TaxonomyClassifier, text: str, task: str) -> None:
    assert classifier.classify([text])[0].task == task


@pytest.mark.parametrize("texts", [[], ["one"], ["one", "", "Was ist 2 + 2?"]])
def test_probabilities_sum_to_one_on_every_axis(classifier: TaxonomyClassifier, texts: list[str]) -> None:
    probs = classifier.probabilities(texts)
    assert set(probs) == set(AXES)
    for axis, rows in probs.items():
        assert rows.shape == (len(texts), len(classifier.taxonomy.labels(axis)))
        np.testing.assert_allclose(rows.sum(axis=1), 1.0)
        assert np.all(rows >= 0)


def test_probabilities_of_left_out_seeds_are_neither_timid_nor_boastful(classifier: TaxonomyClassifier) -> None:
    for axis, accuracy in classifier.leave_one_out().items():
        texts = [seed.text for seed in classifier.taxonomy.seeds]
        confidence = classifier.probabilities(texts)[axis].max(axis=1).mean()
        assert confidence > accuracy - 0.15, axis  # The seeds themselves were seen: they may look surer, not less sure.


def test_categories_are_the_product_of_task_and_complexity(classifier: TaxonomyClassifier) -> None:
    text = "What is 7 times 8?"
    label = classifier.classify([text])[0]
    (row,) = classifier.categories([text])
    np.testing.assert_allclose(row, label.categories())
    best = classifier.taxonomy.categories[int(row.argmax())]
    assert best == f"{label.task}/{label.complexity}"
    np.testing.assert_allclose(category_probabilities(classifier.probabilities([text])).sum(), 1.0)


def test_given_embeddings_are_used_as_they_are(classifier: TaxonomyClassifier) -> None:
    texts = ["Write a limerick.", "Sort this list: 3, 1, 2"]
    vectors = default_encoder().encode(texts)
    np.testing.assert_array_equal(classifier.categories(texts, vectors), classifier.categories(texts))
    with pytest.raises(ConfigError, match="embeddings has shape"):
        classifier.probabilities(texts, vectors[:1])


def test_construction_calls_no_encoder() -> None:
    class Offline:
        identity, dim = "offline", 3

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise ConnectionError("asked the network")

    lazy = TaxonomyClassifier(encoder=Offline())
    with pytest.raises(ConnectionError):
        lazy.classify(["now"])


def test_another_encoder_and_an_extended_taxonomy_work() -> None:
    taxonomy = Taxonomy.default().extend(
        {
            "axes": {"task": {"chess": "Analyse chess positions."}},
            "seeds": [
                {"text": text, "task": "chess"}
                for text in ("Best move for white after 1. e4 e5?", "Is this chess endgame a draw?", "Find mate in two")
            ],
        }
    )
    classifier = TaxonomyClassifier(taxonomy, HashingEncoder(128))
    assert classifier.classify(["What is the best move for black in this chess endgame?"])[0].task == "chess"


def test_familiar_is_what_resembles_a_seed(classifier: TaxonomyClassifier) -> None:
    encoder = default_encoder()
    texts = ["Translate this letter into German, please.", "xqz 8vk#p wjjh0 zzrtq kk1 vbnx", ""]
    familiar, gibberish, nothing = classifier.familiarity(encoder.encode(texts))
    assert familiar > 0.5 > gibberish
    assert nothing == 0.0


def test_reference_texts_make_their_neighbours_familiar(classifier: TaxonomyClassifier) -> None:
    encoder = default_encoder()
    strange = encoder.encode(["zibble zorp the frobnicated quux of wug"])
    reference = encoder.encode(["zibble zorp the frobnicated quux of wugs"] * 3)
    assert classifier.familiarity(strange, reference)[0] > classifier.familiarity(strange)[0]


simplex = st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4).map(lambda raw: np.array(raw) / np.sum(raw))


@given(simplex, simplex, st.floats(0.0, 1.0))
def test_fusing_stays_between_its_ends(slow: NDArray[np.float64], fast: NDArray[np.float64], lam: float) -> None:
    fused = fuse(slow, fast, lam)
    np.testing.assert_allclose(fused.sum(), 1.0)
    assert np.all(fused >= np.minimum(slow, fast) - 1e-12)
    assert np.all(fused <= np.maximum(slow, fast) + 1e-12)
    np.testing.assert_array_equal(fuse(slow, fast, 0.0), fast)
    np.testing.assert_array_equal(fuse(slow, fast, 1.0), slow)


def test_fusing_refuses_a_weight_outside_its_range_and_unlike_shapes() -> None:
    with pytest.raises(ConfigError, match="lam"):
        fuse([1.0], [1.0], 1.5)
    with pytest.raises(ConfigError, match="agree"):
        fuse([1.0], [0.5, 0.5], 0.5)
