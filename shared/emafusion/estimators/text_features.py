"""Surface features of a query: what its text looks like, without knowing what it says.

Length, digits, code marks, mathematics, answer choices, schemas, scripts of writing, question words. They are cheap
(well below 0.1 ms for a prompt of 600 characters), need numpy only, and carry much of what can be known of difficulty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

# A very long prompt is read at both ends: instructions and questions live there, documents in the middle.
MAX_CHARS: Final = 12_000

_MARKS: Final = "?!.,:;'\"`$\\^%=+-*/<>|&_#@()[]{}"
_SHARES: Final = {
    "space": " \t\r",
    "newline": "\n",
    "digit": "0123456789",
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "bracket": "()[]{}",
    "operator": "+-*/=<>^%|&~",
}
_PHRASES: Final = (
    "```",
    "==",
    '"type"',
    '"name"',
    "return",
    "def ",
    "class ",
    "import ",
    "for ",
    "while ",
    "lambda",
    " if ",
    " else",
    "http",
    "SELECT",
    "\\frac",
    "\\sqrt",
    "\n\n",
)
_WORD_LIST: Final = (
    "what|which|who|whose|where|when|why|how|many|much|find|compute|calculate|solve|prove|explain|describe|compare|"
    "write|implement|translate|summarize|summarise|list|true|false|except|least|most|probability|percent|between|total|"
    "sum|integer|real|angle|triangle|area|string|code|answer|best|following|assume|suppose|because|would|should|"
    "and|or|not|each|the"
)
_WORDS: Final = tuple(_WORD_LIST.split("|"))
_COUNTS: Final = (
    "chars",
    "words",
    "lines",
    "longest_line",
    "numbers",
    "digits_in_numbers",
    "decimals",
    "largest_number",
    "longest_number",
    "choices",
    "deepest_bracket",
    "deepest_indent",
)
_PLAIN: Final = (
    "mean_word_length",
    "long_word_share",
    "distinct_word_share",
    "non_ascii_share",
    "latin_extended_share",
    "greek_cyrillic_share",
    "cjk_share",
    "other_script_share",
)
_WORD_INDEX: Final = {word: i for i, word in enumerate(_WORDS)}
_WORD: Final = re.compile(r"[a-z]+")
_DIGITS: Final = re.compile(r"\d+")
_DECIMAL: Final = re.compile(r"\d\.\d")
_CHOICE: Final = re.compile(r"[A-J](?<![A-Za-z][A-J])[.):]\s")
_INDENT: Final = re.compile(r"^[ \t]+", re.MULTILINE)
_LONG: Final = 8  # letters
_HUGE: Final = 1e15  # numbers beyond this are equally large


def feature_names() -> tuple[str, ...]:
    """Name the columns of :func:`text_features`, in order: first those on a logarithmic scale, then the shares."""
    words = tuple(f"word {word}" for word in _WORDS)
    marks = tuple(f"mark {mark}" for mark in _MARKS)
    phrases = tuple(f"phrase {phrase!r}" for phrase in _PHRASES)
    return _COUNTS + words + marks + phrases + _PLAIN + tuple(f"share of {name}" for name in _SHARES)


_LOGGED: Final = len(_COUNTS) + len(_WORDS) + len(_MARKS) + len(_PHRASES)
_WIDTH: Final = len(feature_names())
_MARK_BYTES: Final = np.frombuffer(_MARKS.encode(), dtype=np.uint8).astype(np.intp)
_SHARE_OF: Final = np.array([[chr(byte) in kept for kept in _SHARES.values()] for byte in range(256)], dtype=np.float64)
_DEPTH: Final = np.zeros(256, dtype=np.int32)
_DEPTH[list(b"([{")] = 1
_DEPTH[list(b")]}")] = -1
_OPENING: Final = list(b"([{")


def clip_text(text: str, limit: int = MAX_CHARS) -> str:
    """Keep the beginning and the end of a text longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    return text[: limit // 2] + "\n" + text[-(limit // 2) :]


def text_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """Measure the surface of each text.

    Parameters
    ----------
    texts : sequence of str
        The queries.

    Returns
    -------
    ndarray of shape (n, len(feature_names())), float32
        Counts on a logarithmic scale, shares in [0, 1]; always finite.

    Examples
    --------
    >>> text_features(["How many primes are below 100?"]).shape == (1, len(feature_names()))
    True
    """
    rows = np.zeros((len(texts), _WIDTH), dtype=np.float32)
    for text, row in zip(texts, rows):
        if text:
            _measure(clip_text(text), row)
    np.log1p(rows[:, :_LOGGED], out=rows[:, :_LOGGED])
    return rows


def _measure(text: str, row: NDArray[np.float32]) -> None:
    encoded = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    bytes_ = np.bincount(encoded, minlength=256)
    lines = text.split("\n")
    words = _WORD.findall(text.lower())
    # Every kind of measure has its place in the row; `at` walks along them.
    row[: len(_COUNTS)] = (
        len(text),
        len(words),
        len(lines),
        max(map(len, lines)),
        *_numbers(text),
        min(len(_CHOICE.findall(text)), 12),
        max(int(_DEPTH.take(encoded).cumsum().max()), 0) if bytes_[_OPENING].any() else 0,
        max(map(len, _INDENT.findall(text)), default=0) if " " in text or "\t" in text else 0,
    )
    at = len(_COUNTS)
    for word in words:
        if word in _WORD_INDEX:
            row[at + _WORD_INDEX[word]] += 1.0
    at += len(_WORDS)
    row[at : at + len(_MARKS)] = bytes_[_MARK_BYTES]
    at += len(_MARKS)
    row[at : at + len(_PHRASES)] = [text.count(phrase) for phrase in _PHRASES]
    at += len(_PHRASES)
    count = max(len(words), 1)
    long = sum([len(word) > _LONG for word in words])
    row[at : at + 3] = (len("".join(words)) / count, long / count, len(set(words)) / count)
    if not text.isascii():
        row[at + 3 : at + len(_PLAIN)] = _script_shares(text)
    row[at + len(_PLAIN) :] = bytes_.astype(np.float64) @ _SHARE_OF / len(encoded)


def _numbers(text: str) -> tuple[float, float, float, float, float]:
    """Count numbers, their digits and decimal points; return also the largest and the longest."""
    runs = _DIGITS.findall(text)
    if not runs:
        return 0.0, 0.0, 0.0, 0.0, 0.0
    largest = min(max(map(float, runs)), _HUGE)
    return len(runs), len("".join(runs)), len(_DECIMAL.findall(text)), largest, min(max(map(len, runs)), 30)


def _script_shares(text: str) -> tuple[float, float, float, float, float]:
    points = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    foreign = points[points > 127]
    latin = float((foreign < 0x250).sum())
    greek_cyrillic = float(((foreign >= 0x370) & (foreign < 0x530)).sum())
    cjk = float(((foreign >= 0x2E80) & (foreign < 0xD7B0)).sum())
    n = len(points)
    other = len(foreign) - latin - greek_cyrillic - cjk
    return len(foreign) / n, latin / n, greek_cyrillic / n, cjk / n, other / n
