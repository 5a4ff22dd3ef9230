"""The command line: ``emafusion fit | replay | evaluate | explain | gate | rollback | policies | status | demo``.

Results go to stdout (with ``--json`` as one JSON object), progress and errors to stderr. What the user can put right
is said in one line, with exit code 2.
"""

from __future__ import annotations

from typing import Annotated

import typer

from emafusion.cli.commands import Commands
from emafusion.cli.evaluate import evaluate
from emafusion.cli.explain import explain
from emafusion.cli.fit import fit
from emafusion.cli.policies import gate, policies, rollback
from emafusion.cli.replay import replay
from emafusion.cli.status import status

__all__ = ["app"]

app = typer.Typer(
    name="emafusion",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Self-optimising model selection: fit a router from an outcome log, replay, evaluate and explain it.",
)


def _version(asked: bool) -> None:
    if asked:
        from emafusion import __version__

        typer.echo(f"emafusion {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version, and end.")
    ] = False,
) -> None:
    """Options of the program itself."""


for command in (fit, replay, evaluate, explain, gate, rollback, policies, status):
    app.command()(command)
