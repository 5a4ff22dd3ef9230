"""Looks of a text: counts that peek before they search must find what a search of the whole text finds."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emafusion.taxonomy.surface import SURFACE_FEATURES, surface_features

PATTERNS = {
    "code": r"```|\b(?:def|class|return|import|print|function|const|var|void|assert|elif|SELECT|fn)\b(?=[ (\n])"
    r"|[;{}][ \t]*\n|==",
    "calls": r"\b\w+(?:\.\w+)*\((?=[^)\s])",
    "formula": r"\\(?:frac|sqrt|sum|int|begin|le|ge|cdot|log|sin|cos|[\[(])|\$[^$\n]+\$|\^\{?\w",
    "numbers": r"\d+(?:[.,]\d+)*",
    "options": r"(?m:(?:(?<=^)|(?<=[\s(]))\(?[A-Ja-jА-Г1-9](?:\)|[.:]\s)(?=\s*\S))",
    "json_keys": r'"[\w$.-]+"\s*:',
    "tools": r"(?i:\b(?:functions?|tools?|funktionen|werkzeuge|fonctions?|funci[oó]n(?:es)?|parameters)\b|函数|工具)",
    "question": r"[?？؟]",
    "quotes": r"[\"“”„«»「」]",
    "lines": r"\n",
    "separators": r"[;|\t]|</?\w+>",
    "commas": r"[,，、]",
}
PIECES = [
    *'abcAГ1 9().:;,?\n\t<>/{}"“？$^\\=`_，、ſ函',
    "def ",
    "class(",
    "Tool",
    "funci",
    "ón ",
    "(b) ",
    "\\frac",
    "==",
    '"k":',
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_counts_are_those_of_plain_patterns(text: str) -> None:
    found = surface_features([text])[0, : len(PATTERNS)]
    wanted = np.log1p([len(re.findall(pattern, text)) for pattern in PATTERNS.values()]) / 3.0
    assert SURFACE_FEATURES[: len(PATTERNS)] == tuple(PATTERNS)
    np.testing.assert_allclose(found, wanted.astype(np.float32))
