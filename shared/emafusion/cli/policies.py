"""``emafusion gate``, ``rollback`` and ``policies``: which policy serves, and whether a new one should."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emafusion.cli.console import JSON, progress_bar, show
from emafusion.cli.options import QualityFloor, UsdPerQuery, UsdValue, encoder_of, objective_of
from emafusion.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from emafusion.evaluation.first_moves import FirstMoves, RouterPolicy
    from emafusion.evaluation.gate import Comparison
    from emafusion.evaluation.off_policy import Estimate
    from emafusion.store.existing import ExistingStore

__all__ = ["StorePath", "gate", "policies", "rollback"]

StorePath = Annotated[
    str, typer.Argument(help="The store: an SQLite file, or postgresql+psycopg://user@host/database.")
]


@dataclass(frozen=True)
class _Contender:
    """The policy that wants to serve; ``content`` where it is not in the store yet."""

    policy: RouterPolicy
    encoder: str
    content: bytes | None
    since: datetime | None
    """When it came to the store: what was decided later cannot have taught it."""


def gate(
    store: StorePath,
    router: Annotated[
        Path | None, typer.Option(help="The new router. By default the newest policy in shadow in the store.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Promote it if it passes; exit code 1 if not.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --promote: even if it does not pass.")] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only decisions from then on (ISO 8601, UTC), which it has not learned."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Newest decisions to look at; 0: all.")] = 0,
    usd_per_query: UsdPerQuery = None,
    usd_value: UsdValue = None,
    quality_floor: QualityFloor = None,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Compare a new policy with the one that serves, on stored traffic; promote it if that shows it to be better."""
    from emafusion.evaluation.gate import compare
    from emafusion.store.choices import choices
    from emafusion.store.existing import ExistingStore

    if force and not promote:
        raise ConfigError("--force belongs to --promote")
    if limit < 0:
        raise ConfigError(f"--limit must be 0 (all) or more, got {limit}")
    given = any(value is not None for value in (usd_per_query, usd_value, quality_floor))
    objective = objective_of(usd_per_query, usd_value, quality_floor) if given else None
    start = None if since is None else _time(since)
    with ExistingStore(store) as opened:
        contender = _contender(opened, router)
        if promote and contender.encoder.startswith("tfidf"):
            raise ConfigError(
                "the router was fitted with an encoder of its own, which a store does not keep: "
                "fit it with --encoder default to promote it"
            )
        start = start or contender.since
        with progress_bar() as report, opened.engine.connect() as connection:
            total = min(_count(connection, start), limit or 10**18) or 1
            try:
                comparison = compare(
                    choices(connection, since=start, limit=limit or None),
                    contender.policy,
                    _incumbent(opened),
                    objective=objective,
                    progress=lambda done: report("asking both policies", done / total),
                )
            except ConfigError as error:
                raise _kept_in_shadow(opened, contender, error) if promote else error from None
        promoted = promote and (comparison.passes or force)
        if promote and contender.content is not None:
            opened.add_policy(contender.policy.id, contender.content, "at the gate")
        if promoted:
            opened.promote(contender.policy.id, comparison.as_dict())
        content: dict[str, Any] = {"store": opened.name, "since": None if start is None else f"{start.isoformat()}Z"}
    content |= comparison.as_dict()
    content |= {
        "promoted": promoted,
        "forced": promoted and not comparison.passes,
        "kept_in_shadow": promote and not promoted,
        "held_out": start is not None,
    }
    show(content, as_json=as_json, tables=lambda console: _gate_tables(console, comparison, content))
    if promote and not promoted:
        raise typer.Exit(1)


def rollback(store: StorePath, as_json: Annotated[bool, JSON] = False) -> None:
    """Let the policy serve again that served before the incumbent."""
    from emafusion.store.existing import ExistingStore

    with ExistingStore(store) as opened:
        content = {"store": opened.name, "from": opened.incumbent(), "to": opened.roll_back()}
    said = f"Rolled back from {content['from']} to {content['to']}."
    show(content, as_json=as_json, tables=lambda console: console.print(said, highlight=False, markup=False))


def policies(store: StorePath, as_json: Annotated[bool, JSON] = False) -> None:
    """List the policies of a store: which serves, which wait in shadow, which have served."""
    from emafusion.store.existing import ExistingStore

    with ExistingStore(store) as opened:
        name, found = opened.name, opened.policies()
    for row in found:
        row["created_at"] = row["created_at"].isoformat(timespec="seconds") + "Z"
    content = {"store": name, "policies": found}
    show(content, as_json=as_json, tables=lambda console: policy_table(console, found))


def policy_table(console: Console, found: list[dict[str, Any]]) -> None:
    """All policies, the incumbent marked."""
    from rich.table import Table
    from rich.text import Text

    if not found:
        console.print("No policies: what is configured serves. `emafusion gate` promotes one.")
        return
    table = Table(title="Policies", title_justify="left")
    for name in ("policy", "status", "added", "lead when promoted", "note"):
        table.add_column(name, overflow="fold", min_width=8)
    for row in found:
        lead = (row["estimate"] or {}).get("difference") or {}
        at_least = f"{100 * lead['value']:+.2f} (>{100 * lead['lower']:+.2f})" if "lower" in lead else ""
        style = "bold" if row["status"] == "incumbent" else ""
        cells = (row["id"], row["status"], str(row["created_at"])[:10], at_least, row["note"])
        table.add_row(*(Text(str(cell)) for cell in cells), style=style)
    console.print(table)


def _kept_in_shadow(store: ExistingStore, contender: _Contender, error: ConfigError) -> ConfigError:
    """What to say where nothing can be compared yet. In shadow the policy is asked about what comes, texts or none."""
    if contender.content is None:
        return error
    store.add_policy(contender.policy.id, contender.content, "at the gate")
    return ConfigError(
        f"{error}; {contender.policy.id} waits in shadow now, and is judged on what is decided hereafter"
    )


# -- parts of the gate -----------------------------------------------------------------------------------------


def _contender(store: ExistingStore, router: Path | None) -> _Contender:
    from emafusion.evaluation.first_moves import RouterPolicy
    from emafusion.routers.artefact import load_router, parse_router

    listed = store.policies()
    if router is None:
        waiting = [row for row in listed if row["status"] == "shadow"]
        if not waiting:
            raise ConfigError("the store has no policy in shadow: give --router router.json")
        id, added = waiting[-1]["id"], waiting[-1]["created_at"]
        content = store.artefact(id)
        if content is None:
            raise ConfigError(f"policy {id!r} has no artefact to compare: give --router router.json")
        model = parse_router(content, f"policy {id!r}")
        return _Contender(RouterPolicy.of(id, model), model.encoder, None, added)
    model, content = load_router(router), router.read_bytes()
    id = f"{router.stem[:100]}-{hashlib.sha256(content).hexdigest()[:8]}"
    known = {row["id"]: row["created_at"] for row in listed}
    policy = RouterPolicy.of(id, model, encoder=encoder_of(model, router))
    return _Contender(policy, model.encoder, content, known.get(id))


def _incumbent(store: ExistingStore) -> FirstMoves:
    """The policy that serves: through its router where it has one, else as its decisions recorded it."""
    from emafusion.evaluation.first_moves import RecordedPolicy, RouterPolicy
    from emafusion.routers.artefact import parse_router

    id = store.incumbent()
    content = None if id is None else store.artefact(id)
    if id is None or content is None:
        return RecordedPolicy(id or "what served")
    return RouterPolicy.of(id, parse_router(content, f"policy {id!r}"))


def _count(connection: Any, since: datetime | None) -> int:
    from sqlalchemy import func, select

    from emafusion.store.tables import table

    rows = table("decisions")
    counted = select(func.count()).select_from(rows)
    return int(connection.execute(counted if since is None else counted.where(rows.c.created_at >= since)).scalar_one())


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ConfigError(f"--since {text!r} is no time: write 2026-01-31 or 2026-01-31T18:00") from None
    return found if found.tzinfo is None else found.astimezone(timezone.utc).replace(tzinfo=None)


# -- the gate's tables -----------------------------------------------------------------------------------------


def _gate_tables(console: Console, found: Comparison, content: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"{found.candidate} against {found.incumbent}", style="bold"))
    console.print(
        f"{found.difference.decisions:,} decisions, the truth known of {found.difference.known:,}; both ask the same "
        f"candidate first in {100 * found.agreement:.1f} %; a good answer is worth {found.value_usd:.4g} USD",
        highlight=False,
    )
    if found.left_out:
        left = ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
        console.print(f"left out: {left}", highlight=False, markup=False)
    table = Table(title="Points of a good answer, a decision", title_justify="left")
    table.add_column("")
    for name in ("estimate", "± s.e.", "at least", "at most", "eff. size"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, estimate in (
        ("new policy", found.candidate_value),
        ("incumbent", found.incumbent_value),
        ("difference", found.difference),
    ):
        table.add_row(name, *_points(estimate, signed=name == "difference"), end_section=name == "incumbent")
    table.add_row("  from quality", f"{100 * found.quality:+.2f}")
    table.add_row("  from cost", f"{-100 * found.cost:+.2f}")
    table.add_row("  self-normalised", f"{100 * found.difference.self_normalised:+.2f}")
    console.print(table)
    if found.categories:
        _category_table(console, found)
    style = "bold green" if found.passes else "bold yellow"
    console.print(Text("PASSES: " if found.passes else "STAYS IN SHADOW: ", style=style) + Text(found.reason))
    if not content["held_out"]:
        console.print(
            "If the new router learned from these decisions the estimate is too good: give --since the time of the "
            "last one that it saw."
        )
    if content["kept_in_shadow"]:
        console.print(
            f"Kept in shadow as {found.candidate}: `emafusion gate` judges it on what is decided from now on.",
            highlight=False,
            markup=False,
        )
    if content["forced"]:
        console.print(Text("FORCED: promoted although it did not pass the gate.", style="bold red"))
    elif content["promoted"]:
        console.print(Text(f"Promoted: {found.candidate} is the incumbent.", style="bold green"))


def _points(estimate: Estimate, *, signed: bool) -> list[str]:
    sign = "+" if signed else ""
    values = (estimate.value, estimate.lower, estimate.upper)
    value, lower, upper = (f"{100 * v:{sign}.2f}" for v in values)
    return [value, f"{100 * estimate.standard_error:.2f}", lower, upper, f"{estimate.effective_size:,.0f}"]


def _category_table(console: Console, found: Comparison) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="By category (for people; it decides nothing)", title_justify="left")
    table.add_column("category", overflow="fold")
    for name in ("decisions", "same first", "difference", "± s.e."):
        table.add_column(name, justify="right", no_wrap=True)
    for c in found.categories:
        numbers = (f"{100 * c.difference:+.2f}", f"{100 * c.standard_error:.2f}")
        table.add_row(Text(c.category), f"{c.decisions:,}", f"{100 * c.agreement:.1f} %", *numbers)
    console.print(table)
