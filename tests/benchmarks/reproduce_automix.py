"""Re-create AutoMix's comparison (arXiv 2310.12963): small and large model alone, a FrugalGPT-style threshold on a
learned score, AutoMix with a threshold and with a POMDP; frontier, IBC and delta-IBC.

    python tests/benchmarks/reproduce_automix.py                            # worlds with known observation noise
    python tests/benchmarks/reproduce_automix.py --log LOG --small A --large B   # a log with verifications

Where the published package `automix-llm` is installed (with pandas and scipy), its POMDP runs on the same tables. Every
method chooses its setting on the training half, once for each value of a good answer, and is measured on the other
half; mixing with either model alone is open to all. Means over several random halves, with standard errors.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from emafusion.evaluation.metrics import area_under_frontier, quality_at_cost
from emafusion.evaluation.peer_metrics import incremental_benefit, incremental_benefit_lift
from emafusion.learning.automix import automix_rules
from emafusion.learning.automix_walk import Verified, walk
from emafusion.policies.automix import Kind
from tests.learning.verified_log import simulated

Array: TypeAlias = NDArray[np.float64]
Points: TypeAlias = tuple[Array, Array]
"""Mean cost and mean quality at each value of a good answer."""
Halves: TypeAlias = tuple[Verified, Verified, Array, Array]
"""Training and test half, and the learned score of the small model's answers in each."""

NAMES = ("small", "large")
VALUES = 40
REGIONS = 5
"""Costs between the two models' at which IBC is read off, as in the paper's cost regions."""
SCORER_NOISE = 2.4
"""Of the learned score in the simulated worlds: AUROC of about .72."""
WORLDS: Mapping[str, tuple[float, float, float]] = {
    "sharp verifier, knows its limits": (0.95, 0.5, 0.1),
    "dim verifier, knows its limits": (0.75, 0.5, 0.3),
    "verifier that cannot tell hard from hopeless": (0.9, 0.3, 0.3),
    "verifier that likes the hopeless": (0.9, 0.25, 0.6),
}
"""Chance that one verdict says correct where the query is simple, complex and unsolvable."""


def compared(halves: Halves, seed: int) -> dict[str, Points]:
    """Every method on one split."""
    train, test, score_train, score_test = halves
    by_score = scored(train, score_train), scored(test, score_test)
    low, high = train.cost.mean(0)
    values = np.geomspace(0.2 * low, 300.0 * high, VALUES)
    found = {
        "small alone": (test.cost[:, :1].mean(0), test.score[:, :1].mean(0)),
        "large alone": (test.cost[:, 1:].mean(0), test.score[:, 1:].mean(0)),
        "FrugalGPT-style threshold": routed(*by_score, values, "threshold", seed),
        "AutoMix threshold": routed(train, test, values, "threshold", seed),
        "AutoMix POMDP": routed(train, test, values, "pomdp", seed),
    }
    if published() is not None:
        found["automix-llm (POMDP)"] = theirs(train, test, values)
    return found


def routed(train: Verified, test: Verified, values: Array, kind: Kind, seed: int) -> Points:
    rules = automix_rules(NAMES, train, values, seed=seed)
    walks = [walk(rules, NAMES, test, float(value), kind) for value in values]
    return np.array([w.cost.mean() for w in walks]), np.array([w.score.mean() for w in walks])


def scored(log: Verified, score: Array) -> Verified:
    """The log with a free score of every answer in place of verifications."""
    both = np.column_stack([score, np.full(len(score), np.nan)])
    everywhere = np.column_stack([np.ones(len(score), dtype=bool), np.zeros(len(score), dtype=bool)])
    return replace(log, confidence=both, verified=everywhere, verification_cost=np.zeros(both.shape))


# -- the published package -----------------------------------------------------------------------------------------


def published() -> Any:
    """The module of `automix-llm`, where it imports."""
    if any(importlib.util.find_spec(name) is None for name in ("automix", "pandas", "scipy")):
        return None
    return importlib.import_module("automix")


def theirs(train: Verified, test: Verified, values: Array) -> Points:
    """Its union of POMDPs and thresholds: the parameter of most value less cost on the training half, at each value."""
    pd = importlib.import_module("pandas")

    def frame(log: Verified) -> Any:
        small, large = (log.score >= 0.5).T
        category = np.where(small, "GOOD", np.where(large, "NEEDY", "HOPELESS"))
        columns = {"llama13b_f1": log.score[:, 0], "llama70b_f1": log.score[:, 1]}
        share = np.nan_to_num(log.confidence[:, 0], nan=0.5)
        return pd.DataFrame({**columns, "p_ver_13b": share, "category": category})

    method = published().POMDP(num_bins=8)
    known, unknown = frame(train), frame(test)
    parameters = method.generate_points(known)
    cost, quality = np.array([_outcome(method, each, known, train) for each in parameters]).T
    best = (values[:, None] * quality - cost).argmax(1)
    there = np.array([_outcome(method, parameters[int(k)], unknown, test) for k in best])
    return there[:, 0], there[:, 1]


def _outcome(method: Any, parameter: Any, table: Any, log: Verified) -> tuple[float, float]:
    """Cost and quality where every small answer is verified and paid for, as its evaluation counts."""
    again = np.asarray(method.run(table, parameter), dtype=bool)
    cost = log.cost[:, 0] + log.verification_cost[:, 0] + np.where(again, log.cost[:, 1], 0.0)
    return float(cost.mean()), float(np.where(again, log.score[:, 1], log.score[:, 0]).mean())


# -- tables --------------------------------------------------------------------------------------------------------


def simulated_halves(says_correct: tuple[float, float, float]) -> Callable[[int], Halves]:
    def drawn(seed: int) -> Halves:
        rng = np.random.default_rng(1000 + seed)
        train, test = simulated(500, seed, says_correct), simulated(5000, 5000 + seed, says_correct)

        def score(log: Verified) -> Array:
            return np.asarray(2.0 * (log.score[:, 0] - 0.5) + rng.normal(0.0, SCORER_NOISE, len(log)))

        return train, test, score(train), score(test)

    return drawn


def logged_halves(path: Path, small: str, large: str) -> tuple[Callable[[int], Halves], int]:
    """Random halves of the verified queries of a log, and how many there are; scores are learned on each half."""
    from emafusion.encoders import default_encoder
    from emafusion.evaluation.baselines.answer_scores import answer_scores
    from emafusion.evaluation.baselines.fold import Part
    from emafusion.learning.table import read_answers, tabulate
    from emafusion.learning.verifications import read_verifications
    from emafusion.log import read_log

    entries = [e for e in read_log(path) if small in e.outcomes and large in e.outcomes]
    told = read_verifications(entries, (small, large))
    scores = [[e.outcomes[n].score for n in (small, large)] for e in entries]
    rows = np.array([i for i, s in enumerate(scores) if None not in s and told.verified[i, 0]], dtype=np.int64)
    if len(rows) < 80:
        raise SystemExit(f"{path}: {len(rows)} answers of {small} were verified: a comparison needs at least 80")
    entries = [entries[i] for i in rows]
    told, table, encoder = told.take(rows), tabulate(entries, (small, large)), default_encoder()
    answers = read_answers(entries, table, encoder)
    vectors = np.asarray(encoder.encode(table.texts), dtype=np.float64)
    log = Verified(
        score=table.score,
        cost=table.cost,
        confidence=np.column_stack([told.share[:, 0], np.full(len(rows), np.nan)]),
        verified=np.column_stack([told.verified[:, 0], np.zeros(len(rows), dtype=bool)]),
        verification_cost=np.column_stack([np.nan_to_num(told.cost[:, 0]), np.zeros(len(rows))]),
        usable=np.ones((len(rows), 2), dtype=bool),
    )
    # The scorer reads answers, prompts and scores; what else a part may hold is not there.
    whole = Part(table, answers, vectors, np.zeros((len(rows), 1)), cast(Any, None), cast(Any, None))

    def part(rows: NDArray[np.int64]) -> Part:
        return replace(whole, table=table.take(rows), answers=answers.take(rows), vectors=vectors[rows])

    def drawn(seed: int) -> Halves:
        order = np.random.default_rng(seed).permutation(len(rows))
        first, second = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
        held_out, on_test = answer_scores(part(first), part(second), seed)
        return log.take(first), log.take(second), held_out[:, 0], on_test[:, 0]

    return drawn, len(rows)


# -- figures -------------------------------------------------------------------------------------------------------


def figures(points: dict[str, Points]) -> dict[str, tuple[float, float, float]]:
    """Area under the frontier from the small model's cost to the large one's, mean IBC and mean delta-IBC."""
    weak, strong = (tuple(float(x[0]) for x in points[name]) for name in ("small alone", "large alone"))
    costs = np.linspace(weak[0], strong[0], REGIONS + 1)[1:]
    out = {}
    for name, (cost, quality) in points.items():
        # Either model alone is open to every method.
        c, q = np.append(cost, [weak[0], strong[0]]), np.append(quality, [weak[1], strong[1]])
        at = quality_at_cost(c, q, costs)
        benefit = [incremental_benefit(x, y, (weak[0], weak[1])) for x, y in zip(costs, at)]
        lift = [incremental_benefit_lift(x, y, (weak[0], weak[1]), (strong[0], strong[1])) for x, y in zip(costs, at)]
        mean = [float(np.mean([v for v in each if v is not None] or [np.nan])) for each in (benefit, lift)]
        out[name] = area_under_frontier(c, q, weak[0], strong[0]), mean[0], mean[1]
    return out


def study(drawn: Callable[[int], Halves], splits: int) -> dict[str, Any]:
    """Means over random halves, and the standard error of each method's difference from AutoMix POMDP in area."""
    runs = [figures(compared(drawn(seed), seed)) for seed in range(splits)]
    out = {}
    for name in runs[0]:
        area, benefit, lift = np.mean([run[name] for run in runs], axis=0)
        gap = [run["AutoMix POMDP"][0] - run[name][0] for run in runs]
        error = float(np.std(gap) / np.sqrt(len(gap)))
        out[name] = {
            "area": float(area),
            "pomdp_ahead": float(np.mean(gap)),
            "pomdp_ahead_se": error,
            "ibc": float(benefit),
            "delta_ibc_percent": float(lift),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--log", type=Path, help="an outcome log with verifications; without it, simulated worlds")
    parser.add_argument("--small", default="", help="the candidate that verifies its answers")
    parser.add_argument("--large", default="")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.log:
        drawn, n = logged_halves(options.log, options.small, options.large)
        found = {f"{options.small} and {options.large}, {n} verified queries": study(drawn, options.splits)}
    else:
        found = {title: study(simulated_halves(chances), options.splits) for title, chances in WORLDS.items()}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for title, table in found.items():
        print(f"\n{title} ({options.splits} splits)")
        print(f"{'':28}{'area':>8}{'POMDP ahead by':>22}{'IBC':>10}{'delta-IBC %':>13}")
        for name, row in table.items():
            ahead = f"{row['pomdp_ahead']:+.4f} +- {row['pomdp_ahead_se']:.4f}"
            print(f"{name:28}{row['area']:8.4f}{ahead:>22}{row['ibc']:10.1f}{row['delta_ibc_percent']:13.1f}")
    if published() is None:
        print("\nautomix-llm, pandas or scipy is not installed: its row is left out")


if __name__ == "__main__":
    main()
