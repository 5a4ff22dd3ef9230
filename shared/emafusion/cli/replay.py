"""``emafusion replay``: a fitted router, or none yet, through the engine, over recorded responses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emafusion.cli.console import JSON, progress_bar, show, usd_per_thousand
from emafusion.cli.options import (
    PolicyOption,
    QualityFloor,
    UsdPerQuery,
    UsdValue,
    check_policy,
    encoder_of,
    objective_of,
)

if TYPE_CHECKING:
    from emafusion.assembly import PolicyName
    from emafusion.evaluation.replay import Replayed
    from emafusion.fusion import Fusion
    from emafusion.log import LoggedQuery

__all__ = ["replay"]


def replay(
    log: Annotated[Path, typer.Argument(help="Outcome log with recorded responses, .jsonl or .jsonl.gz.")],
    decisions: Annotated[Path, typer.Option(help="Where to write one decision a line.")],
    router: Annotated[
        Path | None, typer.Option(help="Router that `emafusion fit` wrote; by default none, as on the first day.")
    ] = None,
    usd_per_query: UsdPerQuery = None,
    usd_value: UsdValue = None,
    quality_floor: QualityFloor = None,
    policy: PolicyOption = "auto",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Run the engine over recorded responses, one query after the other.

    Scores and reference answers are not read for any decision; where the log has scores the summary counts them.
    """
    from emafusion.evaluation.replay import check_candidates
    from emafusion.evaluation.replay import replay as replayed
    from emafusion.log import read_log

    objective, chosen = objective_of(usd_per_query, usd_value, quality_floor), check_policy(policy)
    fusion = None if router is None else serving(router, chosen)
    with progress_bar() as report:
        report("reading the log", 0.0)
        entries = read_log(log)
        fusion = fusion or unfitted(entries, chosen)
        check_candidates(log, entries, fusion.pool.names)
        done: list[Replayed] = []
        with decisions.open("w", encoding="utf-8") as file:
            for one in replayed(entries, fusion, objective):
                file.write(json.dumps(one.as_dict(), ensure_ascii=False) + "\n")
                done.append(one)
                report("replaying", len(done) / len(entries))
    used = None if router is None else str(router)
    content = {"log": str(log), "router": used, "decisions": str(decisions), "objective": objective.as_dict()}
    content |= summary(done)
    show(content, as_json=as_json, tables=lambda console: _tables(console, content))


def serving(router: Path, policy: PolicyName = "auto") -> Fusion:
    """A fusion over the candidates of a saved router, at its prices, with no models behind them and no judges."""
    from emafusion.config import Candidate
    from emafusion.fusion import Fusion
    from emafusion.routers.artefact import load_router

    model = load_router(router)
    candidates = [Candidate(name, name=name, price=model.prices[name]) for name in model.candidates]
    return Fusion(candidates, router=model, judges=(), policy=policy, encoder=encoder_of(model, router))


def unfitted(entries: Sequence[LoggedQuery], policy: PolicyName = "auto") -> Fusion:
    """A fusion over the candidates of a log as it is before any outcome: of the log only the prices are known.

    Raises
    ------
    ConfigError
        If the policy is one that has to be fitted.
    """
    from emafusion.config import Candidate
    from emafusion.errors import ConfigError
    from emafusion.fusion import Fusion
    from emafusion.learning.table import infer_price, tabulate

    if policy.startswith("automix"):
        raise ConfigError(
            f"--policy {policy} is fitted from a log: give --router, as `emafusion fit --policy` wrote it"
        )
    table = tabulate(entries)
    candidates = [Candidate(name, name=name, price=infer_price(table, name)) for name in table.candidates]
    return Fusion(candidates, judges=(), policy=policy)


def summary(done: list[Replayed]) -> dict[str, Any]:
    """What a replay came to; quality only over the lines whose accepted answer has a score."""
    from emafusion.evaluation.metrics import brier_score, expected_calibration_error

    taken = [one.result.decision for one in done]
    answered = Counter(decision.answered_by for decision in taken)
    content: dict[str, Any] = {
        "queries": len(taken),
        "mean_cost_usd": sum(d.cost_usd for d in taken) / len(taken),
        "calls_per_query": sum(len(d.attempts) for d in taken) / len(taken),
        "mean_confidence": sum(d.confidence for d in taken) / len(taken),
        "share": {name: count / len(taken) for name, count in answered.most_common()},
        "warnings": sum(bool(d.warnings) for d in taken),
        "scored": sum(one.score is not None for one in done),
    }
    scored = [(one.result.decision.confidence, one.score) for one in done if one.score is not None]
    if scored:
        confidence, score = zip(*scored)
        content["accuracy"] = sum(score) / len(score)
        content["ece"] = expected_calibration_error(confidence, score)
        content["brier"] = brier_score(confidence, score)
    return content


def _tables(console: Any, content: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(title=f"Replay of {content['queries']} queries", title_justify="left", show_header=False)
    table.add_row("USD per 1,000 queries", usd_per_thousand(content["mean_cost_usd"]))
    table.add_row("calls a query", f"{content['calls_per_query']:.3f}")
    table.add_row("mean confidence", f"{content['mean_confidence']:.4f}")
    if content["scored"]:
        table.add_row(f"quality ({content['scored']} scored)", f"{content['accuracy']:.4f}")
        table.add_row("calibration error of the confidence (ECE)", f"{content['ece']:.4f}")
    if content["warnings"]:
        table.add_row("decisions with warnings", str(content["warnings"]))
    for name, share in content["share"].items():
        table.add_row(f"answered by {name}", f"{100 * share:.1f} %")
    console.print(table)
    console.print(f"Decisions are in {content['decisions']}.")
