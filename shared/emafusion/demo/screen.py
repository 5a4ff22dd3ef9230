"""What the demo shows on a terminal; results on stdout, progress on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from emafusion.demo.chains import ChainRun
from emafusion.demo.narrate import narrate
from emafusion.demo.replay import Served
from emafusion.demo.report import Row, table_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Screen"]

WIDTH = 110
"""Columns where the output goes to a file or a pipe."""


class Screen:
    """The demo's output.

    Parameters
    ----------
    silent
        Nothing on stdout but what the command itself writes (``--json``).
    """

    def __init__(self, silent: bool) -> None:
        from rich.console import Console

        console = Console(quiet=silent, highlight=False)
        self.console: Console = (
            console if console.is_terminal else Console(quiet=silent, highlight=False, width=WIDTH, color_system=None)
        )
        self.progress_console: Console = Console(stderr=True)

    def heading(self, text: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{text}", align="left")

    def say(self, text: str, style: str | None = None) -> None:
        self.console.print(text, style=style, markup=False, soft_wrap=False)

    @contextmanager
    def bar(self, title: str, total: float) -> Iterator[Callable[..., None]]:
        """A progress bar; yields ``advance(by=1, to=None, note=None)``."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
        )
        shown = self.progress_console.is_terminal
        with Progress(*columns, console=self.progress_console, transient=True, disable=not shown) as progress:
            task = progress.add_task(title, total=total)

            def advance(by: float = 1.0, to: float | None = None, note: str | None = None) -> None:
                description = f"{title}: {note}" if note else title
                if to is None:
                    progress.update(task, advance=by, description=description)
                else:
                    progress.update(task, completed=to, description=description)

            yield advance

    def chain(self, before: str, after: str, runs: Sequence[ChainRun]) -> None:
        """One application, before and after."""
        from rich.table import Table

        self.console.print(f"  - {before}", style="red", markup=False)
        self.console.print(f"  + {after}", style="green", markup=False)
        table = Table()
        for heading in ("answered by", "prompts", "quality", "USD per 1,000", "seconds", "calls"):
            table.add_column(heading, justify="left" if heading == "answered by" else "right", no_wrap=True)
        for run in runs:
            table.add_row(
                run.model,
                str(run.n),
                f"{run.quality:.3f}",
                f"{run.usd_per_1000:.4f}",
                f"{run.seconds:.2f}",
                f"{run.calls:.2f}",
            )
        self.console.print(table)

    def table(self, rows: Sequence[Row], reference: str) -> None:
        self.console.print(table_of(rows, reference))

    def decision(self, title: str, served: Served) -> None:
        """One decision in words, with what the grader said."""
        from rich.panel import Panel
        from rich.text import Text

        assert served.decision is not None
        prompt = str(served.entry.prompt)
        asked = prompt if len(prompt) <= 300 else "... " + prompt[-296:]
        verdict = "right" if served.score >= 1 else "wrong" if served.score <= 0 else f"worth {served.score:.2f}"
        body = Text(asked + "\n\n", style="dim")
        body.append(narrate(served.decision), style="not dim")
        body.append(f"\nThe grader, which EMAFusion does not see, says: {verdict}.", style="not dim bold")
        self.console.print(Panel(body, title=title, title_align="left"))
