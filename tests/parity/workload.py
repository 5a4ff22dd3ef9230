"""Two hundred requests of ten kinds, and what three models and a judge would say to each.

What a model says depends on its name and on what it is sent, never on who sends it, so whatever differs between the
adapters is the adapters' own doing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random
from typing import Any

from emafusion.config import Candidate, Objective, Price
from emafusion.types import Message, ToolCall

__all__ = ["PRICES", "SCHEMA", "TOOL", "Said", "Task", "Unavailable", "candidates", "said_by", "workload"]

PRICES = {"small": Price(0.1, 0.4), "middle": Price(1.0, 4.0), "large": Price(10.0, 40.0), "judge": Price(0.5, 2.0)}
RIGHT = {"small": 0.55, "middle": 0.75, "large": 0.92, "judge": 0.85}
NOUNS = ("apples", "trains", "kings", "rivers", "stars", "prices", "songs", "doctors", "maps", "bridges")
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two integers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Count",
    "properties": {"what": {"type": "string"}, "how_many": {"type": "integer"}},
    "required": ["what", "how_many"],
}
OBJECTIVES = (
    None,
    Objective(usd_value=0.02),
    Objective(usd_value=0.0005),
    Objective(quality_floor=0.8),
    Objective(usd_per_query=0.001),
)


class Unavailable(RuntimeError):
    """What a model's client raises when the model is out of service."""


@dataclass(frozen=True)
class Task:
    """One request, in nobody's framework."""

    kind: str
    turns: tuple[Message, ...]
    objective: Objective | None = None
    tools: bool = False
    schema: bool = False
    model: str | None = None


@dataclass(frozen=True)
class Said:
    """What a model answers, with what its provider reports."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    input_tokens: int = 0
    output_tokens: int = 0


def candidates(make: Any) -> tuple[list[Candidate], Candidate]:
    """The pool and the judge's model, with models by ``make(name)``."""
    made = {name: Candidate(make(name), name=name, price=price) for name, price in PRICES.items()}
    return [c for name, c in made.items() if name != "judge"], made["judge"]


def workload(seed: int = 0) -> list[Task]:
    """Twenty of each kind, in an order that mixes them."""
    rng = Random(seed)
    tasks = [task for i in range(20) for task in _one_of_each(i, rng)]
    assert len(tasks) == 200
    return tasks


def _one_of_each(i: int, rng: Random) -> list[Task]:
    a, b, noun, other = rng.randint(2, 99), rng.randint(2, 99), rng.choice(NOUNS), rng.choice(NOUNS)
    wanted = OBJECTIVES[i % len(OBJECTIVES)]
    add = f"Use the tool to find how many {noun} are {a} and {b} ({i})."
    call = ToolCall("add", {"a": a, "b": b}, f"call-{i}")

    def user(text: str) -> tuple[Message, ...]:
        return (Message("user", text),)

    return [
        Task(
            "sum", user(f"How many {noun} are left if {a + b} are shared by {b} {other}? Reply with a number."), wanted
        ),
        Task("prose", user(f"Why do {noun} matter to {other}? Explain it to a child in {a} words."), wanted),
        Task("choice", user(f"Which has most {noun}?\nA) {a}\nB) {b}\nC) {a + b}\nAnswer with the letter."), wanted),
        Task("code", user(f"Write a Python function that sorts {noun} by their {other}, number {i}."), wanted),
        Task("system", (Message("system", f"You know {noun}."), *user(f"What is {a} times {b}, in short?")), wanted),
        Task(
            "follow-up",
            (
                *user(f"How long do {noun} live among {other}, on average ({i})?"),
                Message("assistant", "Some years."),
                *user("and in winter?"),
            ),
            wanted,
        ),
        Task("schema", user(f"How many {noun} are {a} and {b}? Give it as JSON."), wanted, schema=True),
        Task("tool call", user(add), wanted, tools=True),
        Task(
            "tool result",
            (*user(add), Message("assistant", "", (call,)), Message("tool", str(a + b))),
            wanted,
            tools=True,
        ),
        Task(
            "named", user(f"Say whose turn it is among {noun}, {i}."), wanted, model=("small", "middle", "large")[i % 3]
        ),
    ]


def said_by(model: str, system: str, asked: str, *, tools: bool, schema: bool, results: str = "") -> Said:
    """What ``model`` answers. Raises :class:`Unavailable` for one request in twenty-five."""
    digest = hashlib.blake2b("\0".join((model, system, asked, results)).encode(), digest_size=8).digest()
    rng = Random(int.from_bytes(digest, "big"))
    read, written = len(system + asked + results) // 4 + 7, rng.randint(5, 400)
    if rng.random() < 0.04:
        raise Unavailable(f"{model} is out of service")
    right = rng.random() < RIGHT[model]
    if model == "judge":
        sure = round(rng.uniform(0.5, 1.0), 2)
        verdict = '{"correct": true, "confidence": %s}' if right else '{"correct": false, "confidence": %s}'
        return Said(verdict % sure, (), "stop", read, written)
    number = len(asked) if right else rng.randint(100, 104)
    if tools and not results:
        return Said("", (ToolCall("add", {"a": number, "b": 1}, "call"),), "tool_calls", read, written)
    if schema:
        text = f'{{"what": "things", "how_many": {number}}}' if right else f"There are {number}."
        return Said(text, (), "stop", read, written)
    if rng.random() < 0.1:
        return Said("I cannot help with that.", (), "stop", read, written)
    cut = rng.random() < 0.1
    text = "Because so it is, and because" if cut else f"Step by step we get there. The answer is {number}."
    return Said(text, (), "length" if cut else "stop", read, written)
