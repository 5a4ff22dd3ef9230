"""Final-answer extraction: from a response of unknown origin to a `FinalAnswer`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from emafusion.answers.calls import calls_value, parse_calls
from emafusion.answers.callsyntax import FunctionCall
from emafusion.answers.choices import last_letter, pick_letter, prompt_options
from emafusion.answers.code import asks_for_code, code_value, find_code, looks_like_code
from emafusion.answers.fields import (
    Located,
    find_bold,
    find_box,
    find_field,
    find_hashes,
    find_marker,
    find_tag,
    hide_thinking,
    last_line,
    last_match,
    unwrap,
)
from emafusion.answers.final import ABSENT, NO_ANSWER, FinalAnswer, Kind, Value
from emafusion.answers.latex import clean_latex
from emafusion.answers.literals import canonical, evaluate_literal, parse_literal, parse_structure
from emafusion.answers.numbers import NUMBER_IN_TEXT, parse_number
from emafusion.answers.toolspecs import ToolSpec, asks_for_calls, prompt_tools, tool_specs
from emafusion.answers.words import leading_boolean, normal_form, parse_boolean, parse_date

SHORT_WORDS = 12
_ASKS_LITERAL = re.compile(
    r"\bassert\b[^\n]*==\s*\?|\[PYTHON\]|\b(?:what|predict|give|determine)\b[^.\n]{0,60}\boutput\b[^.\n]{0,60}"
    r"\b(?:code|program|function|snippet)|\b(?:returns?|prints?|evaluates?)\b[^.\n]{0,30}\?|complete the assert",
    re.IGNORECASE,
)
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|far|long|tall|fast|big|heavy)\b|\bwhat (?:is|are|was|will be) the (?:\w+ ){0,3}?"
    r"(?:value|sum|total|number|product|probability|area|volume|remainder|average|mean|median|ratio|percentage?|cost|"
    r"price|distance|length|time|speed|perimeter|maximum|minimum|smallest|largest|greatest|least|result|difference)|"
    r"\b(?:calculate|compute|evaluate|solve)\b|\bfind (?:the|all|\$)|\bwie ?viele?\b|\bcombien\b|\bcu[aá]nt[oa]s?\b|"
    r"\bquant[oi]s?\b|сколько|多少|几个|いくつ|몇|\$[^$\n]{1,80}\$|\d\s*[-+*/×÷]\s*\d",
    re.IGNORECASE,
)
_ASKS_YES_NO = re.compile(
    r"(?:^|[.?!:\n]\s*)(?:is|are|was|were|does|do|did|can|could|will|would|should|has|have|ist|sind|kann|est-ce)\s+\w|"
    r"\b(?:yes or no|true or false|yes/no|true/false|ja oder nein|vrai ou faux|是否|对吗|吗[?？])",
    re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(r"\d,\d{1,2}(?!\d)")
_DECIMAL_POINT = re.compile(r"\d\.\d")
_ASSERTION = re.compile(r"^\s*(?:assert\s+)?[A-Za-z_][\w.]*\(.*\)\s*==\s*(.+)$", re.DOTALL)
_LEAD_IN = re.compile(
    r"^(?:(?:so|thus|therefore|hence|that|the|value|result|output|total|it|this|is|are|of|equals?|approximately|about|simply)\s+)+(?=\S)|"
    r"^(?:\w+\s+){0,3}?(?:is|equals|=|:)\s+(?=[-+$\\(\d])",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[^\d\s.])[.!](?:\s|$)|(?<=\d)\.(?:\s|$)|[。！]")
_FENCE_ONLY = re.compile(r"^\s*```[\w+-]*[ \t]*\n(.*?)\n?\s*```\s*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Request:
    """What a prompt tells about the form of its answer."""

    options: dict[str, str]
    specs: dict[str, ToolSpec]
    calls: bool
    literal: bool
    number: bool
    yes_no: bool
    code: bool
    decimal_comma: bool


@lru_cache(maxsize=512)
def _read_prompt(prompt: str) -> _Request:
    specs = prompt_tools(prompt)
    question = prompt[-6000:]
    literal = _ASKS_LITERAL.search(question) is not None
    return _Request(
        options=prompt_options(prompt) if not specs else {},
        specs=specs,
        calls=bool(specs) or (asks_for_calls(prompt) and not literal),
        literal=literal,
        number=_ASKS_NUMBER.search(question) is not None,
        yes_no=_ASKS_YES_NO.search(question) is not None,
        code=asks_for_code(prompt) and not literal,
        decimal_comma=_DECIMAL_COMMA.search(question) is not None and _DECIMAL_POINT.search(question) is None,
    )


def extract_answer(
    response: str, prompt: str = "", tool_calls: Sequence[Any] = (), tools: Sequence[Mapping[str, Any]] = ()
) -> FinalAnswer:
    r"""Find the final answer of a response and bring it into a form that compares across models.

    Parameters
    ----------
    response : str
        The text of the response, in any language and layout.
    prompt : str
        The question; it tells which forms to expect (options, functions, a literal, code, a number).
    tool_calls : sequence
        Native tool calls, objects or mappings with a name and arguments. When given they are the answer.
    tools : sequence of mapping
        The tool schemas of the request, for defaults and parameter order; those spelled out in the prompt are read too.

    Returns
    -------
    FinalAnswer
        Kind "none" when the response holds no answer.

    Examples
    --------
    >>> extract_answer('{"reasoning": "...", "answer": "\\frac{1}{2}"}').value
    ('num', 0.5)
    >>> extract_answer("So there are 42 apples.\n#### 42").value
    ('num', 42)
    >>> extract_answer("The answer is (B).", "Which?\nA. red\nB. blue").value
    ('choice', 'B')
    """
    request = _read_prompt(prompt)
    specs = {**request.specs, **tool_specs(tools)} if tools else request.specs
    if tool_calls:
        calls = [native_call(call) for call in tool_calls]
        intact = all(getattr(call, "valid", True) and "" not in made for call, (_, made) in zip(tool_calls, calls))
        return FinalAnswer("call", calls_value(calls, specs), None, response, intact)
    text, unwrapped = unwrap(response)
    if not text.strip():
        return NO_ANSWER
    answer = _from_text(hide_thinking(text), request, specs)
    if unwrapped and answer.span is not None:  # positions in the decoded text are not positions in the response
        at = response.find(answer.raw) if answer.raw else -1
        span = (at, at + len(answer.raw)) if at >= 0 else None
        return FinalAnswer(answer.kind, answer.value, span, answer.raw, answer.wellformed)
    return answer


def native_call(call: Any) -> FunctionCall:
    """Read a native tool call: an object or mapping with a name and arguments, decoded or not."""
    if isinstance(call, Mapping):
        inner = call.get("function", call)
        inner = inner if isinstance(inner, Mapping) else call
        name, arguments = inner.get("name", ""), inner.get("arguments", inner.get("args", {}))
    else:
        name = getattr(call, "name", "")
        arguments = getattr(call, "arguments", None)
        arguments = getattr(call, "args", {}) if arguments is None else arguments
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False)
        except ValueError:
            arguments = {"": arguments}
    return str(name), dict(arguments) if isinstance(arguments, Mapping) else {"": arguments}


def _from_text(text: str, request: _Request, specs: dict[str, ToolSpec]) -> FinalAnswer:
    """Try the places in the order of how sure they are."""
    if request.calls or specs or text.lstrip()[:2] in ("[{", '{"') or text.lstrip()[:1] in "[<`":
        made = parse_calls(text, specs, expected=request.calls or bool(specs))
        if made is not None:
            return FinalAnswer("call", calls_value(made[0], specs), (0, len(text)), text.strip(), made[1])
    if request.code:
        found = find_code(text)
        if found is not None:
            return FinalAnswer("code", code_value(found[0], found[1]), found[2], found[1])
    for find in (find_field, find_tag, find_box, find_hashes):
        located = find(text)
        if located is not None:
            answer = _classify(located, request)
            if answer.kind != "none":
                return answer
    whole = _whole(text, request)
    if whole is not None:
        return whole
    return _from_prose(text, request)


def _whole(text: str, request: _Request) -> FinalAnswer | None:
    """Read a response that is nothing but its answer: a short text, a JSON value, a block of code."""
    stripped = text.strip()
    fenced = _FENCE_ONLY.match(stripped)
    inner = fenced[1].strip() if fenced else stripped
    start = text.find(inner)
    located = Located(inner, (start, start + len(inner)), True)
    if _cut_off(inner):
        return None
    if inner[:1] in "{[" and inner[-1:] in "}]" and not request.literal:
        found, value = evaluate_literal(inner)
        if found and isinstance(value, dict):
            return FinalAnswer("json", canonical(value, loose=True), located.span, inner)
        if found and isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
            return FinalAnswer("json", canonical(value, loose=True), located.span, inner)
    if "\n" not in inner and len(inner.split()) <= SHORT_WORDS and find_marker(text) is None:
        return _classify(located, request)
    if request.literal and parse_literal(inner) is not None:
        return _classify(located, request)
    code = find_code(text)
    if code is not None and looks_like_code(code[1]) and len(code[1]) > 0.4 * len(text):
        return FinalAnswer("code", code_value(code[0], code[1]), code[2], code[1])
    return None


def _from_prose(text: str, request: _Request) -> FinalAnswer:
    """Look for an answer in running text; when there is no telling one, the text itself is the answer."""
    marker = find_marker(text)
    if marker is not None:
        answer = _classify(marker, request, loose=True)
        if answer.kind not in ("none", "text"):
            return answer
    if request.options:
        letter = last_letter(text, request.options)
        if letter is not None:
            return FinalAnswer("choice", ("choice", letter[0]), letter[1], letter[0])
    definite = request.number or request.literal or request.options
    if definite or request.yes_no:
        for located in (find_bold(text), last_line(text)):
            if located is None:
                continue
            answer = _classify(located, request, loose=True)
            if answer.kind in ("number", "choice", "literal", "expression", "boolean", "date") and definite:
                return answer
    if request.yes_no and not request.options:
        value = leading_boolean(text)
        if value is not None:
            return FinalAnswer("boolean", value, (0, 0), text[:20])
    if request.number:
        number = _last_number(text, request)
        if number is not None:
            return number
    return FinalAnswer("none", ABSENT, None, text.strip(), False) if _cut_off(text.strip()) else _as_text(text)


def _cut_off(text: str) -> bool:
    """Whether a JSON object is opened and not closed."""
    return (text[:1] == "{" or "```json" in text) and text.count("{") > text.count("}")


def _as_text(text: str) -> FinalAnswer:
    key = normal_form(text[:20_000])
    if not key:
        return NO_ANSWER
    return FinalAnswer("text", ("text", key), (0, len(text)), text.strip())


def _last_number(text: str, request: _Request) -> FinalAnswer | None:
    """Take the number of the last sentence that has one: after an equals sign if there is one, else the last."""
    line = last_line(text)
    if line is None:
        return None
    offset = max(line.span[0], line.span[1] - 400)
    last = last_match(NUMBER_IN_TEXT, text, offset, line.span[1])
    if last is None:
        return None
    value = parse_number(last[0], decimal_comma=request.decimal_comma)
    return None if value is None else FinalAnswer("number", value, last.span(), last[0], False)


def _classify(located: Located, request: _Request, *, loose: bool = False) -> FinalAnswer:
    """Decide what sort of answer a located piece is. `loose` says it may carry words around the answer."""
    raw, span, wellformed = located.text, located.span, located.wellformed

    def answer(kind: Kind, value: Value) -> FinalAnswer:
        return FinalAnswer(kind, value, span, raw, wellformed)

    if located.value is not None and not isinstance(located.value[1], str):
        value = located.value[1]
        if value is None:
            return answer("literal", ("null",)) if request.literal else NO_ANSWER
        kind: Kind = (
            "boolean" if isinstance(value, bool) else "number" if isinstance(value, (int, float)) else "literal"
        )
        return answer("json" if isinstance(value, dict) else kind, canonical(value, loose=isinstance(value, dict)))
    text = raw.strip()
    if not text and request.literal and not loose:
        return answer("literal", ("str", raw))
    if not text or text.strip("_") == "":
        return NO_ANSWER
    for attempt in _readings(text, loose):
        if request.options:
            letter = pick_letter(attempt, request.options)
            if letter is not None:
                return answer("choice", ("choice", letter))
        found = _exact(attempt, request)
        if found is not None:
            return answer(*found)
    if request.literal:
        return answer("literal", ("str", _plain(text) if loose else raw))
    if request.options and not loose:
        letter_span = last_letter(text, request.options)
        if letter_span is not None:
            return answer("choice", ("choice", letter_span[0]))
    if request.number:
        numbers = NUMBER_IN_TEXT.findall(text[:400])
        if len(numbers) == 1 and (value := parse_number(numbers[0], decimal_comma=request.decimal_comma)) is not None:
            return answer("number", value)
    opening = leading_boolean(text) if request.yes_no and not request.options else None
    if opening is not None:
        return answer("boolean", opening)
    if len(text.split()) <= SHORT_WORDS and len(text) <= 200:
        key = normal_form(clean_latex(text) if "\\" in text or "$" in text else text)
        return answer("short", ("short", key or text))
    return answer("text", ("text", normal_form(text[:20_000])))


def _readings(text: str, loose: bool) -> list[str]:
    """The text as it stands, then with wrappers, lead-ins and later sentences taken off."""
    readings = [text]
    assertion = _ASSERTION.match(text)
    if assertion:
        readings.append(assertion[1].strip())
    plain = _plain(text)
    if plain != text:
        readings.append(plain)
    if "\\" in plain and len(plain) <= 200:
        readings.append(clean_latex(plain))
    if loose or len(text.split()) > 1:
        first = _SENTENCE_END.split(plain, maxsplit=1)[0].strip()
        for shorter in (first, _LEAD_IN.sub("", first), _LEAD_IN.sub("", plain)):
            shorter = _plain(shorter)
            if shorter and shorter not in readings:
                readings.append(shorter)
    return readings


def _plain(text: str) -> str:
    """Take off bold marks, code ticks, mathematical delimiters and a final stop."""
    text = text.strip()
    for mark in ("**", "__", "```", "`", "$$", "$"):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
            text = text[len(mark) : -len(mark)].strip()
    if text.endswith(".") and not text.endswith("..") and text[:1] not in "'\"":
        text = text[:-1].rstrip()
    return text.strip("*").strip() or text


def _exact(text: str, request: _Request) -> tuple[Kind, Value] | None:
    """Read a text that is an answer of a definite kind and nothing else."""
    boolean = parse_boolean(text)
    word_fits = text in ("True", "False", "true", "false") or not request.literal
    if boolean is not None and word_fits and (len(text.strip(" .*")) > 1 or request.yes_no):
        return "boolean", boolean
    if text[:1] not in "([{'\"" or request.literal is False:
        number = parse_number(text, decimal_comma=request.decimal_comma)
        if number is not None and not (
            request.literal and not re.fullmatch(r"[-+]?(?:0|[1-9]\d*)(?:\.\d*)?(?:[eE][-+]?\d+)?", text)
        ):
            return "number", number
    if text[:1] in "([{'\"-bNTFstu" or request.literal:
        value = parse_literal(text)
        if value is not None:
            return ("number" if value[0] == "num" else "boolean" if value[0] == "bool" else "literal"), value
    if request.literal:
        return None
    day = parse_date(text)
    if day is not None:
        return "date", day
    structure = parse_structure(text)
    if structure is None:
        return None
    return (
        "number" if structure[0] in ("num", "complex") else "literal" if structure[0] == "seq" else "expression"
    ), structure
