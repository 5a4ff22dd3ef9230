"""Graders: small programs that score a response in [0, 1] against what is right.

They forgive wording (a lead-in, markdown, a unit, a final full stop) and forgive nothing in the content.
Every function here that takes an expectation returns a grader: ``Callable[[str], float]``.
"""

from __future__ import annotations

import ast
import csv
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from itertools import islice

Grade = Callable[[str], float]

_ANSWER = re.compile(r"answer(?:\s+is)?\s*[:=]\**[ \t]*", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?")
_NEXT_QUESTION = re.compile(r"\nQ:")
_FENCE = re.compile(r"^\s*```[\w+-]*\s*$", re.MULTILINE)
_JSON_STARTS = 50  # where to look for JSON at most: a text of brackets alone would take quadratic time
_WRAPPING = " \t\r\n`*\"'“”‘’"


def first_turn(response: str) -> str:
    """The response up to where it begins to ask itself a next question, without the ``A:`` that a prompt ends in."""
    return re.sub(r"^\s*A:\s*", "", _NEXT_QUESTION.split(response, maxsplit=1)[0])


def answer_part(response: str) -> str:
    """What follows the last ``Answer:``, up to the end of that line (or the next line that says something).

    Without such a marker the whole response is the answer.
    """
    response = first_turn(response)
    found = list(_ANSWER.finditer(response))
    if not found:
        return response.strip()
    lines = [line.strip() for line in response[found[-1].end() :].splitlines() if line.strip(" *`")]
    return lines[0] if lines else ""


def bare(text: str) -> str:
    """`text` in lower case without accents' encoding differences, wrapping quotes, markdown or end punctuation."""
    folded = unicodedata.normalize("NFC", text).casefold().replace("’", "'").replace("**", "")
    folded = re.sub(r"\s+", " ", folded).strip(_WRAPPING)
    return folded.strip(".!?¡¿…。" + _WRAPPING)


def number(expected: float, tolerance: float = 1e-6) -> Grade:
    """Grade 1 when the last number of the answer equals `expected`."""

    def grade(response: str) -> float:
        found = _NUMBER.findall(answer_part(response))
        if not found:
            return 0.0
        value = float(found[-1].replace(",", "").replace("−", "-"))
        return float(abs(value - expected) <= tolerance)

    return grade


def label(expected: str, labels: Iterable[str]) -> Grade:
    """Grade 1 when exactly one of `labels` stands in the answer, and it is the `expected` one."""
    patterns = {name: _standing_alone(name) for name in labels}
    if expected not in patterns:
        raise ValueError(f"the expected label {expected!r} is not among the labels {sorted(patterns)}")

    def grade(response: str) -> float:
        answer = bare(answer_part(response))
        return float([name for name, pattern in patterns.items() if pattern.search(answer)] == [expected])

    return grade


def mention(right: Iterable[str], wrong: Iterable[str]) -> Grade:
    """Grade 1 when the answer's first sentence names something `right` and nothing `wrong`."""
    good, bad = ([_standing_alone(name) for name in names] for names in (right, wrong))

    def grade(response: str) -> float:
        sentence = re.split(r"(?<=[.!?])[*\"”]*\s|\n", answer_part(response), maxsplit=1)[0]
        answer = bare(sentence)
        found = any(name.search(answer) for name in good)
        return float(found and not any(name.search(answer) for name in bad))

    return grade


def _standing_alone(name: str) -> re.Pattern[str]:
    """A pattern for `name` as a word of its own in a `bare` text."""
    return re.compile(rf"(?<!\w){re.escape(name.casefold())}(?!\w)")


def phrase(*accepted: str) -> Grade:
    """Grade 1 when the answer, on its own line or after a lead-in, is one of the `accepted` phrases."""
    right = {bare(text) for text in accepted}

    def grade(response: str) -> float:
        answer = answer_part(_FENCE.sub("", response))
        lines = [line for line in answer.splitlines() if line.strip()]
        if not lines:
            return 0.0
        # "In German: Guten Morgen" and a lead-in line ending in a colon say the same as the phrase alone.
        candidates = {bare(answer), bare(lines[-1] if lines[0].rstrip().endswith(":") else lines[0])}
        candidates |= {bare(text.split(": ", 1)[1]) for text in tuple(candidates) if ": " in text}
        return float(bool(candidates & right))

    return grade


def python_value(expected: object) -> Grade:
    """Grade 1 when the answer reads as the Python literal `expected` (strings also without their quotes)."""

    def grade(response: str) -> float:
        answer = answer_part(_FENCE.sub("", response)).strip(" \t\r\n`*")
        lines = [line.strip(" \t`*") for line in answer.splitlines() if line.strip()]
        if not lines:
            return 0.0
        return float(any(_means(text, expected) for text in {answer, lines[-1]}))

    return grade


def _means(text: str, expected: object) -> bool:
    """Whether `text` is a literal of the value and type of `expected`, after an optional ``name = `` or lead-in."""
    text = re.sub(r"^(?:the )?(?:output|result|value|it (?:prints|returns))[^:=]*[:=]\s*", "", text, flags=re.I).rstrip(
        "."
    )
    if isinstance(expected, str) and text.strip("'\"") == expected:
        return True
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return type(value) is type(expected) and bool(value == expected)


def lines(*expected: str) -> Grade:
    """Grade 1 when the response is exactly these lines: code fences and one lead-in line with a colon are forgiven."""
    right = [line.rstrip() for line in expected]

    def grade(response: str) -> float:
        given = [line.rstrip() for line in _FENCE.sub("", first_turn(response)).strip().splitlines()]
        without_lead_in = given[1:] if given and given[0].endswith(":") else given
        without_lead_in = [*_drop_blank(without_lead_in)]
        if len(right) == 1 and len(given) == 1:
            return float(right[0] in {given[0], given[0].strip("`*\"'"), given[0].strip("`*\"'").rstrip(".")})
        return float(right in (given, without_lead_in))

    return grade


def csv_rows(*expected: list[str]) -> Grade:
    """Grade 1 when the response is a CSV table of these rows, quoted or not; fences and a lead-in are forgiven."""

    def grade(response: str) -> float:
        given = [line for line in _FENCE.sub("", first_turn(response)).splitlines() if line.strip()]
        if given and given[0].rstrip().endswith(":"):
            given = given[1:]
        try:
            rows = [[cell.strip() for cell in row] for row in csv.reader(given, skipinitialspace=True)]
        except csv.Error:
            return 0.0
        return float(rows == list(expected))

    return grade


def _drop_blank(given: list[str]) -> list[str]:
    """`given` without its leading blank lines."""
    start = next((i for i, line in enumerate(given) if line), len(given))
    return given[start:]


def first_json(response: str) -> object | None:
    """The first JSON object or array in the response, or None."""
    decoder = json.JSONDecoder()
    for match in islice(re.finditer(r"[\[{]", response), _JSON_STARTS):
        try:
            value: object = decoder.raw_decode(response, match.start())[0]
        except (ValueError, RecursionError):
            continue
        return value
    return None


def json_value(expected: object, *, numeric_text: bool = False) -> Grade:
    """Grade 1 when the first JSON of the response equals `expected`.

    Keys must match; text is compared without case and wrapping blanks. With `numeric_text` the text "12" equals the
    number 12; without it the type must be right too, as a tool call demands.
    """
    right = _canonical(expected, numeric_text)

    def grade(response: str) -> float:
        return float(_canonical(first_json(response), numeric_text) == right)

    return grade


def _canonical(value: object, numeric_text: bool) -> object:
    """`value` in a form where equal content compares equal, and True never equals 1."""
    if isinstance(value, dict):
        return {str(key): _canonical(item, numeric_text) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item, numeric_text) for item in value]
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, (int, float)):
        return ("number", float(value))
    text = re.sub(r"\s+", " ", str(value)).strip().casefold()
    if numeric_text:
        plain = text.replace(",", "").lstrip("$€£ ")
        if re.fullmatch(r"-?\d+(?:\.\d+)?", plain):
            return ("number", float(plain))
    return ("text", text)
