"""``emafusion explain``: what would be asked first, and why; no model is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emafusion.cli.console import JSON, show
from emafusion.cli.options import QualityFloor, UsdPerQuery, UsdValue, objective_of
from emafusion.cli.replay import serving
from emafusion.errors import ConfigError

if TYPE_CHECKING:
    from emafusion.fusion import Fusion

__all__ = ["explain"]


def explain(
    prompt: Annotated[str, typer.Argument(help="What a user would ask; - reads it from stdin.")],
    router: Annotated[Path | None, typer.Option(help="Router that `emafusion fit` wrote.")] = None,
    models: Annotated[
        str | None, typer.Option(help="Without a router: provider:model, separated by commas, at their list prices.")
    ] = None,
    usd_per_query: UsdPerQuery = None,
    usd_value: UsdValue = None,
    quality_floor: QualityFloor = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Say what would be asked first, and why. No model is called."""
    from emafusion.asked import build_query
    from emafusion.types import Message

    objective = objective_of(usd_per_query, usd_value, quality_floor)
    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise ConfigError("the prompt is empty: give the text that a user would ask")
    explanation = _fusion(router, models).explain(build_query((Message("user", text),)), objective)
    show(explanation.as_dict(), as_json=as_json, tables=lambda console: typer.echo(str(explanation)))


def _fusion(router: Path | None, models: str | None) -> Fusion:
    if (router is None) == (models is None):
        raise ConfigError("give either --router router.json, or --models provider:model,provider:model")
    if router is not None:
        return serving(router)
    from emafusion.clients import resolve
    from emafusion.fusion import Fusion

    assert models is not None
    return Fusion([name.strip() for name in models.split(",") if name.strip()], resolve=resolve)
