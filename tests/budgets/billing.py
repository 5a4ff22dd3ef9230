"""A provider that bills by its own book: what a test believes was spent, whatever the ledger says."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from emafusion import Candidate, Fusion, Price, Reply, Usage
from emafusion.types import Call
from tests.engine.scripted import ask

__all__ = ["LIMIT", "PRICES", "BillingTransport", "most", "pool"]

PRICES = {"small": Price(0.1, 0.4), "mid": Price(1.0, 4.0), "big": Price(5.0, 15.0)}
LIMIT = 500
"""Output tokens that the tests allow a call."""


def pool(*names: str) -> list[Candidate]:
    return [Candidate(n, name=n, price=PRICES[n]) for n in names or PRICES]


def most(name: str, text: str | None = None, limit: int = LIMIT) -> float:
    """What a draft of the tests' question is reserved at."""
    query = ask() if text is None else ask(text)
    read = max(-(-query.prompt_bytes // 2), query.prompt_tokens)
    return PRICES[name].cost(Usage(read, limit))


class BillingTransport:
    """Answers with random lengths up to the limit; fails, or keeps its usage to itself, with the given chances.

    Attributes
    ----------
    billed
        USD that were really owed so far, failed calls and those that nobody was told of included.
    """

    def __init__(self, seed: int, *, fails: float = 0.0, silent: float = 0.0, seconds: float = 0.0) -> None:
        self.fails, self.silent, self.seconds = fails, silent, seconds
        self.billed = 0.0
        self.calls: list[Call] = []
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    def _bill(self, call: Call) -> tuple[float, Usage]:
        with self._lock:
            self.calls.append(call)
            limit = call.max_output_tokens or LIMIT
            usage = Usage(self._chance.randint(5, 12), self._chance.randint(1, limit))
            self.billed += PRICES[call.candidate].cost(usage)
            return self._chance.random(), usage

    def _outcome(self, chance: float, usage: Usage, call: Call) -> Reply:
        if chance < self.fails:
            raise TimeoutError("no answer in time, though it was written and billed")
        text = '{"correct": false, "confidence": 0.9}' if call.purpose == "judge" else "The answer is 391."
        return Reply(text, finish_reason="stop", usage=None if chance > 1.0 - self.silent else usage)

    def call(self, call: Call) -> Reply:
        chance, usage = self._bill(call)
        time.sleep(self.seconds)
        return self._outcome(chance, usage, call)

    async def acall(self, call: Call) -> Reply:
        chance, usage = self._bill(call)
        await asyncio.sleep(self.seconds)
        return self._outcome(chance, usage, call)

    def stream(self, call: Call) -> Iterator[Any]:
        reply = self._outcome(*self._bill(call), call)
        yield "The "
        yield "answer "
        yield reply

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        for item in self.stream(call):
            await asyncio.sleep(self.seconds)
            yield item


def spent(fusion: Fusion) -> float:
    return float(sum(row["spent"] for row in fusion.budgets()))
