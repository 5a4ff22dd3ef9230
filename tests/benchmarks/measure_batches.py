"""Measure what assigning a whole batch is worth, against choosing greedily and against one model for all.

    EMAFUSION_DATA=FOLDER python tests/benchmarks/measure_batches.py [--split report] [--size 500] [--seeds 5]

A router is fitted on one half of the log; batches are drawn from the other. "expected" is what each way of assigning
promises by the forecast, "real" what the recorded answers then score, "spent" what they cost, over the budget.
"greedy" gives everybody the cheapest candidate, then makes the exchange that gains most for its price, again and again;
"one model" is the best by the forecast that can answer all within the budget.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":  # run as a file, this folder is on the path and the root is not
    sys.path.insert(0, str(ROOT))

from emafusion.policies.assignment import NOBODY, assign  # noqa: E402
from tests.benchmarks.measure_pacing import halved  # noqa: E402

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

BUDGETS = (1e-4, 3e-4, 1e-3, 3e-3)


def greedy(quality: Array, cost: Array, budget: float) -> IntArray:
    rows = np.arange(len(quality))
    chosen: IntArray = cost.argmin(1)
    while True:
        have, paid = quality[rows, chosen], cost[rows, chosen]
        gain, price = quality - have[:, None], cost - paid[:, None]
        fits = (gain > 1e-12) & (price <= budget - paid.sum())
        if not fits.any():
            return chosen
        i, j = np.unravel_index(int(np.where(fits, gain / np.maximum(price, 1e-12), -np.inf).argmax()), fits.shape)
        chosen[i] = j


def one_model(quality: Array, cost: Array, budget: float) -> IntArray:
    fits = cost.sum(0) <= budget
    j = int(np.where(fits, quality.mean(0), -np.inf).argmax()) if fits.any() else int(cost.sum(0).argmin())
    return np.full(len(quality), j)


WAYS = {"assigned": assign, "greedy": greedy, "one model": one_model}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--log", type=Path, default=Path(os.environ.get("EMAFUSION_DATA", ".")) / "mix12_train.jsonl.gz"
    )
    parser.add_argument("--split", choices=("develop", "report"), default="report")
    parser.add_argument("--size", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    recording = halved(options.log, options.split)[0].test.recording
    table = Table("USD/query", "way", "expected", "real", "spent / budget")
    for budget in BUDGETS:
        for name, way in WAYS.items():
            found = []
            for seed in range(options.seeds):
                part = recording.take(np.random.default_rng(seed).choice(len(recording), options.size, replace=False))
                quality, cost = part.p, np.where(part.asked, part.expected_cost, np.inf)
                chosen = way(quality, cost, budget * options.size)
                rows, picked = np.nonzero(chosen != NOBODY)[0], chosen[chosen != NOBODY]
                real, paid = part.score[rows, picked], part.cost[rows, picked]
                spent = paid.sum() / budget / options.size
                found.append((quality[rows, picked].sum() / len(part), np.nansum(real) / len(part), spent))
            expected, scored, share = np.array(found).mean(0)
            table.add_row(f"{budget:g}", name, f"{expected:.4f}", f"{scored:.4f}", f"{share:.3f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
