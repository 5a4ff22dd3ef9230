"""Time to the first token that a consumer reads, over real clients against a server here that streams slowly.

    python tests/benchmarks/bench_first_token.py [--runs 15] [--json]

The bare client, then ChatEMAFusion in each mode, with what it does fixed: "auto" where an answer is accepted unseen,
and where a judge looks at it first; "live" and "buffered". What the first two rows differ by is what routing adds; the
others tell what checking an answer before it is shown costs a reader.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from emafusion import Candidate, Price
from emafusion.policies.moves import Accept, Ask, Move, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer

__all__ = ["main"]

FIRST_S, BETWEEN_S, WORDS = 0.15, 0.01, 40
"""Before the model's first token, between two, and how many it writes."""
ASK = "How many apples are left if 3 of 8 boxes with 12 each are sold?"
ANSWER = " ".join(f"word{i}" for i in range(WORDS))
VERDICT = '{"correct": true, "confidence": 0.9}'
UNSEEN = (Try(("small",), commit=True),)
JUDGED = (Try(("small",)), Ask(("llm",), "small"), Accept("small"))


@dataclass(frozen=True)
class Waited:
    """Medians in milliseconds, from the call on."""

    name: str
    first_ms: float
    first_async_ms: float
    last_ms: float
    calls: int
    """Model calls of one request, judges' included."""


def routers(server: LoopbackServer) -> dict[str, Callable[[], Any]]:
    """What is measured, by name."""

    def client(name: str) -> ChatOpenAI:
        return ChatOpenAI(base_url=server.base_url, api_key=SecretStr("none"), model=name, max_retries=0)

    def pool() -> list[Candidate]:
        prices = {"small": Price(0.1, 0.4), "large": Price(5.0, 20.0)}
        return [Candidate(client(name), name=name, price=price) for name, price in prices.items()]

    def routed(*moves: Move, **fields: Any) -> Callable[[], ChatEMAFusion]:
        return lambda: scripted(ChatEMAFusion(pool(), **fields), *moves)

    return {
        "the client alone": lambda: client("small"),
        "auto, accepted unseen": routed(*UNSEEN),
        "auto, judged first": routed(*JUDGED),
        "live": routed(*JUDGED, stream_mode="live"),
        "buffered, accepted unseen": routed(*UNSEEN, stream_mode="buffered"),
    }


def written(messages: Any, body: dict[str, Any]) -> str:
    """What the models write; one that does not stream takes as long to write it."""
    text = VERDICT if messages[0]["role"] == "system" else ANSWER
    if not body.get("stream"):
        time.sleep(BETWEEN_S * len(text.split()))
    return text


def read(llm: Any) -> tuple[float, float]:
    """Seconds to the first text and to the end."""
    begin, first = time.perf_counter(), None
    for chunk in llm.stream(ASK):
        if first is None and chunk.text:
            first = time.perf_counter()
    assert first is not None
    return first - begin, time.perf_counter() - begin


async def aread(llm: Any) -> float:
    """Seconds to the first text."""
    begin, first = time.perf_counter(), 0.0
    async for chunk in llm.astream(ASK):
        if not first and chunk.text:
            first = time.perf_counter()
    return first - begin


def waited(name: str, llm: Any, server: LoopbackServer, runs: int) -> Waited:
    async def areads() -> list[float]:
        await aread(llm)  # the connection, on this loop
        return [await aread(llm) for _ in range(runs)]

    read(llm)
    server.clear()
    reads = [read(llm) for _ in range(runs)]
    calls = server.count()
    return Waited(
        name,
        1e3 * statistics.median(first for first, _ in reads),
        1e3 * statistics.median(asyncio.run(areads())),
        1e3 * statistics.median(last for _, last in reads),
        round(calls / runs),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="write one JSON object to stdout")
    options = parser.parse_args(arguments)
    models = [LoopbackModel(n, written, latency=FIRST_S, chunk_delay=BETWEEN_S) for n in ("small", "large")]
    with LoopbackServer(*models) as server:
        rows = [waited(name, make(), server, options.runs) for name, make in routers(server).items()]
    if options.json:
        print(json.dumps({row.name: asdict(row) for row in rows}, indent=2))
        return
    title = f"Time to tokens: {1e3 * FIRST_S:.0f} ms to a model's first, {1e3 * BETWEEN_S:.0f} ms between {WORDS}"
    table = Table(title=f"{title} (medians of {options.runs})", title_justify="left")
    for heading in ("", "first, ms", "first, async, ms", "last, ms", "model calls"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name, *(f"{ms:.0f}" for ms in (row.first_ms, row.first_async_ms, row.last_ms)), f"{row.calls}"
        )
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


if __name__ == "__main__":
    main()
