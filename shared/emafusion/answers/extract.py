"""Final-answer extraction: from a response of unknown origin to a `FinalAnswer`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from emafusion.answers.calls import calls_value, parse_calls
from emafusion.answers.callsyntax import FunctionCall
from emafusion.answers.choices import last_letter, pick_letter
from emafusion.answers.classify import SHORT_WORDS, classify
from emafusion.answers.code import code_value, find_code, looks_like_code
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
from emafusion.answers.final import ABSENT, NO_ANSWER, FinalAnswer
from emafusion.answers.literals import canonical, evaluate_literal, parse_literal
from emafusion.answers.numbers import NUMBER_IN_TEXT, parse_number
from emafusion.answers.request import Request, read_prompt
from emafusion.answers.toolspecs import ToolSpec, tool_specs
from emafusion.answers.words import leading_boolean, normal_form

_FENCE_ONLY = re.compile(r"^\s*```[\w+-]*[ \t]*\n(.*?)\n?\s*```\s*$", re.DOTALL)


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
    request = read_prompt(prompt)
    specs = {**request.specs, **tool_specs(tools)} if tools else request.specs
    if tool_calls:
        calls = [native_call(call) for call in tool_calls]
        intact = all(getattr(call, "valid", True) and "" not in made for call, (_, made) in zip(tool_calls, calls))
        return FinalAnswer("call", calls_value(calls, specs), None, response, intact)
    text, unwrapped = unwrap(response)
    if not text.strip():
        return NO_ANSWER
    try:
        answer = _from_text(hide_thinking(text), request, specs)
    except RecursionError:  # nested beyond any sense: compare it as text
        answer = _as_text(text)
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


def _from_text(text: str, request: Request, specs: dict[str, ToolSpec]) -> FinalAnswer:
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
            answer = classify(located, request)
            if answer.kind != "none":
                return answer
    whole = _whole(text, request)
    if whole is not None:
        return whole
    return _from_prose(text, request)


def _whole(text: str, request: Request) -> FinalAnswer | None:
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
        answer = classify(located, request, loose=request.literal and not fenced)
        several = answer.kind == "short" and request.number and NUMBER_IN_TEXT.search(inner)
        return (_last_number(text, request) if several else None) or answer
    if request.literal and parse_literal(inner) is not None:
        return classify(located, request)
    code = find_code(text)
    if request.json and code is None and not request.literal:
        return _json_block(text)
    if code is not None and looks_like_code(code[1]) and len(code[1]) > 0.4 * len(text):
        return FinalAnswer("code", code_value(code[0], code[1]), code[2], code[1])
    return None


def _json_block(text: str) -> FinalAnswer | None:
    """Read the one JSON object that stands in other text, fenced or not."""
    start, end = text.find("{"), text.rfind("}")
    found, value = evaluate_literal(text[start : end + 1]) if 0 <= start < end else (False, None)
    if not found or not isinstance(value, dict):
        return None
    return FinalAnswer("json", canonical(value, loose=True), (start, end + 1), text[start : end + 1])


def _from_prose(text: str, request: Request) -> FinalAnswer:
    """Look for an answer in running text; when there is no telling one, the text itself is the answer."""
    marker = find_marker(text)
    if marker is not None:
        answer = classify(marker, request, loose=True)
        if answer.kind not in ("none", "text"):
            return answer
    if request.options:
        opening = text.strip().split("\n", 1)[0]  # the letter first, then the reasons
        picked = pick_letter(opening, request.options) if len(opening.split()) == 1 else None
        if picked is not None:
            at = text.find(opening)
            return FinalAnswer("choice", ("choice", picked), (at, at + len(opening)), opening)
        letter = last_letter(text, request.options)
        if letter is not None:
            return FinalAnswer("choice", ("choice", letter[0]), letter[1], letter[0])
    definite = request.number or request.literal or request.options
    if definite or request.yes_no:
        for located in (find_bold(text), last_line(text)):
            if located is None:
                continue
            answer = classify(located, request, loose=True)
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


def _last_number(text: str, request: Request) -> FinalAnswer | None:
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
