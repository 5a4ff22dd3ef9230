"""``emafusion demo``: a chain and a query engine with one model and with EMAFusion, measured, explained and drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from emafusion.config import Objective, Pool
from emafusion.demo import chains
from emafusion.demo.letters import questions
from emafusion.demo.live import LiveServer, live_server, parse_price, record_live, unrecorded
from emafusion.demo.playback import Playback
from emafusion.demo.replay import Served, oracle, replay, serve
from emafusion.demo.report import Row, row_of
from emafusion.demo.screen import Screen
from emafusion.demo.workload import SHIPPED, Workload, load_workload
from emafusion.policies.trade_off import Curve
from emafusion.routers.artefact import RoutingModel

__all__ = ["demo"]

ENOUGH_TO_FIT = 50
FRONTIER = 7
LIVE_SERVED = 20


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the picture and the decisions.")] = Path(
        "demo-output"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object to stdout instead of tables.")] = False,
    log: Annotated[Path | None, typer.Option(help="Another recording, with its models.json beside it.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask real models now, instead of replaying a recording.")
    ] = False,
    base_url: Annotated[
        str | None, typer.Option(help="With --live: an OpenAI-compatible server; by default SmolLM2 on this machine.")
    ] = None,
    models: Annotated[str | None, typer.Option(help="With --base-url: names of its models, comma-separated.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="OPENAI_API_KEY", show_envvar=False, help="With --base-url: its key.")
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(help="name=input,output in USD per million tokens; may be given again.")
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            min=4, help="With --live: prompts to ask every model first, half of them to fit on [120; SmolLM2 20]."
        ),
    ] = None,
) -> None:
    """Show a chain with one model and with EMAFusion, on real answers: quality, cost, latency, and three decisions."""
    screen = Screen(silent=as_json)
    if live:
        given = dict(parse_price(p) for p in price or ())
        with live_server(base_url, models, api_key) as server:
            first = queries or (120 if base_url else 20)
            screen.say(f"Asking {', '.join(server.models)} at {server.base_url} about {first} prompts each.")
            workload = record_live(server, given, first, output, progress=not as_json)
            content = _show(screen, workload, output, server)
    else:
        content = _show(screen, load_workload(log or SHIPPED), output, None)
    if as_json:
        typer.echo(json.dumps(content, ensure_ascii=False, indent=2))


def _show(screen: Screen, workload: Workload, output: Path, server: LiveServer | None) -> dict[str, Any]:
    """The whole demo on one workload; returns it as JSON-able content."""
    reference = Pool(workload.candidates()).dearest
    screen.heading("EMAFusion, on real answers")
    screen.say(f"These are {workload.origin}.")
    if workload.caution:
        screen.say(workload.caution, style="bold")
    screen.say(f"{len(workload.fit)} prompts to fit the router on, {len(workload.test)} others to measure it on.")
    if len(workload.names) == 1:
        screen.say("There is one model, so nothing to choose between: EMAFusion only adds its checks and a confidence.")
    router = _fit(screen, workload)
    content: dict[str, Any] = {"origin": workload.origin, "live": server is not None, "reference": reference}
    with Playback(workload.by_prompt, server.client() if server else None, workload.prices) as playback:
        content["langchain"] = _langchain(screen, workload, playback, router, reference, server is not None)
        content["llamaindex"] = _llamaindex(screen, workload, playback, router, reference, server is not None)
    rows, runs = _rows(screen, workload, router, reference)
    screen.heading("Quality, cost, latency")
    screen.table(rows, reference)
    _read(screen, rows, reference)
    content["rows"] = [row.as_dict() for row in rows]
    _explain(screen, runs)
    content["files"] = [str(p) for p in _write(screen, workload, router, rows, runs[0][1], output)]
    return content


def _fit(screen: Screen, workload: Workload) -> RoutingModel | None:
    """A router fitted on the first half; None where that is too small."""
    from emafusion.learning.fitting import fit_router

    if len(workload.names) == 1 or len(workload.fit) < ENOUGH_TO_FIT:
        if len(workload.names) > 1:
            screen.say(f"Fitting needs {ENOUGH_TO_FIT} prompts: served unfitted, by the shipped prior and the checks.")
        return None
    with screen.bar("fitting a router", 1.0) as advance:
        entries = [entry.model_dump() for entry in workload.fit]
        pool = Pool(workload.candidates())
        model, _ = fit_router(entries, pool=pool, progress=lambda stage, done: advance(to=done, note=stage))
    return model


# -- the two applications ----------------------------------------------------------------------------------------


def _langchain(
    screen: Screen, workload: Workload, playback: Playback, router: RoutingModel | None, reference: str, live: bool
) -> dict[str, Any]:
    screen.heading("A LangChain chain: prompt | model | StrOutputParser()")
    if how := chains.langchain_missing():
        screen.say(f"Skipped: it needs {how}", style="yellow")
        return {"skipped": how}
    prompts = [p.prompt for p in unrecorded(workload, LIVE_SERVED)] if live else [str(e.prompt) for e in workload.test]
    with screen.bar("LangChain chain", 2 * len(prompts)) as advance:
        judges = None if live else ()
        runs = chains.run_langchain(workload, prompts, playback, router, reference, judges, advance)
    screen.chain(
        f'llm = ChatOpenAI(model="{reference}", ...)',
        f"llm = ChatEMAFusion([ChatOpenAI(model=name, ...) for name in {list(workload.names)}], "
        f"objective=Objective(quality_floor={chains.SHOWN_FLOOR}))",
        runs,
    )
    return {"before": runs[0].as_dict(), "after": runs[1].as_dict()}


def _llamaindex(
    screen: Screen, workload: Workload, playback: Playback, router: RoutingModel | None, reference: str, live: bool
) -> dict[str, Any]:
    screen.heading("A LlamaIndex query engine over 48 letters, invoices and notices")
    if how := chains.llamaindex_missing():
        screen.say(f"Skipped: it needs {how}", style="yellow")
        return {"skipped": how}
    asked = [x for x in questions() if live or x.prompt.prompt in workload.by_prompt]
    if not asked:
        screen.say("Skipped: the recording has none of its questions.", style="yellow")
        return {"skipped": "the recording has none of its questions"}
    with screen.bar("LlamaIndex query engine", 2 * len(asked)) as advance:
        judges = None if live else ()
        runs = chains.run_llamaindex(workload, asked, playback, router, reference, judges, advance)
    screen.chain(
        f'engine = index.as_query_engine(llm=OpenAILike(model="{reference}", ...))',
        "engine = index.as_query_engine(llm=EMAFusion([OpenAILike(model=name, ...) for name in ...], objective=...))",
        runs,
    )
    screen.say(f"{runs[0].n} questions are too few to compare quality by: this shows that the engine keeps working.")
    return {"before": runs[0].as_dict(), "after": runs[1].as_dict()}


# -- the table ---------------------------------------------------------------------------------------------------


def budgets(workload: Workload) -> tuple[float, float]:
    """Two average budgets in USD a query, a third and two thirds of the way (in log) up to the dearest candidate."""
    low, high = (math.log(workload.mean_cost(n)) for n in (workload.names[0], workload.names[-1]))
    return math.exp(low + (high - low) / 3), math.exp(low + 2 * (high - low) / 3)


def _rows(
    screen: Screen, workload: Workload, router: RoutingModel | None, reference: str
) -> tuple[list[Row], list[tuple[str, list[Served]]]]:
    """The table, and what EMAFusion did by each objective, the default one first."""
    base = serve(workload.test, lambda _: reference)
    rows = [row_of(n, "candidate", serve(workload.test, lambda _, n=n: n), base) for n in workload.names]  # type: ignore[misc]
    objectives = [(f"EMAFusion, quality floor {f:g}", Objective(quality_floor=f)) for f in (0.99, 0.9)]
    if len(workload.names) > 1:
        for usd in budgets(workload):
            objectives.append((f"EMAFusion, {1000 * usd:.4f} USD per 1,000", Objective(usd_per_query=usd)))
    runs: list[tuple[str, list[Served]]] = []
    with screen.bar("replaying the test prompts", len(objectives) * len(workload.test)) as advance:
        for title, objective in objectives:
            served = replay(workload, router, objective, advance)
            rows.append(row_of(title, "EMAFusion", served, base))
            runs.append((title, served))
    rows.append(row_of("oracle", "oracle", serve(workload.test, oracle), base))
    return rows, runs


def _read(screen: Screen, rows: Sequence[Row], reference: str) -> None:
    """The table's main line in words."""
    base = next(row for row in rows if row.name == reference)
    if base.usd_per_1000 <= 0:
        return
    for mine in (row for row in rows if row.kind == "EMAFusion"):
        share = 1.0 - mine.usd_per_1000 / base.usd_per_1000
        cost = f"{share:.0%} less" if share >= 0.005 else f"{-share:.0%} more" if share <= -0.005 else "the same cost"
        noise = " (within noise)" if abs(mine.quality_gap) <= 2 * mine.quality_gap_se else ""
        screen.say(f"{mine.name}: {mine.quality_gap:+.3f}{noise} against {reference}, for {cost}.")
    screen.say(
        f"A floor is served by {reference} alone where so few prompts cannot show that anything cheaper keeps it; "
        "more outcomes in the log certify more."
    )


def _explain(screen: Screen, runs: Sequence[tuple[str, list[Served]]]) -> None:
    """Three decisions in words: one that saved, one that took doubt, one that was wrong."""
    screen.heading("Three decisions, in words")
    decided = [(title, s, s.decision) for title, served in runs for s in served if s.decision is not None]
    saved = [x for x in decided if x[1].score >= 1 and x[2].saved_usd > 0]
    several = [x for x in decided if len(x[2].attempts) > 1]
    wrong = [x for x in decided if x[1].score <= 0]
    told: set[str] = set()
    for title, pool, key in (
        ("A cheaper answer that was enough", saved or decided, lambda d: d.saved_usd),
        ("The most calls", several, lambda d: (len(d.attempts), d.confidence)),
        ("The least sure", decided, lambda d: -d.confidence),
        ("Wrong, and the surest of it", wrong, lambda d: d.confidence),
    ):
        fresh = [x for x in pool if x[1].entry.id not in told]
        if fresh and len(told) < 3 and not (several and title == "The least sure"):
            objective, chosen, _ = max(fresh, key=lambda x: key(x[2]))
            told.add(chosen.entry.id)
            screen.decision(f"{title} ({objective})", chosen)


# -- files -------------------------------------------------------------------------------------------------------


def _write(
    screen: Screen,
    workload: Workload,
    router: RoutingModel | None,
    rows: Sequence[Row],
    by_default: Sequence[Served],
    output: Path,
) -> list[Path]:
    """The decisions as JSON lines, and the picture where matplotlib is installed."""
    output.mkdir(parents=True, exist_ok=True)
    paths = [output / "decisions.jsonl"]
    with paths[0].open("w", encoding="utf-8") as file:
        for s in by_default:
            assert s.decision is not None
            line = {"prompt_id": s.entry.id, "score": s.score, **s.decision.as_dict()}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    screen.heading("Files")
    try:
        import matplotlib  # noqa: F401

        from emafusion.demo.picture import draw
    except ModuleNotFoundError:
        screen.say("No picture: it needs pip install 'emafusion[report]'", style="yellow")
    else:
        frontier = _frontier(screen, workload, router) if len(workload.names) > 1 else []
        paths += draw(rows, frontier, workload.origin, output)
    for path in paths:
        screen.say(str(path))
    return paths


def _frontier(screen: Screen, workload: Workload, router: RoutingModel | None) -> list[Row]:
    """EMAFusion over what a right answer may be worth, from the price of a cheap call to far above a dear one."""
    curve: Curve | None = router.curve if router else None
    low, high = (curve.value[0], curve.value[-1]) if curve else (1e-6, 1e-2)
    values = [low * (high / low) ** (i / (FRONTIER - 1)) for i in range(FRONTIER)]
    out = []
    with screen.bar("drawing the frontier", FRONTIER * len(workload.test)) as advance:
        for value in values:
            served = replay(workload, router, Objective(usd_value=value), advance)
            out.append(row_of(f"{value:.2g} USD", "EMAFusion", served, served))
    return sorted(out, key=lambda row: row.usd_per_1000)
