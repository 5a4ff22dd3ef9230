"""The demo's prompts: what is right scores 1, what is wrong scores 0, and no response makes a grader fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion.demo import grading
from emafusion.demo.prompts import DemoPrompt, load_prompts, sampled_ids, split_of
from emafusion.demo.tasks.prompt import distinct, drawn, numbered

PROMPTS = load_prompts()
TASKS = sorted({prompt.task for prompt in PROMPTS})
every_task = pytest.mark.parametrize("task", TASKS)


def of(task: str) -> Iterator[DemoPrompt]:
    return (prompt for prompt in PROMPTS if prompt.task == task)


@every_task
def test_every_reference_scores_one(task: str) -> None:
    for prompt in of(task):
        assert prompt.grade(prompt.reference) == 1.0, prompt.id
        assert prompt.grade(f"\n{prompt.reference}\n\n") == 1.0, prompt.id


@every_task
def test_every_near_miss_scores_zero(task: str) -> None:
    for prompt in of(task):
        assert prompt.near_miss != prompt.reference
        assert prompt.grade(prompt.near_miss) == 0.0, prompt.id


@every_task
def test_no_answer_scores_zero(task: str) -> None:
    for prompt in of(task):
        for nothing in ("", "  \n", "```\n```", "I do not know.", "Answer:", "Sure! Here is the answer."):
            assert prompt.grade(nothing) == 0.0, (prompt.id, nothing)


@every_task
def test_repeating_the_question_scores_zero(task: str) -> None:
    for prompt in of(task):
        # Where the question ends in the right number or weekday, repeating it cannot be told from answering it.
        if "total in EUR" not in prompt.prompt and "Which weekday is" not in prompt.prompt:
            assert prompt.grade(prompt.prompt.rpartition("Q: ")[2]) == 0.0, prompt.id


@given(prompt=st.sampled_from(PROMPTS), response=st.text())
def test_any_text_gets_a_score_between_zero_and_one(prompt: DemoPrompt, response: str) -> None:
    assert 0.0 <= prompt.grade(response) <= 1.0


def test_the_prompts_are_many_distinct_and_of_nine_types() -> None:
    assert 300 <= len(PROMPTS) <= 360
    assert len({prompt.id for prompt in PROMPTS}) == len(PROMPTS)
    assert len({prompt.prompt for prompt in PROMPTS}) == len(PROMPTS)
    tasks = Counter(prompt.task for prompt in PROMPTS)
    assert len(tasks) == 9
    assert min(tasks.values()) >= 30


def test_the_prompts_are_the_same_every_time() -> None:
    first = [(prompt.id, prompt.prompt, prompt.reference) for prompt in PROMPTS]
    load_prompts.cache_clear()
    assert [(prompt.id, prompt.prompt, prompt.reference) for prompt in load_prompts()] == first


def test_half_of_every_task_is_for_fitting() -> None:
    split = split_of(PROMPTS)
    for task, size in Counter(prompt.task for prompt in PROMPTS).items():
        fit = sum(split[prompt.id] == "fit" for prompt in PROMPTS if prompt.task == task)
        assert fit == (size + 1) // 2
    assert set(split.values()) == {"fit", "test"}


@given(share=st.floats(0, 1))
def test_a_larger_share_samples_the_same_prompts_and_more(share: float) -> None:
    chosen = sampled_ids(PROMPTS, share)
    assert chosen <= sampled_ids(PROMPTS, min(1.0, share + 0.1))
    assert abs(len(chosen) - share * len(PROMPTS)) <= 9  # at most one prompt a task


def test_a_share_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        sampled_ids(PROMPTS, 1.5)


# -- graders forgive wording, not content -----------------------------------------------------------------------------


@given(right=st.integers(-(10**9), 10**9), wrong=st.integers(-(10**9), 10**9))
def test_a_number_is_found_in_any_wording(right: int, wrong: int) -> None:
    grade = grading.number(right)
    for wording in (
        "{}",
        "{:,}",
        "Answer: {}",
        "3 * 4 = 12\n**Answer:** {} pens.",
        "The answer is: ${:,}.00",
        "answer = {}",
    ):
        assert grade(wording.format(right)) == 1.0, wording
        assert grade(wording.format(wrong)) == float(right == wrong), wording


def test_only_the_number_after_the_last_answer_counts() -> None:
    grade = grading.number(42)
    assert grade("Answer: 41. No, wait.\nAnswer: 42") == 1.0
    assert grade("Answer: 42\nLet me check again.\nAnswer: 41") == 0.0
    assert grade("Answer: unknown\nIt may be 42.") == 0.0


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("positive", 1.0),
        ("Positive.", 1.0),
        ("**Label: positive**", 1.0),
        ("The review is positive, I would say.", 1.0),
        ("negative", 0.0),
        ("positive or negative", 0.0),
        ("not positive but negative", 0.0),
        ("positively", 0.0),
        ("", 0.0),
    ],
)
def test_a_label_counts_only_when_it_stands_alone(response: str, score: float) -> None:
    assert grading.label("positive", ("positive", "negative"))(response) == score


def test_a_label_that_is_not_offered_is_refused() -> None:
    with pytest.raises(ValueError, match="not among the labels"):
        grading.label("green", ("red", "blue"))


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("The capital of Australia is Canberra.", 1.0),
        ("Canberra", 1.0),
        ("**Canberra.** Its largest city is Sydney.", 1.0),
        ("Sydney or Canberra.", 0.0),
        ("Sydney. No, Canberra.", 0.0),
        ("Canberras", 0.0),
    ],
)
def test_a_mention_must_come_first_and_alone(response: str, score: float) -> None:
    assert grading.mention(("Canberra",), ("Sydney",))(response) == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("Vielen Dank", 1.0),
        ("vielen dank!", 1.0),
        ('"Vielen Dank."', 1.0),
        ("Danke schön", 1.0),
        ("In German: Vielen Dank", 1.0),
        ("Here you are:\n\nVielen Dank", 1.0),
        ("Vielen Dank\n\nThis is how one says thank you.", 1.0),
        ("Vielen Dank für alles", 0.0),
        ("Dank", 0.0),
    ],
)
def test_a_phrase_may_be_introduced_but_not_changed(response: str, score: float) -> None:
    assert grading.phrase("Vielen Dank", "Danke schön")(response) == score


@pytest.mark.parametrize(
    ("expected", "response", "score"),
    [
        ([1, 2], "[1, 2]", 1.0),
        ([1, 2], "[1,2]", 1.0),
        ([1, 2], "```python\n[1, 2]\n```", 1.0),
        ([1, 2], "Output: [1, 2]", 1.0),
        ([1, 2], "(1, 2)", 0.0),
        ([1, 2], "[2, 1]", 0.0),
        ("Hi BOB", "'Hi BOB'", 1.0),
        ("Hi BOB", '"Hi BOB"', 1.0),
        ("Hi BOB", "Hi BOB", 1.0),
        ("Hi BOB", "hi bob", 0.0),
        (3, "The result is: 3", 1.0),
        (3, "`3`", 1.0),
        (3, "'3'", 0.0),
        (3, "3.0", 0.0),
        (1, "True", 0.0),
        (3, "__import__('os')", 0.0),
        ({"n": 2, "o": 2}, "{'o': 2, 'n': 2}", 1.0),
    ],
)
def test_a_python_value_needs_the_right_value_and_type(expected: object, response: str, score: float) -> None:
    assert grading.python_value(expected)(response) == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("- a\n- b", 1.0),
        ("```\n- a\n- b\n```", 1.0),
        ("Here is the list:\n\n- a\n- b", 1.0),
        ("- a\n- b\n- c", 0.0),
        ("* a\n* b", 0.0),
        ("- a - b", 0.0),
        ("- b\n- a", 0.0),
    ],
)
def test_lines_must_be_exact(response: str, score: float) -> None:
    assert grading.lines("- a", "- b")(response) == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ('{"age": 3, "name": "Ada"}', 1.0),
        ('Sure:\n```json\n{"name": "ada", "age": 3}\n```\nDone.', 1.0),
        ('{"name": "Ada", "age": 3, "city": "Oslo"}', 0.0),
        ('{"name": "Ada"}', 0.0),
        ('{"name": "Ada", "age": "3"}', 0.0),
        ('{"name": "Ada", "age": true}', 0.0),
        ("{'name': 'Ada', 'age': 3}", 0.0),
        ('{"name": "Ada", "age": 3', 0.0),
        ("[" * 100_000, 0.0),
    ],
)
def test_json_must_have_the_keys_values_and_types(response: str, score: float) -> None:
    assert grading.json_value({"name": "Ada", "age": 3})(response) == score


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("name,age\nAda,36", 1.0),
        ('```csv\n"name", "age"\n"Ada", 36\n```', 1.0),
        ("Here it is:\nname,age\nAda,36\n", 1.0),
        ("Ada,36", 0.0),
        ("name;age\nAda;36", 0.0),
        ("name,age\nAda,36\nBen,41", 0.0),
    ],
)
def test_a_csv_table_may_be_quoted_but_needs_its_header(response: str, score: float) -> None:
    assert grading.csv_rows(["name", "age"], ["Ada", "36"])(response) == score


def test_numbers_as_text_pass_only_where_they_may() -> None:
    assert grading.json_value({"age": 3}, numeric_text=True)('{"age": "3"}') == 1.0
    assert grading.json_value({"age": 1}, numeric_text=True)('{"age": true}') == 0.0


def test_what_a_model_asks_itself_next_is_not_its_answer() -> None:
    rambling = "A: 3 * 4 = 12\n\nQ: And 2 + 2?\nA: 4"
    assert grading.number(12)(rambling) == 1.0
    assert grading.number(4)(rambling) == 0.0
    assert grading.phrase("Monday")("A: Monday\nQ: And now?\nA: Friday") == 1.0
    assert grading.lines("- a")("A: - a\n\nQ: b") == 1.0


# -- building prompts ------------------------------------------------------------------------------------------------


def test_worked_examples_never_give_the_answer_away() -> None:
    for prompt in PROMPTS:
        before, marker, question = prompt.prompt.rpartition("\nQ: ")
        if marker:
            assert question not in before, prompt.id


def test_a_template_that_runs_dry_is_an_error() -> None:
    import random

    def only_one(rng: random.Random) -> tuple[str, grading.Grade, str, str]:
        return f"Say {rng.choice('a')}.", grading.phrase("a"), "a", "b"

    assert len(distinct(only_one, 1, random.Random(0))) == 1
    with pytest.raises(ValueError, match="fewer than 2 different prompts"):
        distinct(only_one, 2, random.Random(0))


def test_every_third_drawn_prompt_is_bare() -> None:
    import random

    def count(rng: random.Random) -> tuple[str, grading.Grade, str, str]:
        n = rng.randrange(1000)
        return f"Say {n}.", grading.number(n), str(n), str(n + 1)

    prompts = numbered("count", drawn(count, 6, random.Random(1)))
    assert [prompt.prompt.count("Q: ") for prompt in prompts] == [3, 3, 0, 3, 3, 0]
    assert [prompt.id for prompt in prompts] == [f"count-00{i}" for i in range(1, 7)]
