"""Numbers as people write them: separators, currency, percent, fractions, units, scale words, number words."""

from __future__ import annotations

import math
import re

from emafusion.answers.final import Value

_SIGNS = str.maketrans(
    {"−": "-", "–": "-", "‒": "-", "－": "-", "＋": "+", "⁄": "/", "，": ",", "％": "%", "\u2009": " "}
)
_FRACTIONS = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅙": "1/6",
    "⅛": "1/8",
    "⅜": "3/8",
}
_FRACTION_SIGN = re.compile("[" + "".join(_FRACTIONS) + "]")

_DIGITS = r"(?:\d{1,3}(?:[,.'’ \u00a0\u202f]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?|\.\d+)"
_CURRENCY = r"(?:US\$|A\$|C\$|USD|EUR|GBP|CHF|INR|Rs\.?|[$€£¥₹₩₽])"
_PREFIX = (
    r"(?:(?:about|approximately|approx\.?|around|roughly|exactly|nearly|almost|only|just|a\s+total\s+of|total\s+of|"
    r"circa|ca\.|etwa|rund|environ|aproximadamente|约|[≈~=])\s*)*"
)
_SCALES = {"thousand": 1e3, "k": 1e3, "million": 1e6, "mio": 1e6, "millionen": 1e6, "billion": 1e9, "bn": 1e9}
_SCALES |= {"trillion": 1e12, "hundred": 1e2, "dozen": 12.0, "lakh": 1e5, "crore": 1e7, "万": 1e4, "亿": 1e8}
_PERCENT = r"(?:\\?%|percent(?:age\s+points?)?|per\s+cent|prozent|por\s+ciento|pour\s+cent)"
_UNIT = r"(?:[^\W\d_]|[°/²³·.'’\-()^]|\s|(?<=\^)\d)*"
_QUANTITY = re.compile(
    rf"{_PREFIX}(?P<sign>[-+]?)\s*{_CURRENCY}?\s*(?P<sign2>[-+]?)(?P<digits>{_DIGITS})"
    rf"(?:[eE](?P<exp>[-+]?\d{{1,3}})|\s*(?:[x×*]|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*[{{(]?(?P<pow>[-+]?\d{{1,3}})[}})]?)?"
    rf"(?:\s*/\s*(?P<den>\d+)|\s+(?P<num2>\d+)\s*/\s*(?P<den2>\d+))?"
    rf"(?:_\{{?\d+\}}?)?"
    rf"(?:\s*(?P<pct>{_PERCENT})(?![^\W\d_])|\s*(?P<scale>[a-z万亿]+)(?![^\W_]))?"
    rf"(?!\s*(?:is|are|was|were|has|have|and|or|but|if|not|than|because)\b)(?P<unit>\s*{_CURRENCY}?{_UNIT})\.?",
    re.IGNORECASE,
)
NUMBER_IN_TEXT = re.compile(
    rf"(?<![\w.\-+])[-+−]?{_CURRENCY}?[-+−]?(?<![\d.,]){_DIGITS}(?:/\d+)?(?:\s?%|\s(?:million|billion|thousand)\b)?"
)
_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
]
_WORDS += ["seventeen", "eighteen", "nineteen", "twenty"]
_WORD_VALUES = {word: i for i, word in enumerate(_WORDS)} | {"none": 0, "thirty": 30, "forty": 40, "fifty": 50}
_WORD_VALUES |= {"sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "a hundred": 100, "one hundred": 100}


def number_value(value: float | int | complex) -> Value:
    """Return the canonical key of a number: integers stay exact, floats that are whole become integers."""
    if isinstance(value, complex):
        if abs(value.imag) > 1e-9 * max(1.0, abs(value.real)):
            return ("complex", value.real, value.imag)
        value = value.real
    if isinstance(value, int):
        return ("num", int(value))
    if math.isnan(value):
        return ("short", "nan")
    if math.isinf(value):
        return ("num", value)
    nearest = round(value)
    whole = abs(value) < 1e15 and abs(value - nearest) <= 1e-9 * max(1.0, abs(value))
    return ("num", nearest if whole else value)


def parse_number(text: str, *, decimal_comma: bool = False) -> Value | None:
    """Read a text that is one number, with or without currency, percent sign, scale or unit.

    Returns ``("num", value)``, ``("pct", value)``, or None when the text is not one number.

    >>> parse_number("$1,234.50")
    ('num', 1234.5)
    >>> parse_number("3 1/2 cups")
    ('num', 3.5)
    >>> parse_number("25%")
    ('pct', 25)
    """
    if not text or len(text) > 120:
        return None
    text = text.translate(_SIGNS).strip().rstrip(".;, ")
    if _FRACTION_SIGN.search(text):
        text = _FRACTION_SIGN.sub(lambda m: " " + _FRACTIONS[m[0]], text).strip()
    found = _QUANTITY.fullmatch(text)
    if found is None:
        word = _WORD_VALUES.get(text.casefold())
        return None if word is None else ("num", word)
    if len(found["unit"].split()) > 5:
        return None
    value: float | int = _digits(found["digits"], decimal_comma)
    power = found["exp"] or found["pow"]
    if power:
        if abs(int(power)) > 300:
            return None
        value = value * 10.0 ** int(power)
    denominator = int(found["den"] or found["den2"] or 1)
    if denominator == 0:
        return None
    value = value / denominator if found["den"] else value
    if found["den2"]:
        value = value + int(found["num2"]) / denominator
    scale = (found["scale"] or "").casefold()
    value = value * _SCALES.get(scale, 1)
    if "-" in (found["sign"], found["sign2"]):
        value = -value
    _, exact = number_value(value)
    return ("pct", exact) if found["pct"] else ("num", exact)


def _digits(text: str, decimal_comma: bool) -> float | int:
    """Decide which of comma, point, apostrophe and space separates thousands, and read the value."""
    text = re.sub(r"['’ \u00a0\u202f]", "", text)
    commas, points = text.count(","), text.count(".")
    if commas and points:
        decimal = "," if text.rfind(",") > text.rfind(".") else "."
        text = text.replace("." if decimal == "," else ",", "").replace(decimal, ".")
    elif commas:
        grouped = re.fullmatch(r"[1-9]\d{0,2}(?:,\d{3})+", text) is not None
        if grouped and not (decimal_comma and commas == 1):
            text = text.replace(",", "")
        else:
            text = text.replace(",", ".")
    elif points > 1 or (decimal_comma and re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", text)):
        text = text.replace(".", "")
    if len(text) > 400:
        return math.inf
    return int(text) if text.isdigit() else float(text)
