"""The group of commands: ends in one clear line where the user can put something right, and loads the demo late."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from emafusion.errors import ConfigError, EMAFusionError

__all__ = ["Commands"]

DEMO = "demo"


class Commands(TyperGroup):
    """Commands of ``emafusion``; errors of this package and of the file system become one line and exit code 2."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), DEMO]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # The demo brings its recordings and tasks with it, which no other command needs.
        return _demo() if cmd_name == DEMO else super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of a pipe went away: not the user's mistake
            raise
        except EMAFusionError as error:
            _fail(str(error))
        except OSError as error:
            _fail(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise typer.Exit(2)


def _demo() -> Any:
    """The demo's command, made from its own function when it is first asked for."""
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    try:
        command = importlib.import_module("emafusion.demo.command").demo
    except ModuleNotFoundError as error:
        command = _unavailable(error.name or "a module")
    single.command(DEMO)(command)
    return typer.main.get_command(single)


def _unavailable(missing: str) -> Callable[[], None]:
    def demo() -> None:
        """Show a chain with one model and with EMAFusion (not available in this installation)."""
        raise ConfigError(f"the demo needs {missing}: pip install 'emafusion[all]'")

    return demo
