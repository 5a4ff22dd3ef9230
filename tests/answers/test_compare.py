"""Equivalence is symmetric and reflexive; clusters follow it and are found quickly."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emafusion.answers import NO_ANSWER, FinalAnswer, cluster_answers, extract_answer, same_answer

CODE = "assert f(1) == ??"
WRITTEN = st.sampled_from(
    [
        "42",
        "42.0",
        "'42'",
        "42 dollars",
        "42%",
        "0.42",
        "[42]",
        "(42,)",
        "{42}",
        "{'a': 42}",
        "x=42",
        "42, 43",
        "43 or 42",
    ]
    + [
        "(42, 43)",
        "[42, 43]",
        "x^2",
        "x*x",
        "Paris",
        "paris.",
        "'Paris'",
        "yes",
        "True",
        "2024-01-02",
        "nan",
        "inf",
        "",
    ]
    + ["[f(a=42)]", "[f(a='x, y')]", "[f(a='x')]", "\\pm 42", "3+4i", "A", "None", "\\frac{1}{3}", "0.3333333", "..."]
)
ANSWERS = st.builds(
    lambda text, prompt, field: extract_answer(f'{{"answer": "{text}"}}' if field else text, prompt),
    st.one_of(WRITTEN, st.text(max_size=30), st.integers().map(str), st.floats().map(repr)),
    st.sampled_from(["", CODE, "How many are there?", "Is it so?"]),
    st.booleans(),
)


@given(ANSWERS)
@settings(max_examples=300, deadline=None)
def test_an_answer_is_the_same_as_itself(answer: FinalAnswer) -> None:
    assert same_answer(answer, answer)
    assert cluster_answers([answer, answer]) == ([-1, -1] if answer.kind == "none" else [0, 0])


@given(ANSWERS, ANSWERS)
@settings(max_examples=500, deadline=None)
def test_sameness_is_symmetric(a: FinalAnswer, b: FinalAnswer) -> None:
    assert same_answer(a, b) == same_answer(b, a)


@given(st.lists(ANSWERS, max_size=10))
@settings(max_examples=100, deadline=None)
def test_clusters_are_numbered_in_the_order_first_seen(answers: list[FinalAnswer]) -> None:
    labels = cluster_answers(answers)
    assert len(labels) == len(answers)
    seen = [label for label in dict.fromkeys(labels) if label >= 0]
    assert seen == list(range(len(seen)))
    for i, label in enumerate(labels):
        assert (label == -1) == (answers[i].kind == "none")
        if label >= 0:
            assert same_answer(answers[labels.index(label)], answers[i])


def test_number_literal_and_short_text_of_one_value_are_the_same() -> None:
    answers = [
        extract_answer('{"answer": 42}'),
        extract_answer('{"answer": "42"}'),
        extract_answer("Answer: 42 dollars"),
    ]
    answers += [extract_answer("42", CODE), extract_answer("'42'", CODE), extract_answer("\\boxed{42.0000000001}")]
    assert cluster_answers(answers) == [0] * 6


def test_numbers_agree_within_a_millionth_and_integers_exactly() -> None:
    third, near, far = (extract_answer(f"Answer: {text}") for text in ("1/3", "0.33333333", "0.3334"))
    assert same_answer(third, near)
    assert not same_answer(third, far)
    assert not same_answer(extract_answer("Answer: 100000001"), extract_answer("Answer: 100000002"))


def test_absent_answers_agree_with_nothing_in_a_clustering() -> None:
    assert cluster_answers([NO_ANSWER, extract_answer("Answer: 1"), NO_ANSWER, extract_answer("Answer: 1")]) == [
        -1,
        0,
        -1,
        0,
    ]
    assert cluster_answers([]) == []


def test_free_texts_go_together_by_shared_words() -> None:
    base = "The river rises in the mountains, crosses the plain and meets the sea near the old harbour town up north."
    answers = [
        extract_answer(base),
        extract_answer(base.replace("old ", "")),
        extract_answer("Quite another story. " * 9),
    ]
    assert [answer.kind for answer in answers] == ["text"] * 3
    assert cluster_answers(answers) == [0, 0, 1]


def test_free_texts_go_together_by_their_embeddings_when_given() -> None:
    answers = [extract_answer(f"{word} " * 30) for word in ("alpha", "beta", "gamma")]
    embeddings = np.array([[1.0, 0.0], [0.99, 0.05], [0.0, 3.0]])
    assert cluster_answers(answers) == [0, 1, 2]
    assert cluster_answers(answers, embeddings) == [0, 0, 1]
    assert cluster_answers(answers, embeddings, threshold=0.9999) == [0, 1, 2]


def test_embeddings_do_not_join_definite_answers() -> None:
    answers = [extract_answer("Answer: 41"), extract_answer("Answer: 42")]
    assert cluster_answers(answers, np.ones((2, 4))) == [0, 1]


def test_a_wrong_number_of_embeddings_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 rows"):
        cluster_answers([extract_answer("Answer: 1")], np.ones((2, 4)))


def test_bare_lists_and_sets_agree_in_any_bracket() -> None:
    bare, unordered, braces = (extract_answer(f"\\boxed{{{t}}}") for t in ("1, 2", "2 or 1", "\\{2, 1\\}"))
    assert cluster_answers([bare, unordered, braces]) == [0, 0, 0]


def test_a_place_may_carry_its_region_in_a_call() -> None:
    town, region, other = (extract_answer(f"[f(at='{at}')]") for at in ("Paris", "Paris, France", "Lyon"))
    assert same_answer(town, region)
    assert not same_answer(town, other)


def test_twelve_answers_are_grouped_and_read_in_no_time() -> None:
    responses = [f'{{"reasoning": "{"so it goes on and on, " * 90}", "answer": "{i % 5}"}}' for i in range(12)]
    extract_answer(responses[0], "How many?")
    best_read = best_group = float("inf")
    for _ in range(5):  # the best of several, since the machine may be busy
        started = time.perf_counter()
        answers = [extract_answer(response, "How many?") for response in responses]
        between = time.perf_counter()
        labels = cluster_answers(answers)
        best_read = min(best_read, (between - started) / 12)
        best_group = min(best_group, time.perf_counter() - between)
    assert labels == [0, 1, 2, 3, 4] * 2 + [0, 1]
    assert best_read < 5e-3
    assert best_group < 5e-3
