"""Extraction finds the final answer in responses of many layouts, and never fails on any text."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emafusion.answers import extract_answer, same_answer

CHOICES = "Which gas do plants take in?\n(A) Oxygen\n(B) Carbon dioxide\n(C) Nitrogen\n(D) 42 litres of air\n"
MATHS = "Solve the equation. What is the value of x?"
OUTPUT = "def f(x):\n    return x\nassert f([1]) == ??\nComplete the assertion with a literal."
TOOLS = [
    {
        "name": "geo.distance",
        "parameters": {
            "type": "dict",
            "properties": {
                "start": {"type": "string"},
                "end": {"type": "string"},
                "unit": {"type": "string", "description": "The unit. Default is 'km'."},
                "detour": {"type": "float", "default": 1.5},
            },
            "required": ["start", "end"],
        },
    }
]
ARGUMENTS = '{"start": "Ulm", "end": "Bonn", "unit": "kilometers"}'
WITH_TOOLS = "How far is it from Ulm to Bonn?\n\nAvailable functions:\n" + json.dumps(TOOLS)


@pytest.mark.parametrize(
    "response",
    [
        '```json\n{\n  "reasoning": "6 * 7",\n  "answer": "42"\n}\n```',
        '{"reasoning": "6 * 7", "answer": 42}',
        '{"reasoning": "uses \\"quotes\\" and \\frac{1}{2}", "answer": "42 apples"',
        '{"reasoning": "cut off after it", "answer": "42',
        'json\n{ "answer": "42" }\n```\nHope this helps!',
        "{'reasoning': 'single quotes', 'answer': '42'}",
        '"{\\"answer\\": \\"42\\"}"',
        "Six times seven.\n\nAnswer: 42",
        "**Answer:** 42 apples.",
        "The answer is 42.",
        "So the final answer is: $42$",
        "Therefore, the answer is \\boxed{42}.",
        "We get $\\boxed{42\\text{ apples}}$",
        "6 * 7 = 42\n#### 42",
        "Die Antwort ist 42.",
        "Antwort: 42",
        "答案是42。",
        "答案：42",
        "Réponse : 42",
        "Ответ: 42",
        "First 40, then 2 more.\n\nShe has **42** apples.",
        "40 + 2 = 42",
        "<think>maybe 41? The answer is 41</think>\nThe answer is 42.",
        "<answer>42</answer>",
        "42",
        "42.0",
        " forty-two is written 42\n\n$x = 42$",
        "Step 1: add.\nStep 2: we have 10 + 32 = 42 apples in total.",
    ],
)
def test_a_number_is_found_wherever_a_response_puts_it(response: str) -> None:
    answer = extract_answer(response, "How many apples are there? Calculate it.")
    assert (answer.kind, answer.value) == ("number", ("num", 42))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$1,234.50", 1234.5),
        ("1.234,50 €", 1234.5),
        ("1 234", 1234),
        ("1,000,000", 1000000),
        ("1{,}000", 1000),
        ("-7", -7),
        ("−7", -7),
        ("3/4", 0.75),
        ("\\frac{3}{4}", 0.75),
        ("\\dfrac34", 0.75),
        ("$-\\frac{3}{4}$", -0.75),
        ("\\frac{-3}{4}", -0.75),
        ("3 1/2", 3.5),
        ("½", 0.5),
        ("2.5e3", 2500),
        ("2.5 \\times 10^3", 2500),
        ("3 million", 3e6),
        ("45^\\circ", 45),
        ("45°", 45),
        ("72 km/h", 72),
        ("12 \\text{ cm}^2", 12),
        ("x = 5", 5),
        ("x=5", 5),
        ("\\left(2^3\\right)", 8),
        ("2\\sqrt{2}", 8**0.5),
        ("2√2", 8**0.5),
        ("5!", 120),
        ("\\binom{5}{2}", 10),
        ("0.5", 0.5),
        (".5", 0.5),
        ("seven", 7),
        ("about 20 minutes", 20),
        ("5 + \\frac{1}{2}", 5.5),
        ("\\$36", 36),
    ],
)
def test_numbers_are_read_by_value(written: str, value: float) -> None:
    answer = extract_answer(json.dumps({"answer": written}), MATHS)
    assert answer.kind == "number"
    assert answer.value[1] == pytest.approx(value)
    assert same_answer(answer, extract_answer(f"Answer: {written}", MATHS))


def test_percent_agrees_with_its_fraction_and_its_bare_figure() -> None:
    percent = extract_answer("Answer: 25%")
    assert all(same_answer(percent, extract_answer(f"Answer: {text}")) for text in ("25", "0.25", "1/4", "25 percent"))
    assert not same_answer(percent, extract_answer("Answer: 2.5"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("(x+1)^2", "x^2 + 2x + 1"),
        ("x^2(x-1)", "x^3 - x^2"),
        ("\\frac{x}{2}", "x/2"),
        ("y = 2x + 3", "2x+3"),
        ("\\left(3, \\frac{1}{2}\\right)", "(3, 0.5)"),
        ("(-\\infty, 3]", "(-\\infty,3]"),
        ("[1,2) \\cup (3,4)", "(3,4)\\cup[1,2)"),
        ("\\{1, 2, 3\\}", "{3, 2, 1}"),
        ("\\pm 2", "2, -2"),
        ("x = 1 or x = 4", "4 and 1"),
        ("x = 1, x = 4", "1, 4"),
        ("\\sqrt{12}", "2\\sqrt{3}"),
        ("2 + 3i", "3i+2"),
        ("x^2 + y^2 = 4", "2x^2 + 2y^2 = 8"),
        ("\\text{Tuesday}", "tuesday"),
        ("\\pi r^2", "r^2 \\pi"),
        ("\\log_2 8", "3"),
        ("\\sin^2(1)+\\cos^2(1)", "1"),
    ],
)
def test_mathematical_answers_agree_by_value(first: str, second: str) -> None:
    a, b = (extract_answer(f"\\boxed{{{text}}}", MATHS) for text in (first, second))
    assert same_answer(a, b), (a, b)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x^2+1", "x^2-1"),
        ("(3, 4)", "(4, 3)"),
        ("(1, 2]", "[1, 2)"),
        ("2\\sqrt{3}", "3\\sqrt{2}"),
        ("10000001", "10000002"),
        ("x+1", "y+1"),
        ("1/3", "0.3"),
        ("2 + 3i", "2 - 3i"),
    ],
)
def test_different_mathematical_answers_differ(first: str, second: str) -> None:
    a, b = (extract_answer(f"\\boxed{{{text}}}", MATHS) for text in (first, second))
    assert not same_answer(a, b), (a, b)


@pytest.mark.parametrize(
    "response",
    [
        "B",
        "(B)",
        "B.",
        "B. Carbon dioxide",
        "(B) Carbon dioxide",
        "Carbon dioxide",
        "carbon dioxide.",
        "The correct answer is (B).",
        "The answer is **B. Carbon dioxide**, since plants need it.",
        "Answer: B",
        "Plants take it in for photosynthesis.\n\n**B**",
        '{"reasoning": "A is breathed out", "answer": "B"}',
        '{"answer": "Carbon dioxide"}',
        "(A) is wrong, (C) is inert. So it must be option (B)",
        "\\boxed{B}",
        "\\boxed{\\text{B}}",
        "Die richtige Antwort ist B.",
        "答案是 B",
        "答案选B",
        "I think it is carbon dioxide.",
        "B\n\nExplanation: (A) is breathed out.",
        "The answer is:\n\n**(B)**",
        "A: is breathed out.\nC: is inert.\n\nThus B",
        "Option B",
        "The best answer is B) Carbon dioxide",
    ],
)
def test_a_choice_is_read_as_its_letter(response: str) -> None:
    assert extract_answer(response, CHOICES).value == ("choice", "B")


def test_options_on_lines_and_in_running_text_are_seen() -> None:
    lines = "Pick one.\n\nA. red\nB. blue\nC. green"
    running = "Pick one: (A) red (B) blue (C) green"
    assert extract_answer("blue", lines).value == extract_answer("blue", running).value == ("choice", "B")


def test_a_word_is_no_choice_without_options() -> None:
    assert extract_answer("Answer: Carbon dioxide").value == ("short", "carbon dioxide")


YES_NO = [("Yes.", True), ("Ja", True), ("No, because 9 is not prime.", False), ("Answer: false", False)]
YES_NO += [("Yes, 9 is prime.", True), ("It has three divisors. So the answer is no.", False)]
YES_NO += [("是的", True), ("**True**", True), ("Non.", False), ("Yes, it is. It has many divisors. " * 9, True)]


@pytest.mark.parametrize(("response", "value"), YES_NO)
def test_yes_and_no_are_read_in_several_languages(response: str, value: bool) -> None:
    assert extract_answer(response, "Is 9 a prime?").value == ("bool", value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("[1, 2, 3]", "[1,2,3]"),
        ("'abc'", '"abc"'),
        ("{'a': 1, 'b': 2}", '{"b": 2, "a": 1}'),
        ("(1, 2)", "1, 2"),
        ("f([1]) == [1, 2]", "[1, 2]"),
        ("assert f([1]) == 'x'", "'x'"),
        ("True", "true"),
        ("None", "null"),
        ("abc", "'abc'"),
        ("[1, 2.0]", "[1.0, 2]"),
        ("`[1]`", "[1]"),
    ],
)
def test_code_literals_agree_by_value(first: str, second: str) -> None:
    a, b = (extract_answer(json.dumps({"reasoning": "", "answer": text}), OUTPUT) for text in (first, second))
    assert same_answer(a, b), (a, b)


@pytest.mark.parametrize(
    ("first", "second"), [("'aBc'", "'abc'"), ("[1, 2]", "[2, 1]"), ("[1]", "[[1]]"), ("['1']", "[1]"), ("''", "' '")]
)
def test_different_literals_differ(first: str, second: str) -> None:
    a, b = (extract_answer(json.dumps({"answer": text}), OUTPUT) for text in (first, second))
    assert not same_answer(a, b), (a, b)


@pytest.mark.parametrize(
    "response",
    [
        "[geo.distance(start='Ulm', end='Bonn')]",
        "geo.distance(end=\"Bonn\", start=\"Ulm\")",
        '"[geo.distance(start=\'Ulm\', end=\'Bonn\', unit=\'km\')]"',
        '[{"geo_distance": "{\\"end\\": \\"Bonn\\", \\"start\\": \\"ulm\\", \\"detour\\": 1.50}"}]',
        '{"name": "geo.distance", "arguments": {"start": "Ulm", "end": "Bonn"}}',
        '{"name": "geo.distance", "parameters": "{\\"start\\": \\"Ulm\\", \\"end\\": \\"Bonn\\"}"}',
        json.dumps({"tool_calls": [{"function": {"name": "geo.distance", "arguments": ARGUMENTS}}]}),
        f'<tool_call>\n{{"name": "geo.distance", "arguments": {ARGUMENTS}}}\n</tool_call>',
        "I will call it now:\n```python\nfunctions.geo_distance(start='Ulm', end='Bonn')\n```",
        "geo.distance('Ulm', 'Bonn')",
        "geo.distance({start: 'Ulm', end: 'Bonn'})",
    ],
)  # fmt: skip
def test_one_call_has_one_value_in_every_syntax(response: str) -> None:
    native = extract_answer(
        "", WITH_TOOLS, [SimpleNamespace(name="geo.distance", arguments={"start": "Ulm", "end": "Bonn"})]
    )
    written = extract_answer(response, WITH_TOOLS)
    assert written.kind == native.kind == "call"
    assert same_answer(written, native), (written, native)


def test_calls_compare_numbers_by_value_and_ignore_their_order() -> None:
    first = extract_answer("[p(n=20, p=1/6), q(x=[1, 2])]")
    second = extract_answer('[{"q": "{\\"x\\": [1.0, 2]}"}, {"p": "{\\"p\\": 0.16666666666666666, \\"n\\": 20}"}]')
    assert first.value == second.value
    assert not same_answer(first, extract_answer("[p(n=20, p=1/5), q(x=[1, 2])]"))


def test_a_call_with_other_arguments_is_another_answer() -> None:
    base = extract_answer("[geo.distance(start='Ulm', end='Bonn')]", WITH_TOOLS)
    for other in ("start='Bonn', end='Ulm'", "start='Ulm', end='Bonn', unit='miles'", "start='Ulm'"):
        assert not same_answer(base, extract_answer(f"[geo.distance({other})]", WITH_TOOLS)), other


def test_calls_wrapped_in_prose_are_read_but_not_wellformed() -> None:
    clean = extract_answer("[geo.distance(start='Ulm', end='Bonn')]", WITH_TOOLS)
    wrapped = extract_answer("Sure! Here it is: [geo.distance(start='Ulm', end='Bonn')]", WITH_TOOLS)
    assert clean.value == wrapped.value
    assert clean.wellformed
    assert not wrapped.wellformed


def test_native_calls_win_over_text_and_schemas_may_be_given() -> None:
    call = {"name": "geo.distance", "arguments": '{"start": "Ulm", "end": "Bonn", "detour": 1.5}'}
    answer = extract_answer("I answer 42.", "How far?", [call], TOOLS)
    assert answer.kind == "call"
    assert answer.value == extract_answer("[geo.distance(start='Ulm', end='Bonn')]", WITH_TOOLS).value


@pytest.mark.parametrize("written", ["2024-03-05", "March 5, 2024", "5 March 2024", "5. März 2024", "March 5th, 2024"])
def test_dates_agree_in_every_notation(written: str) -> None:
    assert extract_answer(f"Answer: {written}", "When was it?").value == ("date", "2024-03-05")


def test_json_objects_agree_by_structure() -> None:
    first = extract_answer('```json\n{"name": "Ada", "age": 36, "tags": ["x"]}\n```', "Extract the person as JSON.")
    second = extract_answer('{"tags":["X"],"age":36.0,"name":"ada"}', "Extract the person as JSON.")
    assert first.kind == second.kind == "json"
    assert same_answer(first, second)
    assert not same_answer(first, extract_answer('{"name": "Ada", "age": 37, "tags": ["x"]}', "Extract as JSON."))


def test_code_agrees_by_syntax_tree() -> None:
    prompt = "Write a Python function that adds one to its argument."
    first = extract_answer(
        "Here:\n```python\ndef f(x):\n    '''Add one.'''\n    return x + 1  # one\n```\nDone.", prompt
    )
    second = extract_answer("```python\ndef f(n: int) -> int:\n    return (n+1)\n\nprint(f(1))\n```", prompt)
    assert first.kind == second.kind == "code"
    assert same_answer(first, second)
    assert not same_answer(first, extract_answer("```python\ndef f(x):\n    return x + 2\n```", prompt))


def test_json_among_words_is_found_where_json_is_asked_for() -> None:
    answer = extract_answer('Sure, here it is:\n\n{"name": "Ada"}\n\nAnything else?', "Return the person as JSON.")
    assert (answer.kind, answer.raw) == ("json", '{"name": "Ada"}')


def test_a_request_is_no_yes_or_no_question() -> None:
    response = "Yes, here is the story. " + "The fox ran over the hill and met an owl. " * 10
    assert extract_answer(response, "Can you write me a story about a fox?").kind == "text"


def test_short_texts_agree_without_case_articles_and_punctuation() -> None:
    a, b = extract_answer("The Eiffel Tower."), extract_answer('{"answer": "eiffel tower"}')
    assert a.kind == "short"
    assert same_answer(a, b)


@pytest.mark.parametrize("response", ["Paris", "**Paris**", "Answer: Paris.", "The capital of France is Paris."])
def test_a_sentence_that_repeats_the_question_is_its_answer(response: str) -> None:
    assert extract_answer(response, "What is the capital of France?").value == ("short", "paris")


def test_of_several_numbers_in_one_sentence_the_last_one_counts() -> None:
    assert extract_answer("A box costs $5.00, so the total is $25.", "How much is it?").value == ("num", 25)
    assert extract_answer("The answer is 5 apples, because 10 - 5 = 5.", "How many?").value == ("num", 5)


def test_a_long_text_is_no_short_answer() -> None:
    essay = "Rivers carve valleys over long times. " * 12 + "\n\nI hope this **helps**!"
    assert extract_answer(essay, "Tell me about rivers.").kind == "text"


@pytest.mark.parametrize("response", ["", "   \n", "<think>only thoughts", '{"reasoning": "cut off before any ans'])
def test_nothing_is_found_where_nothing_is(response: str) -> None:
    assert extract_answer(response, MATHS).kind == "none"


def test_the_span_points_at_the_answer() -> None:
    response = "We add.\nThe answer is 42 apples."
    answer = extract_answer(response)
    assert answer.span is not None
    assert response[slice(*answer.span)].startswith("42")


@given(st.text(max_size=400), st.sampled_from(["", MATHS, CHOICES, OUTPUT, WITH_TOOLS]))
@example("\\boxed{" * 50, MATHS)
@example("[" * 400, OUTPUT)
@example("(" * 200 + "1" + ")" * 200, MATHS)
@example("9" * 350, MATHS)
@example("9" * 90 + "^" + "9" * 90, MATHS)
@example("2" + "^2" * 90, MATHS)
@example("Answer: 1e999", MATHS)
@example("\\frac{1}{0}", MATHS)
@example('{"answer": NaN}', MATHS)
@example("geo.distance(" * 60, WITH_TOOLS)
@example("[geo.distance(start=[[[1]]], end={'a': {'b': b''}})]", WITH_TOOLS)
@example("-" * 5000 + "1", OUTPUT)
@example("1" + "+1" * 5000, OUTPUT)
@example("1" + "+1" * 600, OUTPUT)
@example("a" + ".b" * 4000 + "()", WITH_TOOLS)
@example("f(a=" + "1+" * 400 + "1)", WITH_TOOLS)
@example("[" * 90 + "]" * 90, OUTPUT)
@example('{"geo.distance": {"start": ' + "[" * 300 + "]" * 300 + "}}", WITH_TOOLS)
@example("not " * 3000 + "x", OUTPUT)
@settings(max_examples=150, deadline=None)
def test_no_text_breaks_the_extraction(response: str, prompt: str) -> None:
    answer = extract_answer(response, prompt)
    assert hash(answer) == hash(extract_answer(response, prompt))
    assert same_answer(answer, answer)
    if answer.span is not None:
        assert 0 <= answer.span[0] <= answer.span[1] <= len(response)


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "(",
        "[",
        "{",
        "\\",
        '"',
        "1,",
        "**x",
        "```\n",
        "answer is ",
        '"answer": "',
        "\\boxed{",
        "<think>",
        "Answer: ",
        "f(",
        " ",
        "1 ",
    ],
)
def test_hundred_kilobytes_take_no_more_than_linear_time(unit: str) -> None:
    response = unit * (100_000 // len(unit))
    started = time.process_time()
    for prompt in (MATHS, CHOICES, WITH_TOOLS):
        extract_answer(response, prompt)
    assert time.process_time() - started < 3.0
