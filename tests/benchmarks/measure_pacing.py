"""Measure how well the pacer keeps an average budget, over thousands of queries in many orders.

    EMAFUSION_DATA=FOLDER python tests/benchmarks/measure_pacing.py [--split report] [--seeds 10] [--queries 3000]
        [--under-way 0]

The log is halved: a router is fitted on one half, and the other half is what is asked, drawn with replacement
("shuffled"), or drawn and put in an order in which cost drifts: "rising" and "falling" by the length of the prompt, "by
task" one kind of task after the other. Split "develop" asks the one half, "report" the other.

What the policy does with a query is found beforehand, in lockstep, at a grid of values of a good answer, with all
candidates and with those that the pacer's allowance leaves; the pacer then runs through the queries one by one, as when
serving. "free" is the same world with the one value that would have spent the budget had it been known: what quality
the budget buys without pacing. "forced" is what an order makes anybody overspend who cannot see what comes: the most by
which the cheapest answers alone exceed the budget towards the end. "spare" is what it makes anybody leave: the most by
which the answers of the highest value stay below the budget towards the end.

With --under-way N, each query's cost becomes known only when N more have begun, as where N + 1 are served at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":  # run as a file, this folder is on the path and the root is not
    sys.path.insert(0, str(ROOT))

from emafusion.estimators.beliefs import IntArray  # noqa: E402
from emafusion.evaluation.baselines import Fold  # noqa: E402
from emafusion.learning.simulation import Recording, simulate  # noqa: E402
from emafusion.log import LoggedQuery, read_log  # noqa: E402
from emafusion.policies.pacing import Pacer  # noqa: E402
from emafusion.policies.trade_off import UNPACED_VALUE, Curve  # noqa: E402

Array = NDArray[np.float64]

BUDGETS = (1e-4, 3e-4, 1e-3, 3e-3)
ORDERS = ("shuffled", "rising", "falling", "by task")
VALUES = np.geomspace(3e-5, 10.0, 30)


@dataclass(frozen=True)
class World:
    """What would happen to n queries at each of v values, under each of b budgets as the allowance of a call.

    Attributes
    ----------
    cost, score : (v, b + 1, n)
        Of the accepted answers; at last without an allowance.
    length : (n,)
        Of the prompts, in tokens.
    task : (n,)
    """

    cost: Array
    score: Array
    length: Array
    task: NDArray[np.str_]
    curve: Curve
    budgets: tuple[float, ...]

    def at(self, i: int, value: float, allowance: float) -> tuple[float, float]:
        v = int(np.abs(np.log(VALUES) - np.log(value)).argmin())
        a = len(self.budgets) if np.isinf(allowance) else self.budgets.index(allowance)
        return float(self.cost[v, a, i]), float(self.score[v, a, i])


def halved(log: Path, split: str) -> tuple[Fold, IntArray, list[LoggedQuery]]:
    """Fit on one half: what is to be asked is the fold's test part, with its rows of all the queries."""
    from emafusion.encoders import default_encoder
    from emafusion.evaluation.folds import Split, fold_of, split_rows
    from emafusion.evaluation.processes import EncoderSource
    from emafusion.learning.table import read_answers, tabulate
    from emafusion.taxonomy.classifier import TaxonomyClassifier

    entries = list(read_log(log))
    encoder = default_encoder()
    table = tabulate(entries, sorted({name for entry in entries for name in entry.outcomes}))
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    labels = TaxonomyClassifier(encoder=encoder).categories(table.texts, vectors)
    answers = read_answers(entries, table, encoder)
    train, test = split_rows(len(entries), 2, seed=0)[0 if split == "develop" else 1]
    part = Split(table, answers, vectors, labels, EncoderSource.of(encoder), train, test, VALUES, seed=0)
    return *fold_of(part), entries


def build(log: Path, split: str, budgets: Sequence[float] = BUDGETS) -> World:
    """Fit on one half, and play the other."""
    fold, rows, entries = halved(log, split)
    curve = fold.model.curve
    assert curve is not None
    levels = [*budgets, np.inf]
    runs = [[simulate(_allowed(fold.test.recording, a), fold.model.belief, float(v)) for a in levels] for v in VALUES]
    return World(
        cost=np.array([[run.cost for run in row] for row in runs]),
        score=np.array([[run.score for run in row] for row in runs]),
        length=fold.test.table.prompt_tokens.astype(np.float64),
        task=np.array([entries[i].task or "" for i in rows]),
        curve=curve,
        budgets=tuple(budgets),
    )


def _allowed(recording: Recording, allowance: float) -> Recording:
    """The recording without calls that are expected to cost more; the cheapest of each query stays."""
    expected = np.where(recording.asked, recording.expected_cost, np.inf)
    cheapest = expected == expected.min(1, keepdims=True)
    return replace(recording, asked=recording.asked & ((expected <= allowance) | cheapest))


def ordered(world: World, order: str, queries: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many queries, in an order."""
    drawn = rng.integers(0, world.cost.shape[2], queries)
    if order == "shuffled":
        return drawn
    if order == "by task":
        kinds = rng.permutation(np.unique(world.task))
        place = {kind: i for i, kind in enumerate(kinds)}
        return drawn[np.argsort([place[t] for t in world.task[drawn]], kind="stable")]
    noise = np.exp(rng.normal(0.0, 0.3, queries))
    up = drawn[np.argsort(world.length[drawn] * noise, kind="stable")]
    return up if order == "rising" else up[::-1]


def paced(
    world: World, rows: Sequence[int], budget: float, *, fitted: bool, under_way: int = 0
) -> tuple[float, float, float]:
    """Run the pacer through the queries: spent over allowed less one, quality, the worst debt on the way (budgets)."""
    pacer = Pacer(budget)
    start = world.curve.value_for_budget(budget) if fitted else UNPACED_VALUE * budget
    spent = quality = worst = 0.0
    costs: list[float] = []
    for t, i in enumerate(rows, 1):
        cost, score = world.at(i, start * pacer.factor(), pacer.allowance())
        pacer.begin(t)
        costs.append(cost)
        if t > under_way:
            pacer.settle(costs[t - under_way - 1], t - under_way)
        spent, quality = spent + cost, quality + score
        worst = max(worst, spent / budget - t)
    return spent / budget / len(rows) - 1.0, quality / len(rows), worst


def unpaced(world: World, rows: Sequence[int], budget: float) -> float:
    """Quality at the value, interpolated, at which these very queries spend the budget."""
    cost, score = world.cost[:, -1, rows].mean(1), world.score[:, -1, rows].mean(1)
    return float(np.interp(np.log(budget), np.log(np.maximum.accumulate(cost)), score))


def forced(world: World, rows: Sequence[int], budget: float) -> float:
    """The most by which the last queries, however many, cost more than the budget even where the cheapest answers."""
    over = np.cumsum((world.cost[0, 0, rows] / budget - 1.0)[::-1])
    return float(max(over.max(), 0.0)) / len(rows)


def spare(world: World, rows: Sequence[int], budget: float) -> float:
    """The most by which the last queries, however many, cost less than the budget even at the highest value."""
    under = np.cumsum((1.0 - world.cost[-1, -1, rows] / budget)[::-1])
    return float(max(under.max(), 0.0)) / len(rows)


def measure(world: World, queries: int, seeds: int, under_way: int = 0) -> Iterator[dict[str, Any]]:
    for budget in world.budgets:
        for order in ORDERS:
            for fitted in (True, False):
                found = []
                for seed in range(seeds):
                    rows = ordered(world, order, queries, np.random.default_rng(seed))
                    asked = rows.tolist()
                    run = paced(world, asked, budget, fitted=fitted, under_way=under_way)
                    bounds = forced(world, asked, budget), spare(world, asked, budget)
                    found.append((*run, unpaced(world, asked, budget), *bounds))
                off, quality, debt, free, floor, ceiling = np.array(found).T
                yield {
                    "budget": budget,
                    "order": order,
                    "start": "curve" if fitted else "guess",
                    "off_median": float(np.median(off)),
                    "off_least": float(off.min()),
                    "off_most": float(off.max()),
                    "forced_most": float(floor.max()),
                    "unforced_most": float((off - floor).max()),
                    "spare_most": float(ceiling.max()),
                    "unforced_least": float((off + ceiling).min()),
                    "worst_debt": float(debt.max()),
                    "quality": float(quality.mean()),
                    "quality_free": float(free.mean()),
                }


def shown(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("USD/query", "order", "start", "off, median", "least", "most", "forced", "debt", "quality", "free")
    for r in rows:
        table.add_row(
            f"{r['budget']:g}",
            r["order"],
            r["start"],
            *(f"{r[k]:+.2%}" for k in ("off_median", "off_least", "off_most", "forced_most")),
            f"{r['worst_debt']:.1f}",
            f"{r['quality']:.4f}",
            f"{r['quality_free']:.4f}",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--log", type=Path, default=Path(os.environ.get("EMAFUSION_DATA", ".")) / "mix12_train.jsonl.gz"
    )
    parser.add_argument("--split", choices=("develop", "report"), default="report")
    parser.add_argument("--queries", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--under-way", type=int, default=0, help="queries that begin before the cost of one is known")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="USD a query, separated by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    world = build(options.log, options.split, [float(b) for b in options.budgets.split(",")])
    rows = list(measure(world, options.queries, options.seeds, options.under_way))
    if options.json:
        print(json.dumps(rows))
        return
    Console(width=130).print(shown(rows))
    for order in (*ORDERS, "all"):
        some = [r for r in rows if order in (r["order"], "all")]
        over, under = max(r["off_most"] for r in some), min(r["off_least"] for r in some)
        most, least = max(r["unforced_most"] for r in some), min(r["unforced_least"] for r in some)
        quality, free = (float(np.mean([r[k] for r in some])) for k in ("quality", "quality_free"))
        print(
            f"{order}, {len(some) * options.seeds} runs: overshoot {over:+.2%} ({most:+.2%} beyond what is forced), "
            f"undershoot {under:+.2%} ({least:+.2%} beyond what is spare), "
            f"median {np.median([r['off_median'] for r in some]):+.2%}, "
            f"quality {quality:.4f}, {quality - free:+.4f} of the free one"
        )


if __name__ == "__main__":
    main()
