"""Surface features of a query: what its text looks like, without knowing what it says.

Length, digits, code marks, mathematics, answer choices, schemas, scripts of writing, question words. They are cheap
(about 0.1 ms for a prompt of 600 characters), need numpy only, and carry much of what can be known about difficulty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

# A very long prompt is read at both ends: instructions and questions live there, documents in the middle.
MAX_CHARS: Final = 12_000

_CLASSES: Final = ("space", "newline", "digit", "lower", "upper", "bracket", "quote", "operator", "stop", "symbol")
_CLASS_CHARACTERS: Final = {
    "space": " \t\r",
    "newline": "\n",
    "digit": "0123456789",
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "bracket": "()[]{}",
    "quote": "\"'`",
    "operator": "+-*/=<>^%|&~",
    "stop": ".,;:!?",
}

# Each is counted, then log1p: the first mark of a kind tells more than the tenth.
_SUBSTRINGS: Final = (
    "?",
    "$",
    "\\",
    "^",
    "==",
    "```",
    "__",
    "{",
    "[",
    "(",
    "%",
    "/",
    "<",
    '"type"',
    '"name"',
    '"array"',
    '"description"',
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
    "function",
    "\\frac",
    "\\sqrt",
    "\n\n",
    " and ",
    " or ",
    " not ",
    " each ",
    " the ",
)
_WORDS: Final = (
    "what|which|who|whose|where|when|why|how|many|much|find|compute|calculate|solve|prove|explain|describe|compare|"
    "write|implement|translate|summarize|summarise|list|true|false|except|least|most|probability|percent|between|total|"
    "sum|integer|real|angle|triangle|area|string|code|answer|best|following|assume|suppose|because|would|should"
).split("|")
_WORD_INDEX: Final = {word: i for i, word in enumerate(_WORDS)}
_WORD: Final = re.compile(r"[a-z]+")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_CHOICE: Final = re.compile(r"(?:^|[\n ])\(?[A-J][.):] ")

_NAMES: Final = (
    "log_chars",
    "log_words",
    "log_lines",
    "mean_word_length",
    "long_word_share",
    "distinct_word_share",
    "log_longest_line",
    "log_numbers",
    "log_largest_number",
    "longest_number",
    "decimals",
    "log_number_sum_of_digits",
    "choices",
    "deepest_bracket",
    "deepest_indent",
    "non_ascii_share",
    "latin_extended_share",
    "greek_cyrillic_share",
    "cjk_share",
    "other_script_share",
)


def feature_names() -> tuple[str, ...]:
    """Name the columns of :func:`text_features`, in order."""
    shares = tuple(f"share_{name}" for name in _CLASSES)
    counts = tuple(f"count_{text.strip()!r}" for text in _SUBSTRINGS)
    words = tuple(f"word_{word}" for word in _WORDS)
    return _NAMES + shares + counts + words


def _class_table() -> NDArray[np.uint8]:
    table = np.full(256, _CLASSES.index("symbol"), dtype=np.uint8)
    for name, characters in _CLASS_CHARACTERS.items():
        table[list(characters.encode())] = _CLASSES.index(name)
    table[128:] = _CLASSES.index("lower")
    return table


_TABLE: Final = _class_table()
_DEPTH: Final = np.zeros(256, dtype=np.int32)
_DEPTH[list(b"([{")] = 1
_DEPTH[list(b")]}")] = -1


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
    rows = np.zeros((len(texts), len(_NAMES) + len(_CLASSES) + len(_SUBSTRINGS) + len(_WORDS)), dtype=np.float32)
    for i, text in enumerate(texts):
        _measure(clip_text(text), rows[i])
    return rows


def _measure(text: str, row: NDArray[np.float32]) -> None:
    encoded = np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8)
    if not len(encoded):
        return
    classes = np.bincount(_TABLE[encoded], minlength=len(_CLASSES)) / len(encoded)
    lines = text.split("\n")
    words = _WORD.findall(text.lower())
    numbers = _NUMBER.findall(text)
    n_words = max(len(words), 1)
    largest, digits, decimals, longest = _number_statistics(numbers)
    depth = int(np.cumsum(_DEPTH[encoded]).max())
    non_ascii = _script_shares(text)
    at = len(_NAMES)
    row[:at] = (
        np.log1p(len(text)),
        np.log1p(len(words)),
        np.log1p(len(lines)),
        sum(map(len, words)) / n_words,
        sum(len(word) > 8 for word in words) / n_words,
        len(set(words)) / n_words,
        np.log1p(max(map(len, lines))),
        np.log1p(len(numbers)),
        largest,
        longest,
        decimals,
        digits,
        min(len(_CHOICE.findall(text)), 12),
        np.log1p(max(depth, 0)),
        np.log1p(max(len(line) - len(line.lstrip()) for line in lines)),
        *non_ascii,
    )
    row[at : at + len(_CLASSES)] = classes
    at += len(_CLASSES)
    row[at : at + len(_SUBSTRINGS)] = [text.count(mark) for mark in _SUBSTRINGS]
    np.log1p(row[at : at + len(_SUBSTRINGS)], out=row[at : at + len(_SUBSTRINGS)])
    at += len(_SUBSTRINGS)
    for word in words:
        if word in _WORD_INDEX:
            row[at + _WORD_INDEX[word]] += 1.0
    np.log1p(row[at:], out=row[at:])


def _number_statistics(numbers: list[str]) -> tuple[float, float, float, float]:
    """Return log of the largest number, of the count of digits, of the decimals, and the longest number's length."""
    if not numbers:
        return 0.0, 0.0, 0.0, 0.0
    longest = max(map(len, numbers))
    # The integer part, at most 15 digits: enough to tell 7 from 7,000 without ever overflowing.
    largest = max(int(re.split(r"[.,]", number, maxsplit=1)[0][:15]) for number in numbers)
    decimals = sum("." in number for number in numbers)
    digits = sum(map(len, numbers))
    return float(np.log1p(largest)), float(np.log1p(digits)), float(np.log1p(decimals)), float(min(longest, 30))


def _script_shares(text: str) -> tuple[float, float, float, float, float]:
    if text.isascii():
        return 0.0, 0.0, 0.0, 0.0, 0.0
    points = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
    foreign = points[points > 127]
    latin = float((foreign < 0x250).sum())
    greek_cyrillic = float(((foreign >= 0x370) & (foreign < 0x530)).sum())
    cjk = float(((foreign >= 0x2E80) & (foreign < 0xD7B0)).sum())
    n = len(points)
    other = len(foreign) - latin - greek_cyrillic - cjk
    return len(foreign) / n, latin / n, greek_cyrillic / n, cjk / n, other / n
