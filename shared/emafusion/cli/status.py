"""``emafusion status``: what a store says of its decisions, spending, quality and health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from emafusion.cli.console import JSON, show
from emafusion.cli.policies import StorePath, policy_table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from emafusion.store.quality import Quality
    from emafusion.store.savings import Saving
    from emafusion.store.status import Status

__all__ = ["status"]


def status(store: StorePath, as_json: Annotated[bool, JSON] = False) -> None:
    """Show what was decided, spent and saved, how good it was, whether anything drifts, and which policy serves."""
    from emafusion.store.existing import ExistingStore
    from emafusion.store.status import status_of

    with ExistingStore(store) as opened:
        name, found = opened.name, status_of(opened)
    content = {"store": name, **found.as_dict()}
    show(content, as_json=as_json, tables=lambda console: _tables(console, name, found))


def _tables(console: Console, name: str, found: Status) -> None:
    from rich.text import Text

    span = found.span
    console.print(Text(name, style="bold"))
    if span.first is None or span.last is None:
        console.print("No decisions yet.")
    else:
        console.print(
            f"{span.decisions:,} decisions, {span.first:%Y-%m-%d %H:%M} to {span.last:%Y-%m-%d %H:%M} UTC",
            highlight=False,
        )
        console.print(_spending(found))
        if found.savings:
            console.print(_savings(found))
        console.print(_candidates(found))
        _notes(console, found)
        if found.drift:
            console.print(_drift(found))
    if found.alarms:
        console.print(_alarms(found))
    for table, rows in found.budgets.items():
        _raw(console, table, rows)
    policy_table(console, found.policies)
    _health(console, found)


def _new(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column(columns[0], overflow="fold")
    for name in columns[1:]:
        table.add_column(name, justify="right")
    return table


def _spending(found: Status) -> Table:
    table = _new("Spending (USD)", "window", "decisions", "spent", "of it judges", "per 1,000 decisions")
    for row in found.spending:
        each = "" if row.usd_per_query is None else f"{1000 * row.usd_per_query:.4g}"
        table.add_row(row.window, f"{row.decisions:,}", _usd(row.usd), _usd(row.judges_usd), each)
    return table


def _savings(found: Status) -> Table:
    best = {s.window: s for s in found.savings if s.against == "best single"}
    dearest = {s.window: s for s in found.savings if s.against == "dearest"}
    table = _new("Savings (USD)", "window", "against the best single", "share", "against the dearest", "share")
    for window in (row.window for row in found.spending if row.window in best or row.window in dearest):
        table.add_row(window, *_saved(best.get(window)), *_saved(dearest.get(window)))
    return table


def _saved(saving: Saving | None) -> tuple[str, str]:
    if saving is None:
        return "", ""
    off = "" if saving.high is None else f" ± {_usd(saving.high - saving.usd)}"
    share = "" if saving.share is None else f"{100 * saving.share:.0f} %"
    return f"{_usd(saving.usd)}{off}", share


def _usd(amount: float) -> str:
    return f"{amount:,.2f}" if abs(amount) >= 10 else f"{amount:.3g}"


def _candidates(found: Status) -> Table:
    from rich.text import Text

    traffic = {t.candidate: t for t in found.traffic}
    table = _new("Accepted answers", "candidate", "answers", "share", "quality", "95 %", "known")
    for q in found.quality:
        if q.candidate is None:
            table.add_row("all", f"{q.decisions:,}", "", *_quality(q), style="bold", end_section=True)
        else:
            share = f"{100 * traffic[q.candidate].share:.1f} %"
            table.add_row(Text(q.candidate), f"{q.decisions:,}", share, *_quality(q))
    return table


def _quality(q: Quality) -> tuple[str, str, str]:
    bounds = "judges alone" if q.low is None or q.high is None else f"{q.low:.3f}-{q.high:.3f}"
    return f"{q.estimate:.3f}", bounds, f"{q.known:,}"


def _notes(console: Console, found: Status) -> None:
    span = found.span
    lines = []
    for against in ("best single", "dearest"):
        name = next((s for s in found.savings if s.against == against), None)
        if name is not None:
            guess = "" if name.measured else " (at forecast cost: it never answered)"
            lines.append(f"{against}: {name.candidate}{guess}")
    audits = f"{span.audited:,} audited ({100 * span.audited / span.decisions:.1f} %"
    audits += f", {100 * span.audits_agreeing / span.audited:.0f} % agreeing)" if span.audited else ")"
    lines.append(f"{span.explored:,} explored ({100 * span.explored / span.decisions:.1f} %), {audits}")
    if span.anchors:
        lines.append(f"{span.anchors:,} asked of new candidates, to place them")
    if span.abstained:
        lines.append(f"{span.abstained:,} answers marked as not to be trusted")
    if found.quality and found.quality[0].basis == "judges alone":
        lines.append("quality is what the judges believe: nobody has told any truth yet (feedback)")
    for line in lines:
        console.print(line, highlight=False, markup=False)


def _drift(found: Status) -> Table:
    from rich.text import Text

    table = _new("Drift: quality less forecast", "candidate", "recent", "earlier", "answers", "p", "")
    for d in found.drift:
        mark = Text("ALARM", style="bold red") if d.alarm else Text("")
        answers = f"{d.recent_answers:,} / {d.earlier_answers:,}"
        table.add_row(Text(d.candidate), f"{d.recent:+.3f}", f"{d.earlier:+.3f}", answers, f"{d.p_value:.2g}", mark)
    return table


def _alarms(found: Status) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Changes noticed while serving", title_justify="left")
    table.add_column("UTC", no_wrap=True)
    table.add_column("candidate", overflow="fold")
    table.add_column("what changed", overflow="fold")
    for alarm in found.alarms:
        table.add_row(f"{alarm.raised_at:%Y-%m-%d %H:%M}", Text(alarm.candidate), Text(alarm.what))
    return table


def _raw(console: Console, name: str, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table(title=name, title_justify="left")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    console.print(table)


def _health(console: Console, found: Status) -> None:
    health = found.health
    parts = [f"schema version {health.schema_version}", f"{health.writers} open writer(s)"]
    parts.append(f"{health.waiting:,} records waiting")
    if health.spilled_bytes:
        parts.append(f"{health.spilled_bytes:,} bytes spilled to disk")
    parts += [f"{count:,} {name}" for name, count in health.counters.items()]
    if found.span.without_text:
        parts.append(f"{found.span.without_text:,} decisions without text")
    console.print(f"Store: {', '.join(parts)}", highlight=False, markup=False)
