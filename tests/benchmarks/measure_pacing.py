"""Measure how well the pacer keeps an average budget, over thousands of queries in many orders.

    EMAFUSION_DATA=FOLDER python tests/benchmarks/measure_pacing.py [--split report] [--seeds 10] [--queries 3000]

The log is halved: a router is fitted on one half, and the other half is what is asked, drawn with replacement
("shuffled"), or drawn and put in an order in which cost drifts: "rising" and "falling" by the length of the prompt, "by
task" one kind of task after the other. Split "develop" asks the one half, "report" the other.

What the policy does with a query at a value of a good answer and under an allowance is found beforehand, in lockstep,
over a grid of both; the pacer then runs through the queries one by one, as when serving. "free" is the same world with
the one value that would have spent the budget had it been known: what quality the budget buys without pacing.
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

from emafusion.learning.simulation import Recording, simulate  # noqa: E402
from emafusion.policies.trade_off import UNPACED_VALUE, Curve, Pacer  # noqa: E402

Array = NDArray[np.float64]

BUDGETS = (1e-4, 3e-4, 1e-3, 3e-3)
ORDERS = ("shuffled", "rising", "falling", "by task")
VALUES = np.geomspace(3e-5, 10.0, 30)
ALLOWANCES = np.geomspace(5e-5, 5e-2, 10)


@dataclass(frozen=True)
class World:
    """What would happen to n queries at each of v values under each of a allowances.

    Attributes
    ----------
    cost, score : (v, a + 1, n)
        Of the accepted answers; the last allowance is none at all.
    length : (n,)
        Of the prompts, in tokens.
    task : (n,)
    """

    cost: Array
    score: Array
    length: Array
    task: NDArray[np.str_]
    curve: Curve

    def at(self, i: int, value: float, allowance: float) -> tuple[float, float]:
        v = int(np.abs(np.log(VALUES) - np.log(value)).argmin())
        a = int(np.searchsorted(ALLOWANCES, allowance, side="right")) - 1
        a = len(ALLOWANCES) if allowance >= ALLOWANCES[-1] else max(a, 0)
        return float(self.cost[v, a, i]), float(self.score[v, a, i])


def build(log: Path, split: str) -> World:
    """Fit on one half, and play the other."""
    from emafusion.encoders import default_encoder
    from emafusion.evaluation.folds import Split, fold_of, split_rows
    from emafusion.evaluation.processes import EncoderSource
    from emafusion.learning.table import read_answers, tabulate
    from emafusion.log import read_log
    from emafusion.taxonomy.classifier import TaxonomyClassifier

    entries = list(read_log(log))
    encoder = default_encoder()
    table = tabulate(entries, sorted({name for entry in entries for name in entry.outcomes}))
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    labels = TaxonomyClassifier(encoder=encoder).categories(table.texts, vectors)
    answers = read_answers(entries, table, encoder)
    train, test = split_rows(len(entries), 2, seed=0)[0 if split == "develop" else 1]
    part = Split(table, answers, vectors, labels, EncoderSource.of(encoder), train, test, VALUES, seed=0)
    fold, rows = fold_of(part)
    curve = fold.model.curve
    assert curve is not None
    levels = [*ALLOWANCES.tolist(), np.inf]
    runs = [[simulate(_allowed(fold.test.recording, a), fold.model.belief, float(v)) for a in levels] for v in VALUES]
    return World(
        cost=np.array([[run.cost for run in row] for row in runs]),
        score=np.array([[run.score for run in row] for row in runs]),
        length=table.prompt_tokens[rows].astype(np.float64),
        task=np.array([entries[i].task or "" for i in rows]),
        curve=curve,
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


def paced(world: World, rows: Sequence[int], budget: float, *, fitted: bool) -> tuple[float, float, float]:
    """Run the pacer through the queries: spent over allowed less one, quality, the worst debt on the way (budgets)."""
    pacer = Pacer(budget)
    start = world.curve.value_for_budget(budget) if fitted else UNPACED_VALUE * budget
    spent = quality = worst = 0.0
    for t, i in enumerate(rows, 1):
        cost, score = world.at(i, start * pacer.factor(), pacer.allowance())
        pacer.settle(cost)
        spent, quality = spent + cost, quality + score
        worst = max(worst, spent / budget - t)
    return spent / budget / len(rows) - 1.0, quality / len(rows), worst


def unpaced(world: World, rows: Sequence[int], budget: float) -> float:
    """Quality at the value, interpolated, at which these very queries spend the budget."""
    cost, score = world.cost[:, -1, rows].mean(1), world.score[:, -1, rows].mean(1)
    return float(np.interp(np.log(budget), np.log(np.maximum.accumulate(cost)), score))


def measure(world: World, budgets: Sequence[float], queries: int, seeds: int) -> Iterator[dict[str, Any]]:
    for budget in budgets:
        for order in ORDERS:
            for fitted in (True, False):
                found = []
                for seed in range(seeds):
                    rows = ordered(world, order, queries, np.random.default_rng(seed))
                    found.append((*paced(world, rows.tolist(), budget, fitted=fitted), unpaced(world, rows, budget)))
                off, quality, debt, free = np.array(found).T
                yield {
                    "budget": budget,
                    "order": order,
                    "start": "curve" if fitted else "guess",
                    "off_median": float(np.median(off)),
                    "off_least": float(off.min()),
                    "off_most": float(off.max()),
                    "worst_debt": float(debt.max()),
                    "quality": float(quality.mean()),
                    "quality_free": float(free.mean()),
                }


def shown(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("USD/query", "order", "start", "off, median", "least", "most", "worst debt", "quality", "free")
    for r in rows:
        table.add_row(
            f"{r['budget']:g}",
            r["order"],
            r["start"],
            *(f"{r[k]:+.2%}" for k in ("off_median", "off_least", "off_most")),
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
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="USD a query, separated by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    world = build(options.log, options.split)
    budgets = [float(b) for b in options.budgets.split(",")]
    rows = list(measure(world, budgets, options.queries, options.seeds))
    if options.json:
        print(json.dumps(rows))
        return
    Console(width=130).print(shown(rows))
    over = max(r["off_most"] for r in rows)
    under = min(r["off_least"] for r in rows)
    print(f"largest overshoot {over:+.2%}, largest undershoot {under:+.2%}, over {len(rows) * options.seeds} runs")


if __name__ == "__main__":
    main()
