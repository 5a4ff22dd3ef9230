"""A small log with a truth in it: sums that are easy for all, products that only the dear candidate gets right."""

from __future__ import annotations

from typing import Any

import numpy as np

SKILL = {"small": (0.92, 0.15), "mid": (0.95, 0.5), "big": (0.98, 0.93)}
PRICE = {"small": (0.1, 0.4), "mid": (1.0, 4.0), "big": (5.0, 15.0)}


def arithmetic_log(n: int, seed: int = 0, scores: bool = True) -> list[dict[str, Any]]:
    """``n`` queries answered by three candidates; wrong answers scatter."""
    rng = np.random.default_rng(seed)
    log = []
    for i in range(n):
        hard = bool(rng.random() < 0.5)
        a, b, c, d = (int(x) for x in rng.integers(100, 999, 4))
        prompt, truth = (
            (f"What is {a} * {b} - {c} * {d}?", a * b - c * d)
            if hard
            else (f"What is {a % 50} + {b % 50}?", a % 50 + b % 50)
        )
        outcomes = {}
        for name, skill in SKILL.items():
            right = bool(rng.random() < skill[hard])
            answer = truth if right else truth + int(rng.integers(1, 400))
            out_tok = int(rng.integers(20, 40)) + 60 * hard
            cost = (40 * PRICE[name][0] + out_tok * PRICE[name][1]) / 1e6
            outcome = {"response": f"The answer is {answer}.", "in_tok": 40, "out_tok": out_tok, "cost_usd": cost}
            outcomes[name] = outcome | ({"score": float(right)} if scores else {})
        log.append({"id": f"q{i}", "prompt": prompt, "outcomes": outcomes})
    return log
