"""``emafusion fit``: from an outcome log to a router."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emafusion.cli.console import JSON, progress_bar, show, usd_per_thousand
from emafusion.cli.options import check_policy, encoder_beside, open_encoder

if TYPE_CHECKING:
    from emafusion.policies.automix import AutoMix, Kind

__all__ = ["fit"]


def fit(
    log: Annotated[Path, typer.Argument(help="Outcome log, .jsonl or .jsonl.gz.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write the router.")],
    encoder: Annotated[
        str, typer.Option(help="default, hashing, hashing-DIM, tfidf, or the path of a table.")
    ] = "default",
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn at random.")] = 0,
    policy: Annotated[
        str, typer.Option(help="cascade; or automix (its POMDP), automix-threshold: the router is then served by it.")
    ] = "cascade",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Fit a router from an outcome log."""
    import numpy as np

    from emafusion.encoders import TfidfLsaEncoder
    from emafusion.learning.automix_router import add_automix
    from emafusion.learning.fitting import fit_table
    from emafusion.learning.table import read_answers, tabulate
    from emafusion.learning.verifications import read_verifications
    from emafusion.log import read_log
    from emafusion.routers.artefact import save_router

    chosen_policy = check_policy(policy, ("cascade", "automix", "automix-threshold"))
    if not output.parent.is_dir():
        raise NotADirectoryError(20, "there is no such folder to write the router to", str(output.parent))
    with progress_bar() as report:
        report("reading the log", 0.0)
        entries = read_log(log)
        table = tabulate(entries)
        chosen = open_encoder(encoder, table.texts, seed)
        read = 0

        def tick(lines: int) -> None:
            nonlocal read
            read += lines
            report("reading answers", 0.25 * read / len(entries))

        answers = read_answers(entries, table, chosen, tick)
        vectors = np.asarray(chosen.encode(table.texts), dtype=np.float64)
        model, found = fit_table(
            table,
            answers,
            chosen,
            embeddings=vectors,
            seed=seed,
            progress=lambda stage, done: report(stage, 0.25 + 0.75 * done),
        )
        if chosen_policy != "cascade":
            kind: Kind = "threshold" if chosen_policy == "automix-threshold" else "pomdp"
            verified = read_verifications(entries, table.candidates)
            model = add_automix(model, table, answers, vectors, verified, kind=kind, seed=seed)
        save_router(model, output)
        if isinstance(chosen, TfidfLsaEncoder):
            chosen.save(encoder_beside(output))
    content = {"router": str(output), "encoder": model.encoder, "seed": seed, "policy": policy, **found.as_dict()}
    if model.automix is not None:
        content["automix"] = _automix(model.automix)
        content["curve"] = model.automix.curves[model.automix.kind].to_config()
    show(_plain(content), as_json=as_json, tables=lambda console: _tables(console, content))


def _automix(fitted: AutoMix) -> dict[str, Any]:
    """What AutoMix made of the log, for people."""
    chain = fitted.solvability
    return {
        "kind": fitted.kind,
        "candidates": list(chain.candidates),
        "observed": fitted.observed,
        "states": "combinations of good and bad" if chain.patterns else "the cheapest candidate whose answer is good",
        "prior": chain.prior.tolist(),
        "verification_usd": chain.verification_cost.tolist(),
        "curves": {kind: curve.to_config() for kind, curve in fitted.curves.items()},
    }


def _tables(console: Any, content: dict[str, Any]) -> None:
    from rich.table import Table

    curve = content["curve"]
    console.print(
        f"Fitted on {content['labelled']} of {content['queries']} queries, {len(content['candidates'])} candidates; "
        f"encoder {content['encoder']}"
    )
    alone = Table(title="Each candidate alone", title_justify="left")
    for name, justify in (("candidate", "left"), ("USD per 1,000 queries", "right"), ("quality", "right")):
        alone.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name, (cost, quality) in sorted(curve["alone"].items(), key=lambda item: item[1][0]):
        alone.add_row(name, usd_per_thousand(cost), f"{quality:.4f}")
    console.print(alone)
    if automix := content.get("automix"):
        by = "recorded verifications" if automix["observed"] == "verification" else "no verification in the log, so by"
        by += "" if automix["observed"] == "verification" else " each answer's own evidence and the forecast"
        console.print(f"AutoMix ({automix['kind']}) over {', '.join(automix['candidates'])}: {by}")
    points = Table(title="What the router does, out of fold", title_justify="left")
    for name in ("a good answer is worth (USD)", "USD per 1,000 queries", "quality"):
        points.add_column(name, justify="right")
    for value, cost, quality in zip(curve["value"], curve["cost"], curve["quality"]):
        points.add_row(f"{value:.3g}", usd_per_thousand(cost), f"{quality:.4f}")
    console.print(points)
    console.print(
        f"Saved to {content['router']}. Use it: emafusion replay LOG --router {content['router']} --decisions out.jsonl"
    )


def _plain(value: Any) -> Any:
    """JSON-able form: numbers that are none become null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))) else value
