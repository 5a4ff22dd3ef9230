"""Outcome logs made up by seed: four candidates with strengths of their own, whose right answers agree."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CANDIDATES: Mapping[str, tuple[float, float, Mapping[str, float]]] = {
    # USD per million tokens in and out, and the chance of a right answer by kind of query
    "tiny": (0.05, 0.1, {"sum": 0.9, "capital": 0.35, "date": 0.3}),
    "small": (0.15, 0.6, {"sum": 0.85, "capital": 0.75, "date": 0.5}),
    "large": (2.5, 10.0, {"sum": 0.95, "capital": 0.9, "date": 0.75}),
    "huge": (10.0, 40.0, {"sum": 0.95, "capital": 0.92, "date": 0.9}),
}
KINDS = ("sum", "capital", "date")
PLACES = ("France", "Peru", "Japan", "Kenya", "Norway", "Chile", "Vietnam", "Ghana", "Poland", "Canada")


def make_log(n: int = 300, seed: int = 0, start: int = 0) -> list[dict[str, Any]]:
    """n lines; those of one seed differ from those of another, and so do their ids for another ``start``."""
    rng = np.random.default_rng(seed)
    return [_line(rng, start + i) for i in range(n)]


def _line(rng: np.random.Generator, number: int) -> dict[str, Any]:
    kind = KINDS[int(rng.integers(len(KINDS)))]
    prompt, right = _question(rng, kind)
    ease = rng.normal(0.0, 0.8)
    outcomes = {name: _outcome(rng, name, kind, prompt, right, ease) for name in CANDIDATES}
    return {"id": f"q{number}", "task": kind, "prompt": prompt, "reference": str(right), "outcomes": outcomes}


def _question(rng: np.random.Generator, kind: str) -> tuple[str, int]:
    a, b = (int(x) for x in rng.integers(11, 900, 2))
    if kind == "sum":
        return f"What is {a} plus {b}? Give the number.", a + b
    if kind == "capital":
        place = PLACES[int(rng.integers(len(PLACES)))]
        return f"How many thousand people lived in the capital of {place} in {1000 + a}? Give a number.", a + b
    return f"How many days lie between day {a} and day {a + b} of the chronicle, leap days counted?", b


def _outcome(rng: np.random.Generator, name: str, kind: str, prompt: str, right: int, ease: float) -> dict[str, Any]:
    inp, out, strength = CANDIDATES[name]
    chance = 1.0 / (1.0 + np.exp(-(np.log(strength[kind] / (1 - strength[kind])) + ease)))
    good = bool(rng.random() < chance)
    answer = right if good else right + int(rng.integers(1, 60))
    response = (
        f"Let me think about it for {'a while' if good else 'a good long while, step by step'}. The answer is {answer}."
    )
    in_tok, out_tok = 10 + len(prompt) // 4, 20 + int(rng.integers(0, 40)) + (0 if good else 25)
    return {
        "score": float(good),
        "answer": str(answer),
        "response": response,
        "in_tok": in_tok,
        "out_tok": out_tok,
        "cost_usd": (in_tok * inp + out_tok * out) / 1e6,
        "latency_s": 0.3,
    }


def bare(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lines as an evaluator hands them out: no score, no answer, no task, no reference."""
    return [
        {
            "id": line["id"],
            "prompt": line["prompt"],
            "outcomes": {
                name: {k: v for k, v in outcome.items() if k not in ("score", "answer")}
                for name, outcome in line["outcomes"].items()
            },
        }
        for line in lines
    ]


def write(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Write a log; returns its path."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
