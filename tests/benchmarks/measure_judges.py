"""Measure the stack of judges where the truth is known: six noisy judges of 60 to 70 % accuracy with shared errors.

    python tests/benchmarks/measure_judges.py [--seeds N]

Pairs: how often the better of a good and a bad answer gets the higher score (the area under the ROC curve). Loss: what
a useless, an anti-correlated or a duplicated judge adds to the log loss of a panel of two, on held-out answers.
"""

from __future__ import annotations

import argparse

import numpy as np

from emafusion.estimators.judge_stack import JudgeStack
from emafusion.estimators.scales import sigmoid
from tests.judges.verdict_columns import Array, auroc, drawn_verdicts, ece

SIX = (0.60, 0.62, 0.64, 0.66, 0.68, 0.70)


def drawn(n: int, accuracies: tuple[float, ...], correlation: float, seed: int) -> tuple[Array, Array, Array]:
    """Prior log-odds, outcomes, verdicts."""
    rng = np.random.default_rng(seed)
    offset = rng.normal(0.3, 0.7, n)
    good = (rng.random(n) < sigmoid(offset)).astype(np.float64)
    return offset, good, drawn_verdicts(good, accuracies, correlation, rng)


def fitted(offset: Array, good: Array, scores: Array) -> JudgeStack:
    names = [f"judge {i}" for i in range(scores.shape[1])]
    return JudgeStack.fit(names, scores, np.ones(scores.shape, dtype=bool), good, offset)


def said(stack: JudgeStack, scores: Array) -> Array:
    return stack.columns(scores, np.ones(scores.shape, dtype=bool), [""] * len(scores))


def pairs(seeds: int) -> None:
    print(f"{'labels':>7s}{'shared errors':>15s}{'best single':>13s}{'majority':>10s}{'stack':>8s}{'ECE':>8s}")
    for labels in (300, 1000, 3000):
        for correlation in (0.2, 0.5, 0.8):
            rows = []
            for seed in range(seeds):
                stack = fitted(*drawn(labels, SIX, correlation, 1000 + seed))
                offset, good, scores = drawn(8000, SIX, correlation, 2000 + seed)
                llr = said(stack, scores)
                best = max(auroc(scores[:, j], good) for j in range(6))
                votes = auroc((scores > 0.5).mean(1), good)
                rows.append((best, votes, auroc(llr, good), ece(sigmoid(offset + llr), good)))
            best, votes, mine, error = np.mean(rows, axis=0)
            print(f"{labels:7d}{correlation:15.1f}{best:13.3f}{votes:10.3f}{mine:8.3f}{error:8.4f}")


def with_bad_judges(seeds: int) -> None:
    print(f"\n{'labels':>7s}{'useless':>12s}{'contrary':>12s}{'duplicated':>12s}   (change of the log loss)")
    for labels in (200, 1000, 3000):
        change: dict[str, list[float]] = {"useless": [], "contrary": [], "duplicated": []}
        for seed in range(seeds):
            sets = [drawn(n, (0.7, 0.65), 0.3, 3000 + 2 * seed + i) for i, n in enumerate((labels, 8000))]
            before = _loss(*sets[0], *sets[1])
            for kind in change:
                rng = np.random.default_rng(seed)
                more = [(o, g, np.column_stack([s, _bad(kind, g, s, rng)])) for o, g, s in sets]
                change[kind].append(_loss(*more[0], *more[1]) - before)
        print(f"{labels:7d}" + "".join(f"{np.mean(found):+12.4f}" for found in change.values()))


def _bad(kind: str, good: Array, scores: Array, rng: np.random.Generator) -> Array:
    if kind == "useless":
        return rng.random(len(good))
    return scores[:, 0] if kind == "duplicated" else drawn_verdicts(1.0 - good, (0.65,), 0.0, rng)[:, 0]


def _loss(offset: Array, good: Array, scores: Array, later: Array, truth: Array, held_out: Array) -> float:
    p = np.clip(sigmoid(later + said(fitted(offset, good, scores), held_out)), 1e-6, 1 - 1e-6)
    return float(-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean())


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    arguments = parser.parse_args()
    pairs(arguments.seeds)
    with_bad_judges(arguments.seeds)


if __name__ == "__main__":
    main()
