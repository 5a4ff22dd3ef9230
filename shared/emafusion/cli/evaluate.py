"""``emafusion evaluate``: EMAFusion against its baselines, out of fold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emafusion.cli.console import JSON, progress_bar, show
from emafusion.cli.options import check_policy, open_encoder

if TYPE_CHECKING:
    from emafusion.evaluation.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    log: Annotated[Path, typer.Argument(help="Outcome log with scores, .jsonl or .jsonl.gz.")],
    test: Annotated[Path | None, typer.Option(help="Fit on all of LOG, and answer this log instead.")] = None,
    folds: Annotated[int, typer.Option(help="Folds of the cross-validation.")] = 5,
    report: Annotated[Path | None, typer.Option(help="Write a report with pictures, as one HTML file.")] = None,
    encoder: Annotated[str, typer.Option(help="default, hashing, hashing-DIM, or the path of a table.")] = "default",
    seed: Annotated[int, typer.Option(help="Seed of splits and of all else that is drawn at random.")] = 0,
    seeds: Annotated[int, typer.Option(help="Splits with so many seeds, averaged query by query.")] = 1,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples for the intervals.")] = 1000,
    floors: Annotated[
        int, typer.Option(metavar="N", help="Check quality floors in so many random calibrations, e.g. 200; 0: do not.")
    ] = 0,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also play EMAFusion with one part taken out at a time.")
    ] = False,
    policy: Annotated[
        str, typer.Option(help="What EMAFusion is served by: cascade, automix (its POMDP) or automix-threshold.")
    ] = "cascade",
    workers: Annotated[int, typer.Option(help="Processes; 0 takes as many as there are cores, at most 2.")] = 0,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Compare EMAFusion with single models, routers, cascades and the oracle, with intervals."""
    from emafusion.errors import ConfigError
    from emafusion.evaluation.evaluation import evaluate as evaluated
    from emafusion.evaluation.replay import check_candidates
    from emafusion.log import read_log

    served_by = check_policy(policy, ("cascade", "automix", "automix-threshold"))
    if floors and served_by != "cascade":
        raise ConfigError(f"--floors is for the cascade: leave it out with --policy {policy}")
    if encoder == "tfidf":
        raise ConfigError("--encoder tfidf would be fitted on the test queries too: fit it apart, and give its file")
    if report is not None:
        from emafusion.evaluation.report import require_extra

        require_extra()
    with progress_bar() as bar:
        bar("reading the log", 0.0)
        entries = read_log(log)
        held_out = read_log(test) if test is not None else None
        if test is not None and held_out is not None:
            check_candidates(test, held_out, sorted({name for entry in entries for name in entry.outcomes}))
        found = evaluated(
            entries,
            held_out,
            folds=folds,
            encoder=open_encoder(encoder, (), seed),
            seed=seed,
            seeds=seeds,
            resamples=resamples,
            floors=floors,
            ablate=ablate,
            policy=served_by,
            workers=workers or min(2, os.cpu_count() or 1),
            progress=bar,
        )
        if report is not None:
            from emafusion.evaluation.report import write_report

            bar("drawing the report", 0.98)
            write_report(found, report, title=log.name)
    content = {"log": str(log), "test": str(test) if test else None, **found.as_dict()}
    show(content, as_json=as_json, tables=lambda console: _tables(console, found, report))


def _tables(console: Any, found: Evaluation, report: Path | None) -> None:
    from emafusion.cli.evaluation_tables import draw

    draw(console, found)
    if report is not None:
        console.print(f"The report is in {report}.")
