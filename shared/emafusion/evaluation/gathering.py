"""From the results of folds to one row a query: points, forecasts, floors, and what a table by category needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from emafusion.evaluation.floors import FloorCheck, check_floors
from emafusion.evaluation.folds import FoldResult
from emafusion.evaluation.points import Array, IntArray, Points
from emafusion.learning.table import LogTable
from emafusion.taxonomy.labels import Taxonomy

__all__ = ["display_point", "held_out_floors", "joined", "task_labels", "winners"]


def held_out_floors(
    results: Sequence[FoldResult],
    rows: IntArray,
    values: Array,
    score: Array,
    cost: Array,
    candidates: Sequence[str],
    calibrations: int,
    seed: int,
) -> list[FloorCheck]:
    """Quality floors over the queries that the first seed's folds hold out; none where they were not asked for."""
    if not calibrations:
        return []
    own = [(result, result.under_floors) for result in results if result.under_floors is not None]
    where = [np.searchsorted(rows, result.rows) for result, _ in own]
    mine = Points.join([points for _, points in own], where, len(rows))
    grid = np.geomspace(values[0], values[-1], len(mine))
    return check_floors(mine, grid, score, cost, candidates, calibrations=calibrations, seed=seed)


def joined(results: Sequence[FoldResult], n: int) -> tuple[IntArray, dict[str, Points], Array]:
    """Folds of one seed put together: the rows of the log that were answered, points by method, forecasts."""
    rows = np.sort(np.concatenate([r.rows for r in results]))
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    where = [place[r.rows] for r in results]
    points = {name: Points.join([r.points[name] for r in results], where, len(rows)) for name in results[0].points}
    forecast = np.zeros((len(rows), results[0].forecast.shape[1]))
    for mine, result in zip(where, results):
        forecast[mine] = result.forecast
    return rows, points, forecast


def display_point(curves: Sequence[Any], values: Array, budget: float) -> int:
    """The value nearest to what the training parts' curves say spends the budget."""
    wanted = np.median([np.log(curve.value_for_budget(budget)) for curve in curves if curve is not None])
    return int(np.abs(np.log(values) - wanted).argmin())


def task_labels(labels: Array) -> list[str]:
    """The likeliest task of each query, from its category probabilities."""
    taxonomy = Taxonomy.default()
    names = taxonomy.labels("task")
    by_task = labels.reshape(len(labels), len(names), -1).sum(2)
    return [names[i] for i in by_task.argmax(1)]


def winners(table: LogTable, plan: Sequence[tuple[int, IntArray, IntArray]]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for _, train, _ in plan:
        part = np.where(table.asked, table.score, np.nan)[train]
        known = ~np.isnan(part)
        mean = np.where(known, part, 0.0).sum(0) / np.maximum(known.sum(0), 1)
        found[table.candidates[int(np.where(known.mean(0) >= 0.2, mean, -1.0).argmax())]] += 1
    return dict(found.most_common())
