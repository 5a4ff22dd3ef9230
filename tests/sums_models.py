"""Loopback models that add, well or badly, and the questions that they are asked."""

from __future__ import annotations

import re

from tests.loopback import LoopbackModel

__all__ = ["adder", "question", "total"]


def question(number: int) -> str:
    """The sum of that number; each is another one."""
    return f"What is {17 + number} plus {23 + 7 * number}? Reply with a number."


def total(asked: str) -> int:
    """What is right."""
    return sum(map(int, re.findall(r"\d+", asked)))


def adder(name: str, *, off_every: int = 0) -> LoopbackModel:
    """A model that adds, and is one off where the sum is divisible by ``off_every``."""

    def answer(messages: list[dict[str, object]], body: object) -> str:
        right = total(str(messages[-1]["content"]))
        return str(right + 1 if off_every and right % off_every == 0 else right)

    return LoopbackModel(name, answer)
