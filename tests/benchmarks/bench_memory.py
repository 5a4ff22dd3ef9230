"""Memory over thousands of calls: what a long-lived process keeps.

    python tests/benchmarks/bench_memory.py [--calls 10000] [--json]

Through each adapter over clients that answer at once: sessions of two questions with a tool call each, so that every
way in which the core remembers is used; with no store, and with an SQLite store. Resident memory and Python's own
(``tracemalloc``, in a run of its own, for it slows all else) at checkpoints, and the growth over the last fifth: what
is bounded (4,096 decisions, as many sessions) is full by then.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from emafusion import Candidate, Objective, Price
from tests.benchmarks.bench_overhead import prompts

__all__ = ["main"]

PLACES = ("langchain", "llamaindex")
CHECKPOINTS = 10
LIMIT_MB = 1.0
"""Growth of Python's memory in the last fifth above which this exits with 1."""
TOOL = {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}}


def resident_mb() -> float:
    """Memory of this process that is in RAM now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def langchain_call(store: str | None) -> Callable[[int, str], Any]:
    """Invoke: a question with tools that is answered by a call, then the tool's result, in a thread of its own."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    from langchain_emafusion import ChatEMAFusion

    class Instant(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "instant"

        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self.bind(tools=tools)

        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
            calls: list[Any] = [] if messages[-1].type == "tool" else [{"name": "look", "args": {}, "id": "1"}]
            text = "" if calls else "The answer is 42. " * 20
            return ChatResult(generations=[ChatGeneration(message=AIMessage(text, tool_calls=calls))])

    llm: Any = ChatEMAFusion(_pool(Instant), store=store, judges=(), objective=Objective(usd_per_query=0.001))
    bound = llm.bind_tools([TOOL])

    def call(i: int, text: str) -> None:
        config: Any = {"configurable": {"thread_id": str(i)}}
        asked: list[Any] = [HumanMessage(f"{text} ({i})")]
        said = bound.invoke(asked, config)
        bound.invoke([*asked, said, ToolMessage("seen", tool_call_id="1")], config)

    return call


def llamaindex_call(store: str | None) -> Callable[[int, str], Any]:
    """Complete."""
    from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
    from llama_index.core.llms.callbacks import llm_completion_callback

    from llamaindex_emafusion import EMAFusion

    class Instant(CustomLLM):
        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(model_name="instant")

        @llm_completion_callback()
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            return CompletionResponse(text="The answer is 42. " * 20)

        @llm_completion_callback()
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            yield self.complete(prompt)

    llm = EMAFusion(_pool(Instant), store=store, judges=(), objective=Objective(usd_per_query=0.001))

    def call(i: int, text: str) -> None:
        llm.complete(f"{text} ({i})")
        llm.complete(f"{text} ({i}), once more")

    return call


def _pool(make: Callable[[], Any]) -> list[Candidate]:
    prices = {"small": Price(0.1, 0.4), "middle": Price(1.0, 4.0), "large": Price(5.0, 20.0)}
    return [Candidate(make(), name=name, price=price) for name, price in prices.items()]


def grow(place: str, store: str | None, calls: int, *, traced: bool) -> Iterator[tuple[int, float]]:
    """Calls made so far and MB (resident, or as traced) at each checkpoint."""
    import numpy as np

    texts = [text for _, text in prompts(200, np.random.default_rng(5))]
    call = {"langchain": langchain_call, "llamaindex": llamaindex_call}[place](store)
    pairs = calls // 2
    every = max(1, pairs // CHECKPOINTS)
    for i in range(50):
        call(-i, texts[i])
    if traced:
        tracemalloc.start()
    for i in range(1, pairs + 1):
        call(i, texts[i % len(texts)])
        if i % every == 0:
            gc.collect()
            yield 2 * i, tracemalloc.get_traced_memory()[0] / 1e6 if traced else resident_mb()


def measured(place: str, stored: bool, calls: int, *, traced: bool) -> list[tuple[int, float]]:
    """:func:`grow` in a process of its own."""
    command = [sys.executable, __file__, "--calls", str(calls), "--one", place]
    command += ["--stored"] * stored + ["--traced"] * traced
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [(int(n), float(mb)) for n, mb in json.loads(out)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; returns 1 if Python's memory grew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="write one JSON object to stdout")
    parser.add_argument("--one", choices=PLACES, help="measure this one in this process")
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--traced", action="store_true")
    options = parser.parse_args(arguments)
    if options.one:
        with tempfile.TemporaryDirectory() as folder:
            store = str(Path(folder) / "decisions.sqlite") if options.stored else None
            print(json.dumps(list(grow(options.one, store, options.calls, traced=options.traced))))
        return 0
    rows: dict[str, list[tuple[int, float]]] = {}
    for place in PLACES:
        for stored in (False, True):
            for traced in (False, True):
                name = f"{place}, {'SQLite store' if stored else 'no store'}, {'Python' if traced else 'resident'}"
                rows[name] = measured(place, stored, options.calls, traced=traced)
    growth = {name: points[-1][1] - points[len(points) * 4 // 5 - 1][1] for name, points in rows.items()}
    if options.json:
        print(json.dumps({name: {"mb": points, "growth_mb": growth[name]} for name, points in rows.items()}, indent=2))
    else:
        table = Table(title=f"MB over {options.calls:,} calls", title_justify="left")
        table.add_column("calls")
        for n, _ in next(iter(rows.values())):
            table.add_column(f"{n:,}", justify="right")
        table.add_column("last fifth", justify="right")
        for name, points in rows.items():
            table.add_row(name, *(f"{mb:.1f}" for _, mb in points), f"{growth[name]:+.2f}")
        console = Console()
        (console if console.is_terminal else Console(width=160)).print(table)
    return int(any(mb > LIMIT_MB for name, mb in growth.items() if name.endswith("Python")))


if __name__ == "__main__":
    sys.exit(main())
