"""The final answer: what a response comes down to, as a key that can be compared across models and formats."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "number", "choice", "boolean", "literal", "json", "call", "date", "expression", "code", "short", "text", "none"
]

Value = tuple[Hashable, ...]
"""A tagged tree, for instance ``("num", 42)``, ``("seq", "[]", (("num", 1),))`` or ``("choice", "C")``."""

ABSENT: Value = ("none",)


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The answer found in a response.

    Two answers are equal (`==`, `hash`) when kind and value are; use `same_answer` for equivalence across kinds.

    Attributes
    ----------
    kind : str
        What sort of answer it is; "none" when the response holds none.
    value : tuple
        Canonical hashable key, a tagged tree.
    span : tuple of int or None
        Where the answer stands in the response (start, end), None when it is not one piece of it.
    raw : str
        The answer as it was written.
    wellformed : bool
        False when it was recovered from broken or cut-off text.
    """

    kind: Kind
    value: Value
    span: tuple[int, int] | None = field(default=None, compare=False)
    raw: str = field(default="", compare=False)
    wellformed: bool = field(default=True, compare=False)


NO_ANSWER = FinalAnswer("none", ABSENT, None, "", False)
