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
    _peers(console, found)
    _headline(console, found)
    _own_cost(console, found)
    _calibration(console, found)
    _judges(console, found)
    _budgets(console, found)
    _floors(console, found)


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


def _peers(console: Any, found: Evaluation) -> None:
    def said(number: float | None, digits: int, unit: str = "") -> str:
        return "-" if number is None else f"{number:.{digits}f}{unit}"

    rows = []
    for name, p in found.comparison.peers.items():
        thresholds = (said(None if x is None else 100 * x, 1, " %") for x in (p.cpt_50, p.cpt_80))
        gains = (said(p.perf_gain, 1, " %"), said(p.cost_save, 1, " %"))
        rows.append((name, said(p.apgr, 3), *thresholds, *gains, said(p.arena, 4), said(p.regret_share, 4)))
    heads = ("method", "APGR", "CPT(50 %)", "CPT(80 %)", "PerfGain", "CostSave", "RouterArena", "regret, of the value")
    _table(console, "Under the metrics of other papers (the report explains them, and has more)", heads, rows)


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
    for name, before in c.forecast.items():
        own = c.accepted.get(name)
        after = ("0", "-", "-") if own is None else (str(own.answers), f"{own.ece:.4f}", f"{own.brier:.4f}")
        rows.append((name, *after, f"{before.ece:.4f}", f"{before.brier:.4f}"))
    title = f"Calibration: ECE {c.ece:.4f} (worst operating point {c.worst_point:.4f}), Brier {c.brier:.4f}"
    heads = ("candidate", "answers accepted", "ECE of the confidence", "Brier", "ECE of the forecast", "Brier")
    _table(console, title, heads, rows)


def _judges(console: Any, found: Evaluation) -> None:
    rows = [
        (
            row.judge,
            str(row.answers),
            "-" if row.auroc is None else f"{row.auroc:.3f}",
            f"{row.ece:.4f}",
            "-" if row.cost is None else usd_per_thousand(row.cost),
            _points(row.worth),
        )
        for row in found.judges
    ]
    heads = ("judge", "answers", "AUROC", "ECE of the confidence", "cost", "marginal worth, points of area")
    _table(console, "Judges", heads, rows)
    console.print(
        "AUROC: of its own score, candidate by candidate. ECE: of the confidence by forecast, rules and it.\n"
        "marginal worth: what the area over log cost loses without it, with 95 % interval. Recorded verdicts count\n"
        "as free, for the log does not say what they cost; no other table uses them."
    )


def _budgets(console: Any, found: Evaluation) -> None:
    rows = [
        (
            usd_per_thousand(b.budget),
            usd_per_thousand(b.spent),
            f"{100 * b.off_by:+.1f} %",
            "-" if b.spread is None else f"{100 * b.spread:.1f} %",
            "-" if b.quality is None else f"{b.quality:.4f}",
        )
        for b in found.budgets
    ]
    if rows:
        first = found.budgets[0]
        title = f"Average budgets, {first.queries} queries (parts: {len(first.by_fold)})"
        _table(console, title, ("budget", "spent", "off by", "deviation over parts", "quality"), rows)


def _floors(console: Any, found: Evaluation) -> None:
    rows = [
        (
            f"{check.reference} ({check.role})",
            f"{check.floor:g}",
            *(f"{100 * x:.1f} %" for x in (check.held, check.held_on_half, check.fell_back, check.quality, check.cost)),
        )
        for check in found.floors
    ]
    if rows:
        title = f"Quality floors in {found.floors[0].calibrations} random calibrations (promised: held in 90 %)"
        heads = ("reference", "floor", "held", "on the other half", "fell back", "quality, of its", "cost, of its")
        _table(console, title, heads, rows)
        console.print(
            "held: judged by all held-out queries, calibrated on a small draw of them. on the other half: judged by\n"
            "a half that is a sample itself, calibrated on the first. fell back: the reference had to answer."
        )


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
