"""The arguments of function calls: canonical values, and when two of them mean the same."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from emafusion.answers.callsyntax import WORDS, read_literal
from emafusion.answers.final import Value
from emafusion.answers.numbers import parse_number
from emafusion.answers.words import parse_date

MAX_DEPTH = 40
_SPACES = re.compile(r"\s+")
_PRODUCT = re.compile(r"(?<=[0-9)])\*(?=[a-z(])|(?<=[a-z])\*(?=\()")
_FILLERS = re.compile(r"[\s,_'\"`\\-]+|\.(?!\d)|(?<![\d)])/|/(?!\d)")
_LAMBDA = re.compile(r"^lambda\s+\w+(?:\s*,\s*\w+)*\s*:\s*|^\w\s*=\s*(?=.*[\w)])|^f\(\w\)\s*=\s*")


_UNIT_SPELLINGS = (
    "km kilometer kilometers kilometre kilometres|m meter meters metre metres|cm centimeter centimeters centimetres|"
    "mm millimeter millimeters|mi mile miles|ft foot feet|in inch inches|yd yard yards|kg kilogram kilograms|"
    "g gram grams|lb lbs pound pounds|oz ounce ounces|l liter liters litre litres|ml milliliter milliliters|"
    "s sec secs second seconds|min mins minute minutes|h hr hrs hour hours|c celsius|f fahrenheit|k kelvin|"
    "usd dollar dollars|eur euro euros|% percent"
)
_UNITS = {spelling: group.split()[0] for group in _UNIT_SPELLINGS.split("|") for spelling in group.split()}


def argument_value(value: Any, depth: int = 0) -> Value:
    """Return the key of one argument; numbers to 6 significant digits, a list of one like its element."""
    if depth > MAX_DEPTH:
        return ("deep",)
    if value is None:
        return ("null",)
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, (int, float)):
        rounded = float(f"{value:.6g}") if abs(value) < 1e300 else float(str(value)[:1] + "e300")
        return ("num", int(rounded) if rounded == int(rounded) else rounded) if rounded == rounded else ("word", "nan")
    if isinstance(value, Mapping):
        return ("map", tuple(sorted(((str(k), argument_value(v, depth + 1)) for k, v in value.items()), key=repr)))
    if isinstance(value, (list, tuple, set)):
        elements = tuple(argument_value(v, depth + 1) for v in value)
        if len(elements) == 1:
            return elements[0]
        if elements and all(element[0] == "word" for element in elements):  # names come in any order
            elements = tuple(sorted(elements, key=repr))
        return ("seq", elements)
    return _string_value(str(value), depth)


def _string_value(text: str, depth: int) -> Value:
    text = text.strip()
    if text[:1] in ("{", "[") and text[-1:] in ("}", "]") and len(text) < 5000:
        found, value = read_literal(text)
        if found:
            return argument_value(value, depth + 1)
    word = text.casefold()
    if word in WORDS:
        return argument_value(WORDS[word])
    if len(text) <= 40:
        number = parse_number(text) if text[:1].isdigit() or text[:1] in "-.+$" else None
        if number is not None and number[0] == "num" and not text[-1:].isalpha():
            return argument_value(number[1])
        day = parse_date(text)
        if day is not None:
            return day
    if word in _UNITS:
        return ("word", _UNITS[word])
    if len(word) <= 200:
        word = _LAMBDA.sub("", word) if any(sign in word for sign in "+*^=:") else word
        word = _PRODUCT.sub("", _SPACES.sub("", word.replace("**", "^"))) if re.search(r"[*^+]", word) else word
    parts = word.split(",", 1)
    head = _FILLERS.sub("", parts[0])
    return ("word", head or word, _FILLERS.sub("", parts[1])) if len(parts) > 1 else ("word", head or word)


def is_empty(value: Value) -> bool:
    """Whether an argument says nothing: null, an empty string, list or mapping."""
    return value in (("null",), ("word", ""), ("seq", ()), ("map", ()))


def same_argument(a: Any, b: Any) -> bool:
    """Whether two argument keys mean the same; a place may carry its region ("Paris", "Paris, France")."""
    if a == b:
        return True
    if a[0] != b[0]:
        return False
    if a[0] == "num":
        return math.isclose(a[1], b[1], rel_tol=1e-6, abs_tol=1e-12)
    if a[0] == "word":
        return bool(a[1] == b[1]) and 2 in (len(a), len(b))
    if a[0] == "seq":
        return len(a[1]) == len(b[1]) and all(same_argument(x, y) for x, y in zip(a[1], b[1]))
    if a[0] == "map":
        left, right = dict(a[1]), dict(b[1])
        return left.keys() == right.keys() and all(same_argument(left[k], right[k]) for k in left)
    return False
