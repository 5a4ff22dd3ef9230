"""What a text looks like, in a dozen numbers: length, digits, code, formulas, options, tools, scripts.

An average of token meanings loses form; these cheap signs keep it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SURFACE_FEATURES", "surface_features"]

_LONGEST = 8_000  # characters looked at, half from each end

_COUNTED: dict[str, re.Pattern[str]] = {
    "code": re.compile(
        r"```|\b(?:def|class|return|import|print|function|const|var|void|assert|elif|SELECT|fn)\b(?=[ (\n])"
        r"|[;{}][ \t]*\n|=="
    ),
    "calls": re.compile(r"\b\w+(?:\.\w+)*\((?=[^)\s])"),
    "formula": re.compile(r"\\(?:frac|sqrt|sum|int|begin|le|ge|cdot|log|sin|cos|[\[(])|\$[^$\n]+\$|\^\{?\w"),
    "numbers": re.compile(r"\d+(?:[.,]\d+)*"),
    "options": re.compile(r"(?:(?<=^)|(?<=[\s(]))\(?[A-Ja-jА-Г1-9](?:\)|[.:]\s)(?=\s*\S)", re.MULTILINE),
    "json_keys": re.compile(r'"[\w$.-]+"\s*:'),
    "tools": re.compile(
        r"\b(?:functions?|tools?|funktionen|werkzeuge|fonctions?|funci[oó]n(?:es)?|parameters)\b|函数|工具", re.I
    ),
    "question": re.compile(r"[?？؟]"),
    "quotes": re.compile(r"[\"“”„«»「」]"),
    "lines": re.compile(r"\n"),
    "separators": re.compile(r"[;|\t]|</?\w+>"),
    "commas": re.compile(r"[,，、]"),
}

SURFACE_FEATURES = (*_COUNTED, "length", "digit_share", "non_latin_share", "symbol_share")


def surface_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return shape (n, len(SURFACE_FEATURES)): log counts, log length (about 0..1), and shares of characters."""
    rows = np.empty((len(texts), len(SURFACE_FEATURES)), dtype=np.float32)
    for row, full in zip(rows, texts):
        text = full if len(full) <= _LONGEST else full[: _LONGEST // 2] + full[-_LONGEST // 2 :]
        counts = [len(pattern.findall(text)) for pattern in _COUNTED.values()]
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
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    if not len(points):
        return 0.0, 0.0, 0.0
    counts = np.bincount(_KIND[np.minimum(points, _FIRST_NON_LATIN)], minlength=4) / len(points)
    return float(counts[_DIGIT]), float(counts[_NON_LATIN]), float(counts[_SYMBOL])
