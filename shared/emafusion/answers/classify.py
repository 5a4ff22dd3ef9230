"""What sort of answer a located piece of text is: choice, number, boolean, literal, date, expression or words."""

from __future__ import annotations

import re

from emafusion.answers.choices import last_letter, named_option, pick_letter
from emafusion.answers.fields import Located
from emafusion.answers.final import NO_ANSWER, FinalAnswer, Kind, Value
from emafusion.answers.latex import clean_latex
from emafusion.answers.literals import canonical, parse_literal, parse_structure
from emafusion.answers.numbers import NUMBER_IN_TEXT, parse_number
from emafusion.answers.request import Request
from emafusion.answers.words import leading_boolean, normal_form, parse_boolean, parse_date

SHORT_WORDS = 12
_ASSERTION = re.compile(r"^\s*(?:assert\s+)?[A-Za-z_][\w.]*\(.*\)\s*==\s*(.+)$", re.DOTALL)
_LEAD_IN = re.compile(
    r"^(?:(?:so|thus|therefore|hence|that|the|value|result|output|total|it|this|is|are|of|equals?|approximately|about|simply)\s+)+(?=\S)|"
    r"^(?:\w+\s+){0,3}?(?:is|equals|=|:)\s+(?=[-+$\\(\d])",
    re.IGNORECASE,
)
_REASON = re.compile(r",?\s+(?:because|since|as|for|weil|denn|da|car|parce que|puisque|porque|ya que)\s", re.IGNORECASE)
_STATEMENT = re.compile(
    r"^(.{2,80}?)(?:\s+(?:is|are|was|were|ist|war|est|es|è|é|был|является)\s+|\s*[:：]\s*)(\S.*)$", re.DOTALL
)
_GENERIC = frozenset({
    "answer", "statement", "result", "value", "output", "it", "this", "that", "these", "he", "she", "they",
    "final", "correct", "label", "class", "category", "sentiment", "i", "think", "believe", "so", "thus",
    "therefore", "hence", "to", "in",
})  # fmt: skip
_SENTENCE_END = re.compile(r"(?<=[^\d\s.])[.!](?:\s|$)|(?<=\d)\.(?:\s|$)|[。！]")


def classify(located: Located, request: Request, *, loose: bool = False) -> FinalAnswer:
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
    readings = _readings(text, request, loose)
    for attempt in readings if request.options else ():
        letter = pick_letter(attempt, request.options)
        if letter is not None:
            return answer("choice", ("choice", letter))
    opening = leading_boolean(text) if request.yes_no and not request.options else None
    if opening is not None:
        return answer("boolean", opening)
    for attempt in readings:
        found = _exact(attempt, request)
        if found is not None:
            return answer(*found)
    if request.literal:
        return answer("literal", ("str", _plain(readings[-1] if "`" in text else text) if loose else raw))
    if request.options and not loose:
        letter_span = last_letter(text, request.options)
        letter = letter_span[0] if letter_span else named_option(text, request.options)
        if letter is not None:
            return answer("choice", ("choice", letter))
    if request.number:
        numbers = NUMBER_IN_TEXT.findall(text[:400])
        if len(numbers) == 1 and (value := parse_number(numbers[0], decimal_comma=request.decimal_comma)) is not None:
            return answer("number", value)
    if len(text.split()) <= SHORT_WORDS and len(text) <= 200:
        said = _told(text, request) or text
        key = normal_form(clean_latex(said) if "\\" in said or "$" in said else said)
        return answer("short", ("short", key or text))
    return answer("text", ("text", normal_form(text[:20_000])))


def _told(text: str, request: Request) -> str | None:
    """Return Z of "X is Z" or "X: Z" when X only repeats words of the question."""
    found = _STATEMENT.match(text)
    if found is None:
        return None
    about = set(normal_form(found[1]).split())
    return found[2] if about <= request.words | _GENERIC else None


def _readings(text: str, request: Request, loose: bool) -> list[str]:
    """The text as it stands, then with wrappers, lead-ins, reasons and later sentences taken off."""
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
        quoted = re.findall(r"`([^`\n]+)`", text) if loose else []
        reason = _REASON.split(first, maxsplit=1)[0]
        told = _told(first, request) or ""
        shorts = [first, _LEAD_IN.sub("", first), _LEAD_IN.sub("", plain), reason, _LEAD_IN.sub("", reason), told]
        for shorter in shorts + (quoted if len(quoted) == 1 else []):
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


def _exact(text: str, request: Request) -> tuple[Kind, Value] | None:
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
