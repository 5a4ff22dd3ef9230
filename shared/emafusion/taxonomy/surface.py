"""What a text looks like, in a dozen numbers: length, digits, code, formulas, options, tools, scripts.

An average of token meanings loses form; these cheap signs keep it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SURFACE_FEATURES", "surface_features"]

_LONGEST = 8_000  # characters looked at, half from each end

_KEYWORDS = (
    "def", "class", "return", "import", "print", "function", "const", "var", "void", "assert", "elif", "SELECT", "fn",
)  # fmt: skip
_KEYWORD = re.compile(rf"\b(?:{'|'.join(_KEYWORDS)})\b(?=[ (\n])")
_LINE_OF_CODE = re.compile(r"[;{}][ \t]*\n")
_CALL = re.compile(r"\((?<=\w\()(?=[^)\s])")
_FORMULA = re.compile(r"\\(?:frac|sqrt|sum|int|begin|le|ge|cdot|log|sin|cos|[\[(])|\$[^$\n]+\$|\^\{?\w")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_OPTION = re.compile(r"[A-Ja-jА-Г1-9](?<![^\s(].)(?:\)|[.:]\s)(?=\s*\S)", re.DOTALL)
_JSON_KEY = re.compile(r'"[\w$.-]+"\s*:')
_TOOL = re.compile(
    r"\b(?:functions?|tools?|funktionen|werkzeuge|fonctions?|funci[oó]n(?:es)?|parameters)\b|函数|工具", re.IGNORECASE
)
_TOOL_STEMS = ("function", "tool", "funktionen", "werkzeuge", "fonction", "funcion", "parameters")
_TAG = re.compile(r"</?\w+>")


# Counts look for a sign that every match holds before a pattern walks over the text: most texts lack most signs.


def _code(text: str) -> int:
    found = text.count("```") + text.count("==")
    if "\n" in text:
        found += len(_LINE_OF_CODE.findall(text))
    return found + len(_KEYWORD.findall(text)) if any(word in text for word in _KEYWORDS) else found


def _formulas(text: str) -> int:
    return len(_FORMULA.findall(text)) if "\\" in text or "$" in text or "^" in text else 0


def _json_keys(text: str) -> int:
    return len(_JSON_KEY.findall(text)) if '"' in text else 0


def _tools(text: str) -> int:
    if text.isascii():
        lowered = text.lower()
        if not any(stem in lowered for stem in _TOOL_STEMS):
            return 0
    return len(_TOOL.findall(text))


def _separators(text: str) -> int:
    return _any_of(text, ";|\t", "") + (len(_TAG.findall(text)) if "<" in text else 0)


def _any_of(text: str, ascii_signs: str, other_signs: str) -> int:
    signs = ascii_signs if text.isascii() else ascii_signs + other_signs
    return sum([text.count(sign) for sign in signs])


_COUNTED: dict[str, Callable[[str], int]] = {
    "code": _code,
    "calls": lambda text: len(_CALL.findall(text)),
    "formula": _formulas,
    "numbers": lambda text: len(_NUMBER.findall(text)),
    "options": lambda text: len(_OPTION.findall(text)),
    "json_keys": _json_keys,
    "tools": _tools,
    "question": lambda text: _any_of(text, "?", "？؟"),
    "quotes": lambda text: _any_of(text, '"', "“”„«»「」"),
    "lines": lambda text: text.count("\n"),
    "separators": _separators,
    "commas": lambda text: _any_of(text, ",", "，、"),
}

SURFACE_FEATURES = (*_COUNTED, "length", "digit_share", "non_latin_share", "symbol_share")


def surface_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return shape (n, len(SURFACE_FEATURES)): log counts, log length (about 0..1), and shares of characters."""
    rows = np.empty((len(texts), len(SURFACE_FEATURES)), dtype=np.float32)
    for row, full in zip(rows, texts):
        text = full if len(full) <= _LONGEST else full[: _LONGEST // 2] + full[-_LONGEST // 2 :]
        counts = [count(text) for count in _COUNTED.values()]
        row[: len(counts)] = np.log1p(counts) / 3.0
        row[len(counts) :] = (np.log1p(len(full)) / 8.0, *_shares(text))
    return rows


_OTHER, _DIGIT, _SYMBOL, _NON_LATIN = range(4)
_FIRST_NON_LATIN = 0x370
_SYMBOLS = "!\"#$%&'()*+,-./:;<=>?@`{|}~"


def _kinds() -> NDArray[np.intp]:
    kinds = np.full(_FIRST_NON_LATIN + 1, _OTHER, dtype=np.intp)
    kinds[[*map(ord, "0123456789")]] = _DIGIT
    kinds[[*map(ord, _SYMBOLS)]] = _SYMBOL
    kinds[_FIRST_NON_LATIN] = _NON_LATIN
    return kinds


_KIND = _kinds()


def _shares(text: str) -> tuple[float, float, float]:
    if text.isascii():
        points = _KIND.take(np.frombuffer(text.encode(), dtype=np.uint8))
    else:
        wide = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        points = _KIND.take(np.minimum(wide, _FIRST_NON_LATIN))
    if not len(points):
        return 0.0, 0.0, 0.0
    counts = np.bincount(points, minlength=4).tolist()
    n = len(points)
    return counts[_DIGIT] / n, counts[_NON_LATIN] / n, counts[_SYMBOL] / n
