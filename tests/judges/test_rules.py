"""Rules tell what is plainly wrong or right with an answer, stay silent otherwise, and take linear time."""

from __future__ import annotations

import json
import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emafusion.judges.rule_schema import schema_problem, structure_problem
from emafusion.judges.rules import POSITIVE, RuleFinding, rule_verdicts

QUESTION = "What are the main causes of coastal erosion, and how do towns protect themselves against it?"
ESSAY = (
    "Coastal erosion has several causes. Waves remove sand and rock, and storms make them stronger. Rivers that were "
    "dammed bring less sediment to the beaches. Towns build sea walls and groynes, or they bring new sand every few "
    "years. Some communities decide to move houses inland, because that is cheaper in the long run."
)
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["C", "F"]}},
            "required": ["city"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age"],
}
GERMAN = (
    "Die Küste wird durch Wellen und Stürme abgetragen. Die Städte bauen Mauern und sie bringen auch neuen Sand, der "
    "aber nicht lange bleibt. Das ist für die Gemeinden teuer und wird mit den Jahren schwieriger."
)
RUSSIAN = "Сегодня хорошая погода в городе, и мы идём на пляж. " * 3


def names(prompt: str, response: str, **context: Any) -> list[str]:
    """Return the names of what the rules find."""
    return [finding.name for finding in rule_verdicts(prompt, response, **context)]


def only(prompt: str, response: str, **context: Any) -> RuleFinding:
    """Return the one finding there is."""
    (finding,) = rule_verdicts(prompt, response, **context)
    return finding


def test_a_plain_good_answer_gives_no_finding() -> None:
    assert names(QUESTION, ESSAY, finish_reason="stop") == []


@pytest.mark.parametrize("response", ["", "  \n\t", "<think>I only thought", '"  "'])
def test_an_answer_without_text_is_empty_and_fatal(response: str) -> None:
    finding = only(QUESTION, response)
    assert (finding.name, finding.fatal) == ("empty", True)


def test_a_tool_call_without_text_is_not_empty() -> None:
    call = SimpleNamespace(name="get_weather", arguments={"city": "Ulm"})
    assert names("Weather in Ulm?", "", tools=[TOOL], tool_calls=[call]) == ["tool_call_valid"]


@pytest.mark.parametrize(
    "response",
    [
        "I'm sorry, but I can't help with that.",
        "I am unable to provide this.",
        "I cannot answer this question.",
        "As an AI language model, I do not have opinions.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar com isso.",
        "К сожалению, я не могу помочь с этим.",
        "抱歉，我无法提供这些内容。",
        "申し訳ありませんが、お答えできません。",
        "죄송하지만 도와드릴 수 없습니다.",
    ],
)
def test_a_refusal_is_found_in_several_languages(response: str) -> None:
    assert "refusal" in names("x", response)


@pytest.mark.parametrize(
    "response",
    [
        "I'm sorry to hear that your plant died. Water it less next time, and give it light.",
        ESSAY + " The mayor said: I'm sorry, but I can't help with that.",
        "Sorry about the confusion. The total is 42.",
        "I can't believe it is already ten years old; the bridge was opened in 2014.",
        "I am sorry, but I can't help with that. " + ESSAY * 6,
    ],
)
def test_real_answers_that_say_sorry_are_no_refusals(response: str) -> None:
    assert "refusal" not in names(QUESTION, response)


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS"])
def test_a_reported_cut_is_truncation_and_fatal_only_without_an_answer(reason: str) -> None:
    cut = only("How many apples are there?", '{"reasoning": "first we count the', finish_reason=reason)
    assert (cut.name, cut.fatal) == ("truncated", True)
    done = only("How many apples are there?", "There are 42.\n#### 42\n\nTo check this, we", finish_reason=reason)
    assert (done.name, done.fatal) == ("truncated", False)


def test_a_visible_cut_is_truncation_when_no_reason_was_given() -> None:
    cut = ESSAY[:150] + ", and storms make them"
    assert names(QUESTION, ESSAY[: ESSAY.index(" Rivers")]) == []
    assert names(QUESTION, cut + " stronger because of the") == ["truncated"]
    assert names(QUESTION, cut + " stronger because of the", finish_reason="stop") == []


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        (QUESTION, GERMAN),
        (QUESTION, "海岸侵蚀的主要原因是海浪和风暴。" * 8),
        ("Welche Ursachen hat die Erosion an der Küste und wie schützen sich die Städte?", ESSAY),
        ("Какие причины у береговой эрозии и как города защищаются?", ESSAY),
        ("海岸侵蚀的主要原因是什么？城镇如何保护自己免受其害？请详细说明。", ESSAY),
    ],
)
def test_an_answer_in_another_language_is_found(prompt: str, response: str) -> None:
    finding = only(prompt, response)
    assert (finding.name, finding.fatal) == ("language_mismatch", False)


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Translate into Russian: the weather is good today and we go to the beach.", RUSSIAN),
        ("Answer in German. What are the causes of erosion?", GERMAN),
        ("Übersetze ins Englische: Die Küste wird durch die Wellen abgetragen.", ESSAY),
        ("Write a function that adds the numbers of a list.", "```python\ndef f(x):\n    return sum(x)\n```"),
        ("Wie lautet die Formel?", "x^2 + y^2 = r^2"),
        ("What does this headline say? " + RUSSIAN, RUSSIAN),
    ],
)
def test_another_language_is_fine_where_it_is_asked_for_or_unclear(prompt: str, response: str) -> None:
    assert "language_mismatch" not in names(prompt, response)


@pytest.mark.parametrize(
    ("block", "broken"),
    [
        ("```python\ndef f(x):\n    return x\n```", False),
        ("```python\ndef f(x):\n    return x", True),
        ("```python\ndef f(x)\n    return x\n```", True),
        ("```python\n>>> f(1)\n1\n```", False),
        ("```python\ndef f(x):\n    ...\n```", False),
        ("  ```python\n  def f(x):\n      return x\n  ```", False),
        ("```js\nfunction f( {\n```", False),
    ],
)
def test_broken_code_blocks_are_found(block: str, broken: bool) -> None:
    found = names("Write a function.", f"Here it is:\n\n{block}", finish_reason="stop")
    assert found == (["broken_code_block"] if broken else [])


def test_json_that_was_asked_for_must_parse() -> None:
    prompt = "Give the person as a JSON object."
    assert names(prompt, '{"name": "Ada"}') == []
    assert names(prompt, 'Here you are:\n```json\n{"name": "Ada"}\n```') == []
    assert names(prompt, '{"name": "Ada", }') == ["broken_json"]
    assert names(prompt, "Her name is Ada.") == ["broken_json"]
    assert names("Who is she?", '{"name": "Ada", }') == []


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"name": "Ada", "age": 36}, "schema_valid"),
        ({"name": "Ada", "age": 36, "tags": ["x"]}, "schema_valid"),
        ({"name": "Ada"}, "schema_violation"),
        ({"name": "Ada", "age": "36"}, "schema_violation"),
        ({"name": "Ada", "age": True}, "schema_violation"),
        ({"name": "Ada", "age": 36, "tags": [1]}, "schema_violation"),
        ([], "schema_violation"),
    ],
)
def test_a_schema_is_checked_with_and_without_the_package(
    value: Any, name: str, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "jsonschema", None)
    finding = only("Who?", json.dumps(value), schema=SCHEMA)
    assert (finding.name, finding.fatal) == (name, name == "schema_violation")
    assert finding.positive == (name in POSITIVE)


def test_unparsable_json_under_a_schema_is_fatal() -> None:
    finding = only("Who?", "Ada, 36 years old", schema=SCHEMA)
    assert (finding.name, finding.fatal) == ("broken_json", True)


def test_an_odd_schema_does_not_break_the_check() -> None:
    assert schema_problem({"a": 1}, {"$ref": "#/nowhere"}) is None
    assert structure_problem({"a": 1}, {"type": "made-up", "properties": None}) is None


@pytest.mark.parametrize(
    ("name", "arguments", "found", "fatal"),
    [
        ("get_weather", {"city": "Ulm"}, "tool_call_valid", False),
        ("get_weather", {"city": "Ulm", "days": 3, "unit": "C"}, "tool_call_valid", False),
        ("get_wether", {"city": "Ulm"}, "tool_call_violation", True),
        ("get_weather", {"days": 3}, "tool_call_violation", True),
        ("get_weather", {"city": "Ulm", "colour": "red"}, "tool_call_violation", True),
        ("get_weather", {"city": "Ulm", "days": "three"}, "tool_call_violation", False),
        ("get_weather", {"city": "Ulm", "unit": "K"}, "tool_call_violation", False),
    ],
)
def test_tool_calls_are_held_against_the_tools(name: str, arguments: dict[str, Any], found: str, fatal: bool) -> None:
    native = SimpleNamespace(name=name, arguments=arguments, valid=True)
    finding = only("Weather?", "", tools=[TOOL], tool_calls=[native])
    assert (finding.name, finding.fatal) == (found, fatal)
    assert finding.reason


def test_written_calls_are_held_against_the_tools_of_the_prompt() -> None:
    prompt = "Weather in Ulm?\n\nAvailable functions:\n" + json.dumps([TOOL["function"]])
    assert names(prompt, "[get_weather(city='Ulm')]") == ["tool_call_valid"]
    assert names(prompt, "[get_weather(days=2)]") == ["tool_call_violation"]
    assert names(prompt, "I would call get_weather(city='Ulm') and see.") == ["tool_call_violation"]
    assert names(prompt, "Which Ulm do you mean?") == []


def test_undecodable_arguments_are_a_violation() -> None:
    native = SimpleNamespace(name="get_weather", arguments={}, valid=False)
    finding = only("Weather?", "", tools=[TOOL], tool_calls=[native])
    assert (finding.name, finding.fatal) == ("tool_call_violation", True)


@pytest.mark.parametrize(
    "response",
    [
        ESSAY + " I think that the waves" + " are very strong and" * 40,
        "\n".join(["The towns build walls against the sea."] * 15),
        "The answer is " + "nobody knows " * 60,
    ],
)
def test_a_loop_is_a_repetition(response: str) -> None:
    assert "repetition" in names(QUESTION, response, finish_reason="stop")


@pytest.mark.parametrize(
    "response",
    [
        ESSAY * 2,
        "| a | b |\n" + "|---|---|\n" + "\n".join(f"| row number {i} | value {i * i} |" for i in range(60)),
        "\n".join(f"    self.field_{i} = field_{i}" for i in range(60)),
        "0" * 600,
        "Heading\n" + "-" * 800,
    ],
)
def test_tables_rules_and_lists_are_no_loops(response: str) -> None:
    assert "repetition" not in names(QUESTION, response, finish_reason="stop")


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from([None, "stop", "length"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_text_breaks_the_rules(prompt: str, response: str, reason: str | None, strict: bool) -> None:
    schema, tools = (SCHEMA, [TOOL]) if strict else (None, [])
    findings = rule_verdicts(prompt, response, finish_reason=reason, schema=schema, tools=tools)
    assert findings == rule_verdicts(prompt, response, finish_reason=reason, schema=schema, tools=tools)
    assert all(not (finding.positive and finding.fatal) for finding in findings)
    assert len({finding.name for finding in findings}) == len(findings)


UNITS = ["a", "word ", "sorry, I can ", "(", "[", "{", '{"a": ', "```\n", "```python\nx\n", '"', '\\"', "\\", "$"]
UNITS += ["I ", "ich kann ", " ", "\n"]


@pytest.mark.parametrize("unit", UNITS)
def test_hundred_kilobytes_take_linear_time(unit: str) -> None:
    response = "x" + unit * (100_000 // len(unit))
    started = time.process_time()
    rule_verdicts("Give JSON.\n```json\n{}\n```", response, None, SCHEMA, [TOOL])
    rule_verdicts(response, response)
    assert time.process_time() - started < 4.0
