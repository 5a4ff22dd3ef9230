"""How often does the gate promote a worse policy, and how many decisions does it take to promote a better one?

Queries are drawn from a log in which every candidate's outcome is known, so the true difference of two policies is
known exactly. One serves and is logged with a little exploration; the gate sees only what was logged.

    python tests/benchmarks/simulate_gate.py [--simulations 100] [--explore 0.05] [--known 1.0] [--directed]

Without EMAFUSION_DATA a synthetic log stands in.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emafusion.config import Objective
from emafusion.evaluation.first_moves import RouterPolicy
from emafusion.evaluation.logged_decisions import LoggedDecisions
from emafusion.evaluation.off_policy import DELTA, evidence
from emafusion.learning.fitting import fit_router
from emafusion.log import LoggedQuery, read_log

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

LOG = "mix12_train.jsonl.gz"
TRAINING = 1500
"""Queries that the better router is fitted on; the others are the traffic."""
LOOKS = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000)
POINTS = (-10.0, -5.0, -2.0, -1.0, -0.2, 0.0, 1.0, 2.0, 5.0)
JUDGE = (1.2, 1.2)
"""By how much a right answer raises the log-odds of the simulated judge, and its noise."""


@dataclass(frozen=True)
class Traffic:
    """Queries whose outcomes are all known, and what two routers do with them.

    Attributes
    ----------
    score, cost, expected_quality, expected_cost : (q, m)
        Costs in good answers.
    good, poor : (q,)
        First moves of a fitted router, and of the worst constant choice.
    """

    score: Array
    cost: Array
    expected_quality: Array
    expected_cost: Array
    good: IntArray
    poor: IntArray

    @property
    def worth(self) -> Array:
        return self.score - self.cost

    def gain(self, policy: IntArray, other: IntArray) -> Array:
        """(q,) what ``policy`` earns more than ``other``."""
        rows = np.arange(len(policy))
        return np.asarray(self.worth[rows, policy] - self.worth[rows, other])

    def between(self, start: IntArray, end: IntArray, difference: float, seed: int) -> IntArray:
        """A policy that differs from ``start`` by ``difference`` in value: it does as ``end`` on some queries."""
        rng = np.random.default_rng(seed)
        gain = self.gain(end, start)
        order = rng.permutation(np.flatnonzero(end != start))
        if difference == 0.0:  # as much won as lost
            won, lost = order[gain[order] > 0], order[gain[order] < 0]
            if gain[won].sum() < -gain[lost].sum():
                won, lost = lost, won
            total = np.abs(gain[won]).cumsum()
            chosen = np.concatenate([lost, won[: int(np.searchsorted(total, np.abs(gain[lost]).sum())) + 1]])
        else:
            total = gain[order].cumsum() / len(gain) * np.sign(difference)
            if total.max(initial=0.0) < abs(difference):
                raise SystemExit(
                    f"these routers do not differ by {100 * difference:+g} points: give another --usd-value"
                )
            chosen = order[: int((total >= abs(difference)).argmax()) + 1]
        made: IntArray = start.copy()
        made[chosen] = end[chosen]
        return made

    def log(
        self, n: int, serving: IntArray, explore: float, known: float, rng: np.random.Generator, shadow: IntArray | None
    ) -> tuple[LoggedDecisions, IntArray]:
        """``n`` decisions of the serving policy, and which queries they were; half explored as ``shadow`` would."""
        queries = rng.integers(0, len(serving), n)
        m = self.score.shape[1]
        directed = 0.0 if shadow is None else explore / 2.0
        chances = np.full((n, m), (explore - directed) / m)
        if shadow is not None:
            chances[np.arange(n), shadow[queries]] += directed
        chances[np.arange(n), serving[queries]] += 1.0 - explore
        action = (chances.cumsum(1) > rng.random(n)[:, None]).argmax(1)
        quality = self.score[queries, action]
        p = np.clip(self.expected_quality[queries, action], 0.02, 0.98)
        odds = np.log(p / (1.0 - p)) + JUDGE[0] * (2.0 * quality - 1.0) + JUDGE[1] * rng.normal(size=n)
        logged = LoggedDecisions(
            action=action,
            propensity=chances,
            quality=np.where(rng.random(n) < known, quality, np.nan),
            confidence=1.0 / (1.0 + np.exp(-odds)),
            cost=self.cost[queries, action],
            expected_quality=self.expected_quality[queries],
            expected_cost=self.expected_cost[queries],
        )
        return logged, queries


def traffic(entries: Sequence[LoggedQuery], training: int, value: float, seed: int = 0) -> Traffic:
    """Fit on some of the entries; the others become traffic."""
    order = np.random.default_rng(seed).permutation(len(entries))
    model, _ = fit_router([entries[i].model_dump() for i in order[:training]], seed=seed)
    policy = RouterPolicy.of("fitted", model)
    rest = [entries[i] for i in order[training:]]
    names = policy.fusion.pool.names
    explained = [policy.fusion.explain(entry.query(), Objective(usd_value=value)) for entry in rest]
    score = np.array([[entry.outcomes[n].score for n in names] for entry in rest], dtype=np.float64)
    cost = np.array([[entry.outcomes[n].cost_usd for n in names] for entry in rest], dtype=np.float64) / value
    return Traffic(
        score=score,
        cost=np.minimum(cost, 1.0),
        expected_quality=np.array([e.forecast.p_good for e in explained]),
        expected_cost=np.array([e.forecast.cost_usd for e in explained]) / value,
        good=np.array([names.index(e.first[0]) for e in explained]),
        poor=np.full(len(rest), int((score - cost).mean(0).argmin())),
    )


def decisions_until_promoted(
    queries: Traffic,
    serving: IntArray,
    other: IntArray,
    *,
    simulations: int,
    explore: float,
    known: float,
    directed: bool = False,
    looks: Sequence[int] = LOOKS,
    seed: int = 0,
) -> Array:
    """(simulations,) look at which ``other`` was promoted, infinite where it was not."""
    found = np.full(simulations, np.inf)
    eye = np.eye(queries.score.shape[1])
    for s in range(simulations):
        rng = np.random.default_rng([seed, s])
        logged, drawn = queries.log(max(looks), serving, explore, known, rng, other if directed else None)
        capital = evidence(logged, eye[other[drawn]], eye[serving[drawn]])
        passed = [look for look in looks if capital[look - 1] >= np.log(1.0 / DELTA)]
        found[s] = passed[0] if passed else np.inf
    return found


def entries_of(path: Path | None, candidates: int) -> list[LoggedQuery]:
    """The log with as many candidates, evenly over the range of costs, on the queries where all have a score."""
    if path is None:
        from tests.evaluation.synthetic_log import make_log

        entries = read_log(make_log(3000, seed=0))
    else:
        entries = read_log(path)
    costs: dict[str, list[float]] = {}
    for entry in entries:
        for name, outcome in entry.outcomes.items():
            costs.setdefault(name, []).append(outcome.cost_usd or 0.0)
    answered = [name for name in costs if len(costs[name]) > 0.9 * len(entries)]
    ranked = sorted(answered, key=lambda name: float(np.mean(costs[name])))
    kept = [ranked[i] for i in np.unique(np.linspace(0, len(ranked) - 1, candidates).round().astype(int))]
    whole = [e for e in entries if all(n in e.outcomes and e.outcomes[n].score is not None for n in kept)]
    return [e.model_copy(update={"outcomes": {n: e.outcomes[n] for n in kept}}) for e in whole]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("EMAFUSION_DATA")
    default = Path(folder) / LOG if folder and (Path(folder) / LOG).is_file() else None
    parser.add_argument("--log", type=Path, default=default)
    parser.add_argument("--simulations", type=int, default=100)
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--explore", type=float, default=0.05)
    parser.add_argument("--known", type=float, default=1.0, help="share of decisions whose true quality is known")
    parser.add_argument("--directed", action="store_true", help="half of the exploration asks whom the shadow would")
    parser.add_argument("--usd-value", type=float, default=0.02)
    parser.add_argument("--decisions", type=int, default=LOOKS[-1], help="most decisions in a simulation")
    parser.add_argument("--points", type=float, nargs="+", default=POINTS, help="true differences to simulate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    entries = entries_of(options.log, options.candidates)
    queries = traffic(entries, TRAINING, options.usd_value)
    names = ", ".join(entries[0].outcomes)
    looks = [look for look in LOOKS if look <= options.decisions]
    whole = float(queries.gain(queries.good, queries.poor).mean())
    print(f"{len(queries.good)} queries of {options.log or 'a synthetic log'}; candidates: {names}")
    print(
        f"{options.explore:g} explored uniformly, truth of {options.known:g} known; {options.simulations} simulations"
    )
    print(f"the fitted router is {100 * whole:+.1f} points above the worst candidate; looks after {looks} decisions\n")
    print(f"{'true difference':>16} {'differ on':>16} {'promoted':>9} {'median at':>11}  share promoted by each look")
    for target in (points / 100.0 for points in options.points):
        up = target > 0
        start, end = (queries.poor, queries.good) if up else (queries.good, queries.poor)
        other = queries.between(start, end, target, options.seed)
        true = float(queries.gain(other, start).mean())
        found = decisions_until_promoted(
            queries,
            start,
            other,
            simulations=options.simulations,
            explore=options.explore,
            known=options.known,
            directed=options.directed,
            looks=looks,
            seed=options.seed,
        )
        share = [float((found <= look).mean()) for look in looks]
        median = float(np.median(found))
        by = f"{median:.0f}" if np.isfinite(median) else "-"
        print(
            f"{100 * true:>+14.2f} p {100 * float((other != start).mean()):>14.1f} % "
            f"{int(np.isfinite(found).sum()):>5}/{len(found)} {by:>11}  {' '.join(f'{s:.2f}' for s in share)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
