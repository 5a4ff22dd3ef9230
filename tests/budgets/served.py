"""A loopback model that bills: its own count of tokens at its own price, whatever a client is told."""

from __future__ import annotations

import json
import random
import re
import threading
from typing import Any

from emafusion import Price
from tests.loopback import LoopbackModel, LoopbackServer
from tests.loopback_model import Json, text_of

__all__ = ["Biller"]


class Biller:
    """Answers with a random number of words up to the limit of the request, or to ``longest`` where it has none."""

    def __init__(
        self, server: LoopbackServer, prices: dict[str, Price], *, seed: int = 0, longest: int = 10_000
    ) -> None:
        self.prices, self.longest = prices, longest
        self.billed = 0.0
        self.limits: list[int | None] = []
        self._chance, self._lock = random.Random(seed), threading.Lock()
        for name in prices:
            server.add(LoopbackModel(name, self._answer))

    def _answer(self, messages: list[Json], body: Json) -> Any:
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        with self._lock:
            words = self._chance.randint(1, limit or self.longest)
            read = sum(3 + len(re.findall(r"\s*\S+|\s+$", text_of(m))) for m in messages)
            read += len(re.findall(r"\s*\S+|\s+$", json.dumps(body.get("tools") or "")))
            price = self.prices[body["model"]]
            self.billed += (read * price.input + words * price.output) / 1e6
            self.limits.append(limit)
        return " ".join(["word"] * words)
