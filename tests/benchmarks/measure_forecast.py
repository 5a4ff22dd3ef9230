"""Measure the forecaster on an outcome log by outer cross-validation: quality of forecasts, frontier, timings.

    python tests/benchmarks/measure_forecast.py LOG.jsonl.gz [--folds 5] [--members forest,ridge,neighbours]

Only the text of a prompt is read for a forecast. The frontier is that of a router that asks nobody: it takes the
candidate with the largest p * V - forecast cost, over a grid of V, and pays the recorded cost.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.encoders import default_encoder
from emafusion.estimators.ensemble import MEMBERS
from emafusion.estimators.forecaster import Forecaster
from emafusion.estimators.forecasts import Forecasts
from emafusion.estimators.grouping import fold_of, groups
from emafusion.estimators.scales import calibration_error, log_losses, ranking_quality

Array = NDArray[np.float64]
VALUES = np.geomspace(1e-5, 3.0, 60)  # USD that a good answer is worth


def read_log(path: Path) -> tuple[list[str], list[str], dict[str, Array]]:
    """Return prompts, candidates and (n, m) tables of score, in_tok, out_tok and cost_usd, NaN where unknown."""
    packed = path.read_bytes()
    lines = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    candidates = sorted({name for row in rows for name in row["outcomes"]})
    tables = {
        field: np.array([[_number(row["outcomes"].get(c, {}).get(field)) for c in candidates] for row in rows])
        for field in ("score", "in_tok", "out_tok", "cost_usd")
    }
    return [_text(row["prompt"]) for row in rows], candidates, tables


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _text(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    return "\n".join(str(turn.get("content", "")) for turn in prompt if turn.get("role") == "user")


def prices(tables: dict[str, Array]) -> Array:
    """Return (2, m) USD per input and per output token: least squares over the log, never negative."""
    found = np.zeros((2, tables["score"].shape[1]))
    for j in range(found.shape[1]):
        tokens = np.stack([tables["in_tok"][:, j], tables["out_tok"][:, j]], axis=1)
        known = ~np.isnan(tokens).any(axis=1) & ~np.isnan(tables["cost_usd"][:, j])
        solved = np.linalg.lstsq(tokens[known], tables["cost_usd"][known, j], rcond=None)[0]
        found[:, j] = np.maximum(solved, 0.0)
    return found


def frontier(p: Array, cost: Array, tables: dict[str, Array]) -> list[tuple[float, float, float]]:
    """Return (value, mean score, USD per 1,000 queries) for each worth of a good answer."""
    score, paid = tables["score"], tables["cost_usd"]
    available = ~np.isnan(score) & ~np.isnan(paid)
    points = []
    for value in VALUES:
        pick = np.where(available, p * value - cost, -np.inf).argmax(axis=1)[:, None]
        mean = float(np.take_along_axis(score, pick, 1).mean())
        points.append((float(value), mean, 1000.0 * float(np.take_along_axis(paid, pick, 1).mean())))
    return points


def at_budget(points: list[tuple[float, float, float]], budget: float) -> float:
    """Interpolate the upper hull of a frontier at a cost: mixing two settings reaches every point between them."""
    hull: list[tuple[float, float]] = []
    for cost, mean in sorted((c, a) for _, a, c in points):
        if hull and mean <= hull[-1][1]:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], (cost, mean)):
            hull.pop()
        hull.append((cost, mean))
    costs, means = zip(*hull)
    return float(np.interp(budget, costs, means, left=float("nan")))


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / max(b[0] - a[0], 1e-12)


def outer(texts: list[str], tables: dict[str, Array], folds: int, members: list[str], seed: int) -> Forecasts:
    """Forecast every row by a forecaster fitted on the other folds."""
    embeddings = np.asarray(default_encoder().encode(texts))
    fold = fold_of(groups(texts), folds, seed=seed + 1)
    parts: list[Forecasts] = []
    order: list[NDArray[np.int64]] = []
    for k in range(folds):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        clock, cpu = time.perf_counter(), time.process_time()
        forecaster = Forecaster(members=members, seed=seed).fit(
            [texts[i] for i in train], embeddings[train], *(tables[f][train] for f in ("score", "in_tok", "out_tok"))
        )
        print(
            f"fold {k}: fit {time.perf_counter() - clock:.1f} s ({time.process_time() - cpu:.1f} s of CPU)", flush=True
        )
        parts.append(forecaster.predict([texts[i] for i in test], embeddings[test]))
        order.append(test)
        if k == 0:
            print(json.dumps(forecaster.report_, indent=None))
            _time_serving(forecaster, texts, embeddings)
    back = np.argsort(np.concatenate(order))
    names = ("p", "sd", "out_tok", "in_tok", "familiarity", "effective_n")
    return Forecasts(*(np.concatenate([getattr(part, name) for part in parts])[back] for name in names))


def _time_serving(forecaster: Forecaster, texts: list[str], embeddings: NDArray[Any]) -> None:
    singles = []
    for i in range(min(300, len(texts))):
        clock = time.perf_counter()
        forecaster.predict(texts[i : i + 1], embeddings[i : i + 1])
        singles.append(time.perf_counter() - clock)
    repeated = np.resize(np.arange(len(texts)), 10_000)
    many = [texts[i] for i in repeated]
    clock, cpu = time.perf_counter(), time.process_time()
    forecaster.predict(many, embeddings[repeated])
    size = sum(array.nbytes for array in forecaster.to_arrays()[1].values()) / 1e6
    print(
        f"one query: p50 {1e3 * np.median(singles):.2f} ms, p10 {1e3 * np.quantile(singles, 0.1):.2f} ms; 10,000: "
        f"{time.perf_counter() - clock:.2f} s ({time.process_time() - cpu:.2f} s of CPU); artefact {size:.1f} MB"
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--members", default=",".join(MEMBERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path)
    chosen = parser.parse_args()
    texts, candidates, tables = read_log(chosen.log)
    forecasts = outer(texts, tables, chosen.folds, chosen.members.split(","), chosen.seed)
    score = tables["score"]
    print(f"{len(texts)} queries, {len(candidates)} candidates, {chosen.folds} outer folds")
    auc, loss = np.nanmean(ranking_quality(forecasts.p, score)), np.nanmean(log_losses(forecasts.p, score))
    print(f"AUC {auc:.4f}, log loss {loss:.4f}, ECE {calibration_error(forecasts.p, score):.4f}")
    for name, forecast in (("out_tok", forecasts.out_tok), ("in_tok", forecasts.in_tok)):
        actual = tables[name]
        ratio = np.nansum(np.where(np.isnan(actual), np.nan, forecast)) / np.nansum(actual)
        print(
            f"{name}: sum of forecasts / actual {ratio:.3f}, mean |error| {np.nanmean(np.abs(forecast - actual)):.1f}"
        )
    usd_in, usd_out = prices(tables)
    points = frontier(forecasts.p, forecasts.in_tok * usd_in + forecasts.out_tok * usd_out, tables)
    complete = ~np.isnan(score).any(axis=0)
    best = int(np.nanargmax(np.where(complete, np.nanmean(score, axis=0), np.nan)))
    best_cost = 1000.0 * float(np.nanmean(tables["cost_usd"][:, best]))
    print(f"best single: {candidates[best]} {np.nanmean(score[:, best]):.4f} at {best_cost:.2f} USD per 1,000 queries")
    print("budget (share of the best single's cost) -> score:", end=" ")
    shares = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 5.0)
    print(", ".join(f"{share:g} {at_budget(points, share * best_cost):.4f}" for share in shares))
    top = max(points, key=lambda point: point[1])
    print(f"best point: {top[1]:.4f} at {top[2]:.2f} USD per 1,000 queries")
    if chosen.save:
        np.savez(chosen.save, p=forecasts.p, out_tok=forecasts.out_tok, in_tok=forecasts.in_tok, sd=forecasts.sd)


if __name__ == "__main__":
    main()
