"""Tables of an evaluation, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from emafusion.cli.console import usd_per_thousand
from emafusion.evaluation.folds import EMAFUSION

if TYPE_CHECKING:
    from emafusion.evaluation.bootstrap import Interval
    from emafusion.evaluation.comparison import AtOwnCost
    from emafusion.evaluation.evaluation import Evaluation

__all__ = ["draw"]


def draw(console: Any, found: Evaluation) -> None:
    """All tables, the most important first."""
    winners = ", ".join(f"{name} ({folds})" for name, folds in found.best_single.items())
    console.print(
        f"{found.queries} queries, {len(found.candidates)} candidates, {found.method}, seeds {_listed(found.seeds)}; "
        f"costs in USD per 1,000 queries. Best single, as chosen on the training parts: {winners}."
    )
    if found.left_out:
        console.print(f"{found.left_out} queries have no scored outcome, and are left out.")
    _methods(console, found)
    _headline(console, found)
    _own_cost(console, found)
    _calibration(console, found)
    _budgets(console, found)


def _methods(console: Any, found: Evaluation) -> None:
    comparison = found.comparison
    single = comparison.standings["best single"]
    rows, areas = [], []
    for name, s in comparison.standings.items():
        parity = "-" if s.parity_cost is None else usd_per_thousand(s.parity_cost)
        share = "-" if s.parity_cost is None else f"{100 * s.parity_cost / single.cost:.1f} %"
        best = f"{s.peak:.4f}", usd_per_thousand(s.peak_cost), "-" if s.gap is None else f"{100 * s.gap:.1f} %"
        rows.append((name, f"{s.quality:.4f}", usd_per_thousand(s.cost), *best, parity, share, f"{s.at_quarter:.4f}"))
        ahead = "" if name == EMAFUSION else _points(comparison.differences[name])
        areas.append((name, f"{s.area:.4f}", f"{s.log_area:.4f}", ahead))
    heads = (
        "method",
        "quality",
        "cost",
        "best point",
        "at",
        "of oracle gap",
        "parity at",
        "of best single's",
        "at average/4",
    )
    _table(console, "Quality and cost", heads, rows)
    console.print(
        "quality, cost: at the highest value of a good answer. best point: the best operating point in hindsight.\n"
        "parity at (cost of the best single's quality), at average/4 (quality at a quarter of the average candidate's\n"
        f"cost, {usd_per_thousand(comparison.average / 4)}): read off the convex hull of the pooled points."
    )
    lead = ("method", "AIQ", "over log cost", "EMAFusion's lead over log cost, in points, with 95 % interval")
    low, high = usd_per_thousand(comparison.cheapest), usd_per_thousand(comparison.dearest)
    _table(console, f"Area under the frontier, from {low} (cheapest candidate) to {high} (dearest)", lead, areas)


def _headline(console: Any, found: Evaluation) -> None:
    h = found.comparison.headline
    rows = [
        ("cost at the best single's quality, of its cost", _interval(h["parity_share_of_best_single_cost"], 100, " %")),
        (
            "gain at a quarter of the average candidate's cost",
            _interval(h["gain_at_quarter_of_average_cost"], 100, " points"),
        ),
        ("gain of the best point", _interval(h["gain_of_best_point"], 100, " points")),
        ("gain at the highest value of a good answer", _interval(h["gain_at_highest_value"], 100, " points")),
    ]
    _table(
        console,
        f"EMAFusion and the best single (95 % intervals, {found.comparison.resamples} resamples)",
        ("", ""),
        rows,
    )


def _own_cost(console: Any, found: Evaluation) -> None:
    rows = []
    for row in _few(found.comparison.own_cost):
        spent = usd_per_thousand(row.emafusion_cost)
        value = "-" if row.value is None else f"{row.value:.3g}"
        gain = f"{100 * row.difference:+.2f} ± {100 * row.error:.2f}"
        costs = (usd_per_thousand(row.cost), f"{row.quality:.4f}", spent, f"{row.emafusion:.4f}")
        rows.append((row.method, value, *costs, gain))
    heads = ("method", "value", "cost", "quality", "EMAFusion's cost", "EMAFusion", "difference ± error (points)")
    _table(console, "EMAFusion at the cost of each", heads, rows)


def _few(rows: Sequence[AtOwnCost]) -> Iterator[AtOwnCost]:
    """Of each method the points at the highest value and at two lower ones, evenly spread; --json has all."""
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        yield from (own[i] for i in sorted({len(own) // 3, 2 * len(own) // 3, len(own) - 1}))


def _calibration(console: Any, found: Evaluation) -> None:
    c = found.calibration
    rows = []
    for name, ece in c.forecast.items():
        answers, own = c.accepted.get(name, (0, None))
        rows.append((name, str(answers), "-" if own is None else f"{own:.4f}", f"{ece:.4f}"))
    title = f"Calibration: ECE {c.ece:.4f} (worst operating point {c.worst_point:.4f}), Brier {c.brier:.4f}"
    _table(console, title, ("candidate", "answers accepted", "ECE of the confidence", "ECE of the forecast"), rows)


def _budgets(console: Any, found: Evaluation) -> None:
    rows = [
        (usd_per_thousand(b.budget), usd_per_thousand(b.spent), f"{100 * (b.spent / b.budget - 1):+.1f} %",
         "-" if b.quality is None else f"{b.quality:.4f}")
        for b in found.budgets
    ]  # fmt: skip
    if rows:
        title = f"Average budgets, kept by the engine with pacing over {found.budgets[0].queries} queries (first fold)"
        _table(console, title, ("budget", "spent", "off by", "quality"), rows)


def _table(console: Any, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE, show_header=any(heads))
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == EMAFUSION else None)
    console.print(table)


def _points(i: Interval) -> str:
    return f"{100 * i.estimate:+.2f} [{100 * i.low:+.2f}, {100 * i.high:+.2f}]"


def _interval(i: Interval, scale: float, unit: str) -> str:
    def said(x: float) -> str:
        return f"{scale * x:.2f}" if abs(x) < float("inf") else "never"

    return f"{said(i.estimate)}{unit if abs(i.estimate) < float('inf') else ''} [{said(i.low)}, {said(i.high)}]"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
