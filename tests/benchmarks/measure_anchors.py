"""Place each candidate of a log as if it were new: from its price alone, from random queries, from anchors.

    python tests/benchmarks/measure_anchors.py LOG.jsonl.gz [--anchors 20] [--seeds 10]

Each candidate in turn is left out; the others' outcomes give the factors. Errors are on the queries that it was not
asked: of its mean quality, and the Brier score of its forecasts. Random queries are drawn ``--seeds`` times.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.online.anchors import Standings
from emafusion.learning.table import infer_price, tabulate
from emafusion.log import read_log

Array = NDArray[np.float64]


def errors(standings: Standings, rows: NDArray[np.intp], scores: Array, log_price: float) -> tuple[float, float]:
    """Absolute error of the mean quality, and Brier score, on the rows that were not asked."""
    rows = rows[~np.isnan(scores[rows])]
    rest = ~np.isnan(scores)
    rest[rows] = False
    p = standings.place(rows, scores[rows], log_price).p_good
    return abs(float(p[rest].mean() - scores[rest].mean())), float(((p - scores)[rest] ** 2).mean())


def measure(scores: Array, log_prices: Array, count: int, seeds: int, factors: int) -> dict[str, Array]:
    """Way of placing -> (m, 2) errors, candidate by candidate."""
    found: dict[str, list[tuple[float, float]]] = {"price alone": [], f"{count} random": [], f"{count} anchors": []}
    for j in range(scores.shape[1]):
        others = np.arange(scores.shape[1]) != j
        standings = Standings(factors=factors).fit(scores[:, others], log_prices[others])
        mine, price = scores[:, j], float(log_prices[j])
        asked = np.flatnonzero(~np.isnan(mine))
        draws = [np.random.default_rng(s).choice(asked, count, replace=False) for s in range(seeds)]
        random = np.mean([errors(standings, rows, mine, price) for rows in draws], axis=0)
        found["price alone"].append(errors(standings, asked[:0], mine, price))
        found[f"{count} random"].append((float(random[0]), float(random[1])))
        found[f"{count} anchors"].append(errors(standings, standings.anchors(count), mine, price))
    return {name: np.array(rows) for name, rows in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("log", type=Path)
    parser.add_argument("--anchors", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--factors", type=int, default=2)
    options = parser.parse_args(arguments)
    table = tabulate(read_log(options.log))
    prices = [infer_price(table, name) for name in table.candidates]
    log_prices = np.log([750 * p.input + 250 * p.output for p in prices])
    found = measure(table.score, log_prices, options.anchors, options.seeds, options.factors)
    print(f"{'':14s}{'error of mean quality':>24s}{'Brier score':>14s}")
    for name, rows in found.items():
        print(f"{name:14s}{rows[:, 0].mean():>24.3f}{rows[:, 1].mean():>14.4f}")
    (_, random), (_, anchors) = list(found.items())[1:]
    print(f"anchors beat random on {int((anchors[:, 1] < random[:, 1]).sum())} of {len(random)} candidates (Brier)")


if __name__ == "__main__":
    main()
