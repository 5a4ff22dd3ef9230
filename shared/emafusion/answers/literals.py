"""Literals and structures: Python values, JSON, tuples, intervals, sets and unions of mathematical objects."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

from emafusion.answers.expressions import parse_expression
from emafusion.answers.final import Value
from emafusion.answers.latex import clean_latex
from emafusion.answers.numbers import number_value, parse_number
from emafusion.answers.words import normal_form

MAX_LITERAL = 20_000
MAX_DEPTH = 40
_OPEN, _CLOSE = "([{⦃", ")]}⦄"
_CONNECTIVE = re.compile(r"\s*,?\s+(?:and|or|und|oder|et|ou|y|o)\s+", re.IGNORECASE)
_LEFT_SIDE = re.compile(
    r"^\s*(?:[a-zA-Z](?:_\{?\w+\}?)?|[a-zA-Z]\s*\([^()=]{0,20}\)|\([a-z](?:\s*,\s*[a-z])+\))\s*(?:=|∈|:)\s*"
)


def canonical(value: Any, *, loose: bool = False, depth: int = 0) -> Value:
    """Turn a Python or JSON value into a key. With `loose`, strings are compared without case and punctuation.

    >>> canonical({"b": 1.0, "a": [True, None]}) == canonical({"a": [True, None], "b": 1})
    True
    """
    if depth > MAX_DEPTH:
        return ("deep",)
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, (int, float, complex)):
        return number_value(value)
    if isinstance(value, str):
        return ("str", normal_form(value) or value.strip()) if loose else ("str", value)
    if isinstance(value, bytes):
        return ("bytes", value)
    if isinstance(value, Mapping):
        pairs = [(canonical(k), canonical(v, loose=loose, depth=depth + 1)) for k, v in value.items()]
        return ("map", tuple(sorted(pairs, key=repr)))
    if isinstance(value, (set, frozenset, list, tuple)):
        elements = tuple(canonical(v, loose=loose, depth=depth + 1) for v in value)
        if isinstance(value, (set, frozenset)):
            return ("seq", "{}", tuple(sorted(elements, key=repr)))
        return ("seq", "()" if isinstance(value, tuple) else "[]", elements)
    return ("str", str(value))


def evaluate_literal(text: str) -> tuple[bool, Any]:
    """Read a Python or JSON literal. Returns (found, value); nothing is executed."""
    if not text or len(text) > MAX_LITERAL:
        return False, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape such as "\d" is the model's affair
        try:
            return True, ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            pass
    if text in ("set()", "frozenset()"):
        return True, set()
    if text[0] in '[{"tfn':
        try:
            return True, json.loads(text, strict=False)
        except (ValueError, RecursionError):
            pass
    return False, None


def parse_literal(text: str) -> Value | None:
    """Read a code literal by value; a number or a bare word is not one here unless it is True, False or None.

    >>> parse_literal("[1,2]") == parse_literal("[1, 2]")
    True
    >>> parse_literal("1, 2") == parse_literal("(1, 2)")
    True
    """
    found, value = evaluate_literal(text.strip())
    return canonical(value) if found else None


def parse_structure(text: str) -> Value | None:
    """Read a mathematical answer: expression, equation, tuple, interval, set, union or list of solutions.

    >>> parse_structure(r"\\left(3, \\frac{1}{2}\\right)") == parse_structure("(3, 0.5)")
    True
    >>> parse_structure("x = 2 or x = -1") == parse_structure("-1 and 2")
    True
    """
    if not text or len(text) > 400:
        return None
    return _structure(clean_latex(text).strip(" .;"), depth=0)


def _structure(text: str, depth: int) -> Value | None:
    text = text.strip()
    if not text or depth > 4:
        return None
    if depth == 0:
        text = _LEFT_SIDE.sub("", text)
    if not text:
        return None
    if "±" in text:
        return _plus_minus(text, depth)
    unions = _split(text, "∪")
    if len(unions) > 1:
        parts = tuple(_structure(part, depth + 1) for part in unions)
        return None if None in parts else ("union", tuple(sorted(parts, key=repr)))
    connected = _CONNECTIVE.sub(" ⊔ ", text) if " " in text and depth == 0 else text
    unordered = "⊔" in connected
    parts_text = _split(connected.replace("⊔", ","), ",")
    if len(parts_text) > 1 and parse_number(text) is None:
        elements = [_element(_LEFT_SIDE.sub("", part), depth) for part in parts_text]
        if any(element is None for element in elements):
            return None
        kept = tuple(element for element in elements if element is not None)
        return ("seq", "or", tuple(sorted(kept, key=repr))) if unordered else ("seq", "", kept)
    if text[0] in _OPEN and text[-1] in _CLOSE and _wraps(text):
        inner = _split(text[1:-1], ",")
        brackets = (text[0] + text[-1]).replace("⦃", "{").replace("⦄", "}")
        if len(inner) > 1 or brackets in ("[]", "{}"):
            elements = [_element(part, depth) for part in inner if part.strip()]
            if any(element is None for element in elements):
                return None
            kept = tuple(element for element in elements if element is not None)
            return ("seq", brackets, tuple(sorted(kept, key=repr)) if brackets == "{}" else kept)
    sides = re.split(r"(?<![<>!=])=(?!=)", text)
    if len(sides) > 1 and depth == 0:
        equation = _equation(sides[0], sides[1]) if len(sides) == 2 else None
        return equation or _structure(sides[-1], depth + 1)
    return parse_expression(text)


def _element(text: str, depth: int) -> Value | None:
    text = text.strip()
    return parse_number(text) or _structure(text, depth + 1) or (("short", text.casefold()) if text.isalpha() else None)


def _plus_minus(text: str, depth: int) -> Value | None:
    if text.count("±") > 1 or len(_split(text, ",")) > 1:
        return None
    both = [_structure(text.replace("±", sign), depth + 1) for sign in "+-"]
    if both[0] is None or both[1] is None:
        return None
    return ("seq", "or", tuple(sorted((both[0], both[1]), key=repr)))


def _equation(left: str, right: str) -> Value | None:
    """An equation is its difference of sides, up to a factor."""
    key = parse_expression(f"({left.strip()})-({right.strip()})")
    if key is None or key[0] != "expr":
        return None
    values = [complex(*pair) for pair in key[2]]  # type: ignore[attr-defined]
    if abs(values[0]) < 1e-12:
        return ("eq", key[1], "always")
    ratio = values[1] / values[0]
    return ("eq", key[1], float(f"{ratio.real:.6g}"), float(f"{ratio.imag:.6g}") + 0.0)


def _split(text: str, separator: str) -> list[str]:
    """Split at the separators that stand outside all brackets; thousands separators are left alone."""
    if separator not in text:
        return [text]
    parts, depth, start = [], 0, 0
    for i, sign in enumerate(text):
        if sign in _OPEN:
            depth += 1
        elif sign in _CLOSE:
            depth -= 1
        elif sign == separator and depth == 0:
            if separator == "," and re.fullmatch(r",\d{3}(?!\d).{0}", text[i : i + 4]) and text[i - 1 : i].isdigit():
                continue
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return parts


def _wraps(text: str) -> bool:
    """Whether the first bracket is closed by the last one."""
    depth = 0
    for i, sign in enumerate(text):
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if depth == 0:
            return i == len(text) - 1
    return False
