"""The whole of an evaluation: folds in processes, then comparison, calibration, budgets and breakdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emafusion.encoders.base import Encoder
from emafusion.errors import ConfigError, LogError
from emafusion.evaluation.breakdown import CategoryRow, Waste, by_category, most_for_nothing
from emafusion.evaluation.budgets import BUDGETS, Adherence, BudgetRun, adherence, pooled
from emafusion.evaluation.calibration import Calibration, calibration
from emafusion.evaluation.comparison import Comparison, compare
from emafusion.evaluation.floors import FloorCheck
from emafusion.evaluation.folds import (
    EMAFUSION,
    FoldResult,
    Split,
    run_split,
    split_rows,
)
from emafusion.evaluation.gathering import display_point, held_out_floors, joined, task_labels, winners
from emafusion.evaluation.judging import JudgeRow, by_judge, with_verifications
from emafusion.evaluation.points import Array, IntArray, Points
from emafusion.evaluation.processes import EncoderSource, in_processes, read_all_answers
from emafusion.learning import fitting
from emafusion.learning.table import Answers, LogTable, tabulate
from emafusion.learning.verifications import read_verifications
from emafusion.log import LoggedQuery
from emafusion.taxonomy.classifier import TaxonomyClassifier

__all__ = ["Evaluation", "evaluate"]

GRID = 12
"""Operating points of each method."""
SILENT: Callable[[str, float], None] = lambda stage, done: None  # noqa: E731


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes
    ----------
    queries, left_out
        Queries that were answered, and those without any scored outcome.
    display_point
        The operating point of tables by category: the one that the training parts expect to spend a quarter of the
        average candidate's cost.
    """

    queries: int
    left_out: int
    candidates: tuple[str, ...]
    method: str
    encoder: str
    seeds: tuple[int, ...]
    comparison: Comparison
    calibration: Calibration
    budgets: tuple[Adherence, ...]
    floors: tuple[FloorCheck, ...]
    judges: tuple[JudgeRow, ...]
    display_point: int
    categories: tuple[CategoryRow, ...]
    tasks: tuple[CategoryRow, ...]
    waste: tuple[Waste, ...]
    best_single: dict[str, int]
    """How many of the folds each candidate was the best single of."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "queries": self.queries,
            "left_out": self.left_out,
            "candidates": list(self.candidates),
            "method": self.method,
            "encoder": self.encoder,
            "seeds": list(self.seeds),
            "best_single": self.best_single,
            **self.comparison.as_dict(),
            "calibration": self.calibration.as_dict(),
            "budgets": [run.as_dict() for run in self.budgets],
            "floors": [check.as_dict() for check in self.floors],
            "judges": [row.as_dict() for row in self.judges],
            "display_point": self.display_point,
            "categories": [row.as_dict() for row in self.categories],
            "tasks": [row.as_dict() for row in self.tasks],
            "most_for_nothing": [row.as_dict() for row in self.waste],
        }


def evaluate(
    entries: Sequence[LoggedQuery],
    test: Sequence[LoggedQuery] | None = None,
    *,
    folds: int = 5,
    encoder: Encoder | None = None,
    seed: int = 0,
    seeds: int = 1,
    resamples: int = 1000,
    workers: int = 1,
    budgets: Sequence[float] = BUDGETS,
    floors: int = 0,
    ablate: bool = False,
    policy: str = "cascade",
    progress: Callable[[str, float], None] = SILENT,
) -> Evaluation:
    """Compare EMAFusion with its baselines.

    Parameters
    ----------
    entries, test
        Fit on ``entries`` and answer ``test``; without ``test``, cross-validate on ``entries``.
    folds, seed, seeds
        Folds, and the seeds of their splits: ``seed .. seed + seeds - 1``. Scores and costs of a query are averaged
        over the seeds; calibration, budgets, floors and breakdown are those of the first.
    workers
        Processes. With more than one, a script must guard its entry with ``if __name__ == "__main__"``.
    budgets
        USD a query that the engine is asked to keep on the test part of every fold.
    floors
        Calibrations with which quality floors are checked, see :mod:`emafusion.evaluation.floors`; 0 for none.
    ablate
        Also play EMAFusion with one part taken out at a time (:mod:`emafusion.evaluation.ablations`).
    policy
        That EMAFusion is served by: "cascade", "automix" or "automix-threshold". Floors are checked for the cascade.

    Raises
    ------
    ConfigError
        If ``folds``, ``seeds``, ``resamples`` or ``floors`` make no sense for the log.
    LogError
        If too few queries have scores.
    """
    _check(entries, folds, seeds, resamples, floors, cross_validated=test is None)
    if encoder is None:
        from emafusion.encoders import default_encoder

        encoder = default_encoder()
    everything = [*entries, *(test or ())]
    table = tabulate(everything, sorted({name for entry in entries for name in entry.outcomes}))
    verified = read_verifications(everything, table.candidates)
    table = with_verifications(table, None if np.isnan(verified.share).all() else verified.share)
    answers = read_all_answers(
        everything, table, encoder, workers=workers, progress=lambda done: progress("reading answers", 0.15 * done)
    )
    progress("encoding", 0.15)
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    classifier = TaxonomyClassifier(encoder=encoder)
    labels = classifier.categories(table.texts, vectors)
    values = _values(table)
    source = EncoderSource.of(encoder)
    plan = _plan(len(entries), len(everything), folds, range(seed, seed + seeds))
    # As many values as a fitted curve holds, over the same range.
    grid = np.geomspace(values[0], values[-1], fitting.GRID) if floors else None
    splits = [
        Split(
            *(table, answers, vectors, labels, source, tr, te, values, s, verified),
            floor_values=grid if s == seed else None,
            ablate=ablate,
            judged=s == seed,
            policy=policy,
        )
        for s, tr, te in plan
    ]
    results: list[FoldResult] = in_processes(
        run_split, splits, workers, lambda done: progress("fitting and answering folds", 0.16 + 0.54 * done)
    )
    first = [result for (s, _, _), result in zip(plan, results) if s == seed]
    jobs = [BudgetRun(r.model, source, [everything[i] for i in r.rows], usd) for usd in budgets for r in first]
    runs = in_processes(adherence, jobs, workers, lambda done: progress("keeping budgets", 0.7 + 0.24 * done))
    kept = [pooled(runs[i : i + len(first)]) for i in range(0, len(runs), len(first))]
    progress("comparing", 0.94)
    return _gathered(
        everything, table, answers, labels, values, plan, results, kept, encoder, test is None, resamples, seed, floors
    )


def _check(
    entries: Sequence[LoggedQuery], folds: int, seeds: int, resamples: int, floors: int, *, cross_validated: bool
) -> None:
    if cross_validated and not 2 <= folds <= len(entries) // 2:
        raise ConfigError(f"--folds {folds}: give a number from 2 to half the {len(entries)} queries of the log")
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds}: give at least 1")
    if resamples < 100:
        raise ConfigError(f"resamples={resamples}: an interval needs at least 100")
    if floors and floors < 20:
        raise ConfigError(f"--floors {floors}: give 0 for no check, or at least 20 calibrations")
    scored = sum(any(o.score is not None for o in entry.outcomes.values()) for entry in entries)
    needed = 50 * folds // (folds - 1) + 1 if cross_validated else 50
    if scored < needed:
        raise LogError(f"the log has scores for {scored} queries: an evaluation needs at least {needed}")


def _values(table: LogTable) -> Array:
    """The grid of values of a good answer, from the candidates' mean costs alone."""
    known = table.asked & ~np.isnan(table.cost)
    mean = np.where(known, table.cost, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    mean = mean[known.any(0) & (mean > 0)]
    if not len(mean):
        raise LogError("no candidate of the log costs anything: there is no trade-off to evaluate")
    return np.geomspace(2.0 * mean.min(), 200.0 * mean.max(), GRID)


def _plan(known: int, n: int, folds: int, seeds: Sequence[int]) -> list[tuple[int, IntArray, IntArray]]:
    """(seed, training rows, test rows) of each split."""
    if n > known:
        return [(s, np.arange(known), np.arange(known, n)) for s in seeds]
    return [(s, train, test) for s in seeds for train, test in split_rows(n, folds, s)]


def _gathered(
    entries: Sequence[LoggedQuery],
    table: LogTable,
    answers: Answers,
    labels: Array,
    values: Array,
    plan: Sequence[tuple[int, IntArray, IntArray]],
    results: Sequence[FoldResult],
    budgets: Sequence[Adherence],
    encoder: Encoder,
    cross_validated: bool,
    resamples: int,
    seed: int,
    floors: int,
) -> Evaluation:
    seeds = sorted({s for s, _, _ in plan})
    runs = [joined([r for (s, _, _), r in zip(plan, results) if s == one], len(table)) for one in seeds]
    rows = runs[0][0]
    points = {name: Points.mean([run[1][name] for run in runs]) for name in runs[0][1]}
    first, forecast = runs[0][1], runs[0][2]
    score = np.where(table.asked, table.score, np.nan)[rows]
    known = ~np.isnan(score)
    cost = np.where(known, table.cost[rows], np.nan)
    mean = np.array([np.nanmean(c) for c in cost.T if (~np.isnan(c)).any()])
    comparison = compare(points, values, mean, resamples=resamples, seed=seed)
    point = display_point([r.model.curve for r in results], values, comparison.average / 4)
    mine, single, best = first[EMAFUSION], first["best single"], first["oracle"]
    kept = [entries[i] for i in rows]
    tasks = [str(entry.task) for entry in kept if entry.task]
    return Evaluation(
        queries=len(rows),
        left_out=len(set(np.concatenate([te for _, _, te in plan]).tolist())) - len(rows),
        candidates=table.candidates,
        method=f"{sum(s == seeds[0] for s, _, _ in plan)}-fold cross-validation"
        if cross_validated
        else "held-out test log",
        encoder=encoder.identity,
        seeds=tuple(seeds),
        comparison=comparison,
        calibration=calibration(mine, forecast, score, table.candidates),
        budgets=tuple(budgets),
        floors=tuple(held_out_floors(results, rows, values, score, cost, table.candidates, floors, seed)),
        judges=tuple(
            by_judge([r.judges for r in results if r.judges is not None], comparison.cheapest, comparison.dearest, seed)
        ),
        display_point=point,
        categories=tuple(by_category(task_labels(labels[rows]), mine, single, best, point)),
        tasks=tuple(by_category([str(e.task) for e in kept], mine, single, best, point)) if tasks else (),
        waste=tuple(most_for_nothing(kept, table.candidates, mine, point, score, cost)),
        best_single=winners(table, plan),
    )
