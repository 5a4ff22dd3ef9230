"""What the commands write: results to stdout, progress to stderr, numbers as people read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

__all__ = ["JSON", "Report", "progress_bar", "show", "usd_per_thousand"]

JSON = typer.Option("--json", help="Write one JSON object to stdout instead of tables.")

Report = Callable[[str, float], None]
"""Takes the name of a stage and the share of the whole that is done."""


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A bar on stderr while a terminal is there to show it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)

        def report(stage: str, done: float) -> None:
            bar.update(task, description=stage, completed=done)

        yield report


def show(content: Any, *, as_json: bool, tables: Callable[[Any], None]) -> None:
    """Write ``content`` (JSON-able) to stdout, or have ``tables`` draw on a console there."""
    if as_json:
        typer.echo(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = Console()
    # Tables that are written to a file or a pipe must not be cut at the 80 columns that rich then assumes.
    if not console.is_terminal:
        console = Console(width=140)
    tables(console)


def usd_per_thousand(usd: float) -> str:
    """USD a query, said for a thousand of them."""
    return f"{1000.0 * usd:.4g}"
