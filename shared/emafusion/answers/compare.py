"""Whether two answers are the same, and which answers of a set go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.answers.calls import same_calls
from emafusion.answers.final import FinalAnswer, Value
from emafusion.answers.literals import parse_literal
from emafusion.answers.words import normal_form

TOLERANCE = 1e-6
TEXT_OVERLAP = 0.75
_NUMERIC = ("num", "pct", "complex")


def same_answer(a: FinalAnswer, b: FinalAnswer) -> bool:
    """Whether two answers are equivalent, across kinds: "42", 42 and "42 dollars" are one answer.

    Symmetric, and reflexive; two answers of kind "none" count as the same only if they are equal.

    >>> from emafusion.answers.extract import extract_answer
    >>> same_answer(extract_answer("Answer: 1/2"), extract_answer(r"\\boxed{0.5}"))
    True
    """
    return a.value == b.value or _same(a.value, b.value, whole=True)


def cluster_answers(
    answers: Sequence[FinalAnswer], embeddings: NDArray[np.floating[Any]] | None = None, threshold: float = 0.9
) -> list[int]:
    """Group the answers of one query.

    Parameters
    ----------
    answers : sequence of FinalAnswer
        One for each candidate.
    embeddings : ndarray of shape (n_answers, dim), optional
        Sentence embeddings of the responses; free texts then go together by cosine, otherwise by shared words.
    threshold : float
        Least cosine for two free texts to go together.

    Returns
    -------
    list of int
        A cluster for each answer, numbered in the order first seen; an answer joins the first cluster whose first
        member it equals. Answers of kind "none" agree with nothing: each gets -1.
    """
    if embeddings is not None and len(embeddings) != len(answers):
        raise ValueError(f"embeddings: expected {len(answers)} rows, one for each answer, got {len(embeddings)}")
    units = None
    if embeddings is not None and any(answer.kind == "text" for answer in answers):
        rows = np.asarray(embeddings, dtype=float)
        units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    labels: list[int] = []
    firsts: list[int] = []
    for i, answer in enumerate(answers):
        if answer.kind == "none":
            labels.append(-1)
            continue
        for label, first in enumerate(firsts):
            leader = answers[first]
            if same_answer(leader, answer) or (
                units is not None
                and answer.kind == leader.kind == "text"
                and float(units[first] @ units[i]) >= threshold
            ):
                labels.append(label)
                break
        else:
            labels.append(len(firsts))
            firsts.append(i)
    return labels


def _same(a: Any, b: Any, *, whole: bool = False) -> bool:
    """`whole` says that these are the answers themselves, not parts of them: then lost quotes are forgiven."""
    if a == b:
        return True
    if not (isinstance(a, tuple) and isinstance(b, tuple) and a and b):
        return False
    left, right = a[0], b[0]
    if left in _NUMERIC and right in _NUMERIC:
        return _same_number(a, b)
    if left == right == "seq":
        return _same_sequence(a, b)
    if left == right and left in ("expr", "union", "map", "eq"):
        return len(a) == len(b) and all(_same_part(x, y) for x, y in zip(a[1:], b[1:]))
    if left == right == "calls":
        return same_calls(a, b)
    if left == right == "text":
        return _overlap(a[1], b[1]) >= TEXT_OVERLAP
    if {left, right} == {"str", "short"}:
        return normal_form(a[1]) == normal_form(b[1])
    if whole and "str" in (left, right) and left != right:  # quotes get lost on the way: '[4]' and [4], '7' and 7
        text, other = (a[1], b) if left == "str" else (b[1], a)
        return other[0] in ("num", "bool", "seq", "map", "null") and parse_literal(text) == other
    if "seq" in (left, right):  # a list of one and its element
        sequence, other = (a, b) if left == "seq" else (b, a)
        return (
            sequence[1] != "" and len(sequence[2]) == 1 and sequence[1] in ("{}", "()") and _same(sequence[2][0], other)
        )
    return False


def _same_part(x: Any, y: Any) -> bool:
    if isinstance(x, float) or isinstance(y, float):
        return isinstance(x, (int, float)) and isinstance(y, (int, float)) and _close(x, y)
    if isinstance(x, tuple) and isinstance(y, tuple):
        if x and isinstance(x[0], str) and y and isinstance(y[0], str):
            return _same(x, y)
        return len(x) == len(y) and all(_same_part(p, q) for p, q in zip(x, y))
    return bool(x == y)


def _close(x: float, y: float) -> bool:
    return x == y or math.isclose(x, y, rel_tol=TOLERANCE, abs_tol=1e-12)


def _same_number(a: Value, b: Value) -> bool:
    if "complex" in (a[0], b[0]):
        return a[0] == b[0] and _same_part(a[1:], b[1:])
    x, y = a[1], b[1]
    if not isinstance(x, (int, float)) or not isinstance(y, (int, float)):
        return False
    if a[0] != b[0]:  # 50 %, 0.5 and a bare 50 are taken for one answer
        share, plain = (x, y) if a[0] == "pct" else (y, x)
        return _close(share, plain) or _close(share / 100, plain)
    if isinstance(x, int) and isinstance(y, int):
        return x == y
    return _close(x, y)


def _same_sequence(a: Value, b: Value) -> bool:
    first, second = a[2], b[2]
    if not isinstance(first, tuple) or not isinstance(second, tuple) or len(first) != len(second):
        return False
    if a[1] != b[1]:
        loose = {"", "or"}
        if a[1] not in loose and b[1] not in loose:
            return False
        if "or" in (a[1], b[1]) or "{}" in (a[1], b[1]):
            first, second = sorted(first, key=repr), sorted(second, key=repr)  # type: ignore[assignment]
    return all(_same(x, y) for x, y in zip(first, second))


def _overlap(a: str, b: str) -> float:
    first, second = _words(a), _words(b)
    return len(first & second) / max(1, len(first | second))


@lru_cache(maxsize=256)
def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())
