"""Time what learning adds to a request, at 12 candidates: medians of wall time and of the process' CPU time.

python tests/benchmarks/bench_learning.py [--runs 1000]

Correcting a forecast and drawing whom to ask first are on a request's way; learning from its answers comes after it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from emafusion.encoders import default_encoder
from emafusion.learning.online.evidence import verdict_evidence
from emafusion.learning.online.exploring import choose, propensities
from emafusion.learning.online.learner import OnlineLearner
from emafusion.learning.online.observation import Observation
from emafusion.learning.online.reduction import Reduction
from emafusion.learning.online.settings import Learning
from emafusion.types import Forecast

CANDIDATES = 12


def timed(step: Callable[[], object], into: list[tuple[float, float]]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    into.append((time.perf_counter() - wall, time.process_time() - cpu))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args(arguments)
    encoder, rng, settings = default_encoder(), np.random.default_rng(0), Learning()
    learner = OnlineLearner(settings, reduction=Reduction.of(encoder))
    names = tuple(f"model-{j}" for j in range(CANDIDATES))
    vectors = encoder.encode([f"What is {a} times {b}?" for a, b in rng.integers(2, 99, (50, 2))])
    times: dict[str, list[tuple[float, float]]] = {"correct a forecast": [], "draw whom to ask": [], "learn": []}
    for i in range(options.runs):
        p = rng.uniform(0.4, 0.9, CANDIDATES)
        cost = rng.uniform(0.0001, 0.01, CANDIDATES)
        forecast = Forecast(
            names,
            tuple(p.tolist()),
            (0.15,) * CANDIDATES,
            tuple(cost.tolist()),
            (250.0,) * CANDIDATES,
            embedding=vectors[i % len(vectors)],
        )
        timed(lambda f=forecast: learner.correct(f), times["correct a forecast"])  # type: ignore[misc]

        def draw(p: np.ndarray = p, cost: np.ndarray = cost) -> None:
            chances = propensities(0, p, cost, 0.05, learner.standing(names), settings)
            choose(rng, names, chances, 0)

        timed(draw, times["draw whom to ask"])
        j = int(rng.integers(CANDIDATES))
        judge, weight = verdict_evidence(float(p[j]), float(rng.choice([-1.2, 1.2])))
        seen = Observation(
            str(i), names[j], float(i), learner.features(forecast), float(p[j]), judge=judge, weight=weight
        )
        timed(lambda o=seen: learner.observe([o]), times["learn"])  # type: ignore[misc]
    for name, each in times.items():
        wall, cpu = (1000.0 * median(column) for column in zip(*each))
        print(f"{name:20s}{wall:8.3f} ms{cpu:8.3f} ms of CPU")


if __name__ == "__main__":
    main()
