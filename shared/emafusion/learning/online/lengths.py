"""`OutputLengths`: by how much candidates write more, or less, than the router expects of them.

What is learned are sums by candidate and epoch: answers, tokens expected and tokens written. They only ever grow, so
that those of many processes add up; how old an epoch is shows in how many answers its candidate has given since, and by
that it is forgotten when the sums are read.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emafusion.config import Pool
from emafusion.learning.online.observation import EPOCH
from emafusion.types import Decision, Forecast

__all__ = ["OutputLengths", "counted", "total"]

Array = NDArray[np.float64]

MEMORY = 0.995
"""What an answer's weight shrinks by with each answer of its candidate in a later epoch."""
MOST_EPOCHS = 64
"""Epochs of a candidate that are kept apart in memory; beyond it the older half is put together, at no loss."""
TRUSTED = 5.0
"""Answers that the router's own expectation counts for."""
SHORTEST, LONGEST = 0.05, 20.0


def counted(expected: float, written: float) -> Array:
    """What an answer adds to the sums: 1, tokens expected, tokens written (3,)."""
    expected = max(expected, 1.0)
    return np.array([1.0, expected, min(written, LONGEST * expected)])


def total(rows: Mapping[int, Array]) -> Array:
    """One candidate's sums (3,), as they come to after the last of its epochs: what is older counts less."""
    table = np.array([rows[epoch] for epoch in sorted(rows)])
    since = table[:, 0].sum() - np.cumsum(table[:, 0])
    return np.asarray(MEMORY**since @ table)


class OutputLengths:
    """Tokens written over tokens expected, by candidate, learned from a few answers. Safe to share between threads.

    A ratio of sums, for costs add up: that of logarithms would miss the long answers that cost most.

    Examples
    --------
    >>> OutputLengths().factor("unheard of")
    1.0
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, Array]] = {}
        self._factors: dict[str, float] = {}
        self._since: list[tuple[str, int, Array]] | None = None
        self._lock = threading.Lock()

    def hear(self, candidate: str, expected: float, written: float, epoch: int = 0) -> None:
        """Take in an answer of ``written`` tokens where the router itself expected ``expected``."""
        row = counted(expected, written)
        with self._lock:
            self._add(candidate, epoch, row)
            if self._since is not None:
                self._since.append((candidate, epoch, row))

    def _add(self, candidate: str, epoch: int, row: Array) -> None:
        rows = self._rows.setdefault(candidate, {})
        rows[epoch] = rows[epoch] + row if epoch in rows else row
        if len(rows) > MOST_EPOCHS:
            old = sorted(rows)[: MOST_EPOCHS // 2]
            rows[old[-1]] = total({e: rows.pop(e) for e in old})
        self._factors.pop(candidate, None)

    def factor(self, candidate: str) -> float:
        """By what to multiply the expected length of this candidate's answers."""
        with self._lock:
            known = self._factors.get(candidate)
            if known is None:
                known = self._factors[candidate] = self._worked_out(candidate)
            return known

    def _worked_out(self, candidate: str) -> float:
        rows = self._rows.get(candidate)
        if not rows:
            return 1.0
        answers, hoped, told = total(rows)
        trusted = TRUSTED * hoped / answers
        return float(np.clip((told + trusted) / (hoped + trusted), SHORTEST, LONGEST))

    def forget(self, candidate: str) -> None:
        """Forget all of a candidate."""
        with self._lock:
            self._rows.pop(candidate, None)
            self._factors.pop(candidate, None)

    # -- of all processes --------------------------------------------------------------------------------------

    def note(self) -> None:
        """From here on keep account of what is heard, for what is being read may lack it."""
        with self._lock:
            self._since = []

    def replace(self, rows: Mapping[tuple[str, int], Array]) -> None:
        """Hold these sums (those of all processes) instead of one's own, and what was noted besides."""
        with self._lock:
            noted, self._since = self._since or (), None
            self._rows, self._factors = {}, {}
            for (candidate, epoch), row in rows.items():
                self._add(candidate, epoch, row)
            for candidate, epoch, row in noted:
                self._add(candidate, epoch, row)

    def stop_noting(self) -> None:
        """The reading has ended, in whichever way."""
        with self._lock:
            self._since = None

    # -- decisions ---------------------------------------------------------------------------------------------

    def learn(self, decision: Decision) -> None:
        """Take in the answers of a decision whose lengths their providers told."""
        for attempt in decision.attempts:
            usage = None if attempt.reply is None else attempt.reply.usage
            if usage is None or usage.estimated or attempt.candidate not in decision.forecast.candidates:
                continue
            expected = decision.forecast.expected_tokens(attempt.candidate)
            self.hear(attempt.candidate, expected, usage.output_tokens, int(decision.tick // EPOCH))

    def correct(self, forecast: Forecast, pool: Pool, limit: int | None = None) -> Forecast:
        """The forecast with lengths and costs as answers have shown them; ``limit`` is the caller's, in tokens."""
        if not self._rows:
            return forecast
        tokens, costs = [], []
        for name, expected, cost in zip(forecast.candidates, forecast.output_tokens, forecast.cost_usd):
            longer = expected * self.factor(name)
            longer = min(x for x in (longer, limit, pool[name].max_output_tokens) if x is not None)
            tokens.append(longer)
            costs.append(max(cost + (longer - expected) * pool.price(name).output / 1e6, 0.0))
        known = forecast.uncorrected_tokens or forecast.output_tokens
        return replace(forecast, output_tokens=tuple(tokens), cost_usd=tuple(costs), uncorrected_tokens=known)
