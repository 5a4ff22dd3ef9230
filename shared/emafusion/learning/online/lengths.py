"""`OutputLengths`: by how much candidates write more, or less, than the router expects of them."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from emafusion.config import Pool
from emafusion.types import Decision, Forecast

__all__ = ["OutputLengths"]

MEMORY = 0.995
"""What an answer's weight shrinks by with each later answer of its candidate."""
TRUSTED = 5.0
"""Answers that the router's own expectation counts for."""
SHORTEST, LONGEST = 0.05, 20.0


class OutputLengths:
    """Tokens written over tokens expected, by candidate; each process learns them by itself, from a few answers.

    A ratio of sums, for costs add up: that of logarithms would miss the long answers that cost most.

    Examples
    --------
    >>> OutputLengths().factor("unheard of")
    1.0
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float, float]] = {}
        self._lock = threading.Lock()

    def hear(self, candidate: str, expected: float, written: float) -> None:
        """Take in an answer of ``written`` tokens where the router itself expected ``expected``."""
        with self._lock:
            answers, hoped, told = self._sums.get(candidate, (0.0, 0.0, 0.0))
            self._sums[candidate] = (
                MEMORY * answers + 1.0,
                MEMORY * hoped + max(expected, 1.0),
                MEMORY * told + min(written, LONGEST * max(expected, 1.0)),
            )

    def factor(self, candidate: str) -> float:
        """By what to multiply the expected length of this candidate's answers."""
        with self._lock:
            found = self._sums.get(candidate)
        if found is None:
            return 1.0
        answers, hoped, told = found
        trusted = TRUSTED * hoped / answers
        return float(np.clip((told + trusted) / (hoped + trusted), SHORTEST, LONGEST))

    def learn(self, decision: Decision) -> None:
        """Take in the answers of a decision whose lengths their providers told."""
        for attempt in decision.attempts:
            usage = None if attempt.reply is None else attempt.reply.usage
            if usage is None or usage.estimated or attempt.candidate not in decision.forecast.candidates:
                continue
            expected = decision.forecast.of(attempt.candidate)["output_tokens"] / self.factor(attempt.candidate)
            self.hear(attempt.candidate, expected, usage.output_tokens)

    def correct(self, forecast: Forecast, pool: Pool, limit: int | None = None) -> Forecast:
        """The forecast with lengths and costs as answers have shown them; ``limit`` is the caller's, in tokens."""
        if not self._sums:
            return forecast
        tokens, costs = [], []
        for name, expected, cost in zip(forecast.candidates, forecast.output_tokens, forecast.cost_usd):
            longer = expected * self.factor(name)
            longer = min(x for x in (longer, limit, pool[name].max_output_tokens) if x is not None)
            tokens.append(longer)
            costs.append(max(cost + (longer - expected) * pool.price(name).output / 1e6, 0.0))
        return replace(forecast, output_tokens=tuple(tokens), cost_usd=tuple(costs))
