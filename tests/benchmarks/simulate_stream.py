"""Learn while serving a recorded log, one candidate a query, and measure how fast and how well.

    python tests/benchmarks/simulate_stream.py --data LOG.jsonl.gz [--seeds 10] [--plot stream.svg] [--json]

The log is split in two halves of queries. A router is fitted on one (it is what the learner, which starts from the
shipped prior, is measured against) and the other is served in an order drawn anew for each seed; the learner was
developed on the first half (``--half 0``), and what is reported is the second (``--half 1``). What is told of an answer
is one verdict, right with a probability between 0.75 and 0.8 that nobody knows; 1 answer in 100 is audited, several
times as many at first. Utility is counted in good answers: the score less the cost in worths of a good answer. Regret
is counted against the router that was fitted offline. Intervals are 95 % over seeds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from emafusion.encoders import default_encoder
from emafusion.learning.online.drift import DriftWatch
from emafusion.learning.online.reduction import Reduction
from emafusion.learning.online.settings import Learning
from tests.benchmarks.stream_contestants import (
    Contestant,
    EpsilonGreedy,
    Fixed,
    LinUCB,
    Ours,
    ParetoBandit,
    World,
    serve,
)
from tests.benchmarks.stream_data import Stream, streams

Array = NDArray[np.float64]

VALUES = (0.001, 0.01, 0.1)
WINDOW, RECENT = 300, 50
GOAL = 0.95
COLLAPSED = 0.1
FAVOURED = ("gemini-1.5-pro", 0.3)
BEST, CHEAP = ("gpt-4o-2024-05-13", "claude-3-5-sonnet-20240620"), "gpt-4o-mini-2024-07-18"
PASSES = 3
"""How often the stream of the biased judge is served, each time in a new order: audits are few."""
ANCHORS = 20
"""Questions that a newcomer may be asked before it serves."""
DRAWN = 20
"""Queries between two points of the plot."""
EPSILON, LINUCB_ALPHA, PARETO_ALPHA = 0.03, 0.5, 0.3
"""Of the baselines: the best of each on the first half (``--tune``)."""

Make = Callable[[World], Contestant]


@cache
def reduction() -> Reduction:
    return Reduction.of(default_encoder())


def ours(world: World, anchors: int = 0, **given: Any) -> Ours:
    return Ours(reduction(), Learning(**{"audit": world.audit, **given}), world.seed, anchors=anchors)


def epsilon_greedy(world: World, epsilon: float = EPSILON) -> EpsilonGreedy:
    return EpsilonGreedy(len(world.stream.names), world.seed, epsilon)


def linucb(world: World, alpha: float = LINUCB_ALPHA) -> LinUCB:
    return LinUCB(reduction(), len(world.stream.names), alpha)


def pareto(world: World, alpha: float = PARETO_ALPHA) -> ParetoBandit:
    return ParetoBandit(reduction(), world.stream.prices, world.stream.names, alpha, world.seed)


LEARNERS: dict[str, Make] = {
    "EMAFusion": ours,
    "paretobandit": pareto,
    "LinUCB": linucb,
    "epsilon-greedy": epsilon_greedy,
}


def got(world: World, picks: NDArray[np.intp]) -> Array:
    """Utility of each query."""
    return np.asarray(world.utility[np.arange(len(picks)), picks])


# -- scenarios: (stream, value, seed) -> what was measured -----------------------------------------------------------


def stationary(stream: Stream, value: float, seed: int, learners: dict[str, Make] = LEARNERS) -> dict[str, Any]:
    """Nothing changes: how fast the fitted router is caught up with, and at what regret."""
    world = World.draw(stream, value, seed, 0.01, {})
    fitted, shipped = (got(world, serve(world, Fixed(fitted=f))) for f in (True, False))
    out: dict[str, Any] = {
        "unlearned": float(shipped.mean() / fitted.mean()),
        "regret": {"no learning": float((fitted - shipped).sum())},
        "curves": {"no learning": np.cumsum(fitted - shipped).tolist()},
    }
    for name, make in learners.items():
        contestant = make(world)
        utility = got(world, serve(world, contestant))
        out["regret"][name] = float((fitted - utility).sum())
        out["curves"][name] = np.cumsum(fitted - utility).tolist()
        if name == "EMAFusion":
            assert isinstance(contestant, Ours)
            mine, theirs = (np.convolve(u, np.full(WINDOW, 1 / WINDOW), "valid") for u in (utility, fitted))
            reached = np.flatnonzero(mine >= GOAL * theirs)
            out["reached"] = int(reached[0] + WINDOW) if len(reached) else None
            out["late"] = float(utility[-500:].mean() / fitted[-500:].mean())
            out["audited"] = contestant.audited / len(utility)
            out["false_alarms"] = len(contestant.alarms)
    return out


def collapse(stream: Stream, value: float, seed: int) -> dict[str, Any]:
    """Half-way the most used candidate's answers become bad: after how many queries it is left."""
    world = World.draw(stream, value, seed, 0.01, {})
    at = len(stream) // 2
    out: dict[str, Any] = {}
    learners: dict[str, Make] = {
        "EMAFusion": ours,
        "EMAFusion, drift off": partial(ours, drift=False),
        "paretobandit": pareto,
        "LinUCB": linucb,
    }
    for name, make in learners.items():
        before = serve(world, make(world))[at - WINDOW : at]
        j = int(np.bincount(before).argmax())
        picks = serve(world.changed(j, at, COLLAPSED), make(world))
        share = np.convolve(picks[at:] == j, np.full(RECENT, 1 / RECENT), "valid")
        left = np.flatnonzero(share <= 0.1)
        out[name] = {"share_before": float((before == j).mean()), "after": int(left[0] + RECENT) if len(left) else None}
    return out


def with_newcomer(stream: Stream) -> Stream:
    """The stream with a further candidate: right where either of the two best is, at half a cheap one's price.

    Nobody has rated it: before any answer it is what its price makes of it.
    """
    places = np.append(np.arange(len(stream.names)), stream.names.index(CHEAP))
    wider = stream.columns(places)
    wider.score[:, -1] = np.max([stream.score[:, stream.names.index(name)] for name in BEST], axis=0)
    right = np.where(stream.score[:, stream.names.index(BEST[0])] > 0.5, *(stream.names.index(name) for name in BEST))
    wider.label[:, -1] = stream.label[np.arange(len(stream)), right]
    wider.shipped[:, -1], wider.shipped_spread[:, -1] = stream.newcomer, stream.newcomer_spread
    for halved in (wider.cost, wider.shipped_cost, wider.fitted_cost):
        halved[:, -1] /= 2.0
    return Stream(**{**vars(wider), "names": (*stream.names, "newcomer")})


def newcomer(stream: Stream, value: float, seed: int) -> dict[str, Any]:
    """Half-way a better and cheaper candidate comes: after how many queries it serves most."""
    at = len(stream) // 2
    world = World.draw(with_newcomer(stream), value, seed, 0.01, {}).joined(at)
    j = len(world.stream.names) - 1
    out: dict[str, Any] = {}
    learners: dict[str, Make] = {
        "EMAFusion": ours,
        f"EMAFusion, {ANCHORS} anchors": partial(ours, anchors=ANCHORS),
        "paretobandit": pareto,
        "LinUCB": linucb,
    }
    for name, make in learners.items():
        picks = serve(world, make(world))
        share = np.convolve(picks[at:] == j, np.full(RECENT, 1 / RECENT), "valid")
        adopted = np.flatnonzero(share >= 0.5)
        out[name] = {
            "after": int(adopted[0] + RECENT) if len(adopted) else None,
            "share_after": float((picks[at + 150 :] == j).mean()),
        }
    return out


def biased(stream: Stream, value: float, seed: int) -> dict[str, Any]:
    """The judge likes one candidate better than it deserves: its share of the last pass, with audits and without."""
    name, by = FAVOURED
    orders = np.random.default_rng(seed)
    stream = stream.take(np.concatenate([orders.permutation(len(stream)) for _ in range(PASSES)]))
    j = stream.names.index(name)
    out: dict[str, Any] = {}
    for audit in (0.0, 0.02):
        for favour in (0.0, by):
            world = World.draw(stream, value, seed, audit, {name: favour})
            picks = serve(world, ours(world))
            fair = "biased" if favour else "fair"
            out[f"{fair}, {audit:.0%} audits"] = float((picks[-len(picks) // PASSES :] == j).mean())
    return out


def traffic(stream: Stream, value: float, seed: int) -> dict[str, Any]:
    """Queries that change half-way to the other side of their first coordinate, and such as do not: alarms."""
    features = np.array([reduction().features(v) for v in stream.vectors])
    mixed = features[np.random.default_rng(seed).permutation(len(features))]
    low = mixed[:, 1] < np.median(mixed[:, 1])
    watch, steady = DriftWatch(), DriftWatch()
    alarms = [i for i, row in enumerate(np.concatenate([mixed[low], mixed[~low]])) if watch.meet(row, float(i))]
    return {
        "false_alarms": sum(steady.meet(row, float(i)) is not None for i, row in enumerate(mixed)),
        "before": sum(i < low.sum() for i in alarms),
        "after": next((int(i - low.sum()) for i in alarms if i >= low.sum()), None),
    }


SCENARIOS: dict[str, Callable[[Stream, float, int], dict[str, Any]]] = {
    "stationary": stationary,
    "collapse": collapse,
    "newcomer": newcomer,
    "biased": biased,
    "traffic": traffic,
}


# -- running and showing ---------------------------------------------------------------------------------------------

_STREAM: list[Stream] = []


def _begin(stream: Stream) -> None:
    logging.disable(logging.WARNING)
    _STREAM[:] = [stream]


def _run(job: tuple[str, float, int]) -> tuple[tuple[str, float, int], dict[str, Any]]:
    scenario, value, seed = job
    return job, SCENARIOS[scenario](_STREAM[0], value, seed)


def run(stream: Stream, jobs: Sequence[tuple[str, float, int]], workers: int, console: Console) -> dict[Any, Any]:
    """Result of every job."""
    with get_context("spawn").Pool(workers, _begin, (stream,)) as pool:
        done: Iterable[Any] = pool.imap_unordered(_run, jobs)
        return dict(track(done, "serving", total=len(jobs), console=console, transient=True))


def interval(values: Sequence[float], digits: int = 3) -> str:
    """Mean and half the width of its 95 % interval over seeds."""
    from scipy.stats import t

    found = np.asarray(values, dtype=np.float64)
    half = t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.nan
    return f"{found.mean():.{digits}f} ± {half:.{digits}f}"


def waited(values: Sequence[int | None], within: int) -> str:
    """Median number of queries, and how many seeds stayed within the goal."""
    known = [np.inf if v is None else float(v) for v in values]
    met = sum(v <= within for v in known)
    return f"{np.median(known):.0f} (worst {max(known):.0f}; {met}/{len(known)} in time)"


def tables(results: dict[Any, Any], values: Sequence[float], seeds: Sequence[int]) -> list[Table]:
    def of(scenario: str, value: float) -> list[dict[str, Any]]:
        return [results[scenario, value, s] for s in seeds if (scenario, value, s) in results]

    shown = []
    table = Table(title="From the shipped prior, no labels: utility over that of the router fitted offline")
    for heading in (
        "a good answer's worth",
        "never learning",
        f"queries until {GOAL:.0%}",
        "last 500",
        "audited",
        "false alarms",
    ):
        table.add_column(heading, justify="right")
    for value in values:
        if rows := of("stationary", value):
            late, idle = interval([r["late"] for r in rows]), interval([r["unlearned"] for r in rows])
            reached = waited([r["reached"] for r in rows], 1500)
            audited = f"{np.mean([r['audited'] for r in rows]):.1%}"
            table.add_row(f"{value:g} USD", idle, reached, late, audited, str(sum(r["false_alarms"] for r in rows)))
    shown.append(table)

    table = Table(title="Regret against the router fitted offline, in good answers")
    table.add_column("a good answer's worth", justify="right")
    names = ["no learning", *LEARNERS]
    for name in names:
        table.add_column(name, justify="right")
    for value in values:
        if rows := of("stationary", value):
            table.add_row(f"{value:g} USD", *(interval([r["regret"][n] for r in rows], 1) for n in names))
    shown.append(table)

    for scenario, title, goal in (
        ("collapse", "The most used candidate collapses: queries until it serves at most 1 in 10", 150),
        (
            "newcomer",
            "A better and cheaper candidate comes: queries until it serves half, and its share from 150 queries on",
            150,
        ),
    ):
        table = Table(title=title)
        table.add_column("a good answer's worth", justify="right")
        first = next((r for v in values for r in of(scenario, v)), {})
        for name in first:
            table.add_column(name, justify="right")
        for value in values:
            if rows := of(scenario, value):
                cells = [waited([r[n]["after"] for r in rows], goal) for n in first]
                if scenario == "newcomer":
                    cells = [
                        f"{c}, then {np.mean([r[n]['share_after'] for r in rows]):.0%}" for c, n in zip(cells, first)
                    ]
                table.add_row(f"{value:g} USD", *cells)
        shown.append(table)

    table = Table(
        title=f"A judge that favours {FAVOURED[0]} by {FAVOURED[1]}: its share of the last of {PASSES} passes"
    )
    table.add_column("a good answer's worth", justify="right")
    first = next((r for v in values for r in of("biased", v)), {})
    for name in first:
        table.add_column(name, justify="right")
    for value in values:
        if rows := of("biased", value):
            table.add_row(f"{value:g} USD", *(interval([r[n] for r in rows]) for n in first))
    shown.append(table)

    if rows := [r for v in values for r in of("traffic", v)]:
        table = Table("queries until noticed", "false alarms before", "false alarms in steady traffic")
        table.title = f"The queries change half-way ({len(rows)} streams)"
        after = waited([r["after"] for r in rows], 150)
        table.add_row(after, str(sum(r["before"] for r in rows)), str(sum(r["false_alarms"] for r in rows)))
        shown.append(table)
    return [t for t in shown if t.row_count]


def plot(results: dict[Any, Any], values: Sequence[float], seeds: Sequence[int], path: Path) -> None:
    """Draw regret over time, one panel a value."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"svg.hashsalt": "emafusion", "svg.fonttype": "none"})
    figure, axes = pyplot.subplots(1, len(values), figsize=(4.2 * len(values), 3.6), squeeze=False)
    for axis, value in zip(axes[0], values):
        for name in ("no learning", *LEARNERS):
            curves = np.array([results["stationary", value, s]["curves"][name][::DRAWN] for s in seeds])
            at = DRAWN * np.arange(curves.shape[1])
            (line,) = axis.plot(at, curves.mean(0), label=name, linewidth=2.2 if name == "EMAFusion" else 1.2)
            axis.fill_between(at, *np.percentile(curves, (10, 90), axis=0), color=line.get_color(), alpha=0.12)
        axis.set_title(f"a good answer is worth {value:g} USD", fontsize=9)
        axis.set_xlabel("queries served")
        axis.axhline(0, color="grey", linewidth=0.6)
    axes[0, 0].set_ylabel("good answers behind the router fitted offline")
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def tune(stream: Stream, seeds: Sequence[int], console: Console) -> None:
    """Mean regret of the baselines over their one setting."""
    grids: dict[str, tuple[Callable[..., Contestant], str, tuple[float, ...]]] = {
        "epsilon-greedy": (epsilon_greedy, "epsilon", (0.03, 0.1, 0.2)),
        "LinUCB": (linucb, "alpha", (0.1, 0.3, 0.5, 1.0)),
        "paretobandit": (pareto, "alpha", (0.01, 0.1, 0.3, 1.0)),
    }
    for name, (make, setting, grid) in grids.items():
        for number in grid:
            worlds = [World.draw(stream, v, s, 0.01, {}) for v in VALUES for s in seeds]
            fitted = [got(w, serve(w, Fixed(fitted=True))) for w in worlds]
            regret = [(f - got(w, serve(w, make(w, **{setting: number})))).sum() for f, w in zip(fitted, worlds)]
            console.print(f"{name}, {setting} {number:g}: regret {np.mean(regret):.1f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="an outcome log with scores and costs")
    parser.add_argument("--half", type=int, choices=(0, 1), default=1, help="which half to serve")
    parser.add_argument("--unrated", action="store_true", help="as if no candidate were on a public leaderboard")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--values", type=float, nargs="+", default=list(VALUES), help="worths of a good answer, USD")
    parser.add_argument("--scenarios", nargs="+", choices=list(SCENARIOS), default=list(SCENARIOS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cache", type=Path, default=Path(".cache/streams"), help="where forecasts are kept")
    parser.add_argument("--plot", type=Path, help="write regret over time as an SVG")
    parser.add_argument("--json", action="store_true", help="write one JSON object to stdout")
    parser.add_argument("--tune", action="store_true", help="show the baselines' regret over their settings instead")
    options = parser.parse_args(arguments)
    progress = Console(stderr=True)
    stream = streams(options.data, options.cache, rated=not options.unrated, log=progress.print)[options.half]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    if options.tune:
        logging.disable(logging.WARNING)
        return tune(stream, seeds, Console())
    jobs = [(scenario, value, seed) for scenario in options.scenarios for value in options.values for seed in seeds]
    results = run(stream, jobs, options.workers, progress)
    if options.plot and "stationary" in options.scenarios:
        plot(results, options.values, seeds, options.plot)
    if options.json:
        kept = {
            f"{scenario} {value:g} {seed}": {k: v for k, v in found.items() if k != "curves"}
            for (scenario, value, seed), found in sorted(results.items())
        }
        json.dump(kept, sys.stdout, indent=1)
        return None
    console = Console() if Console().is_terminal else Console(width=150)
    for table in tables(results, options.values, list(seeds)):
        console.print(table)
    return None


if __name__ == "__main__":
    main()
