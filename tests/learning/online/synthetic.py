"""A small world to learn in: four candidates, two kinds of query, one judge that is right in 77 of 100 cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.online.drift import Alarm, DriftWatch
from emafusion.learning.online.evidence import verdict_evidence
from emafusion.learning.online.exploring import choose, propensities
from emafusion.learning.online.learner import OnlineLearner
from emafusion.learning.online.observation import Observation
from emafusion.learning.online.reduction import Reduction
from emafusion.learning.online.settings import Learning
from emafusion.types import Forecast

Array = NDArray[np.float64]

SURE = 1.2
ACCURACY = 1.0 / (1.0 + np.exp(-SURE))


def reduction() -> Reduction:
    return Reduction(np.zeros(2), np.eye(2))


def forecast(p: Array | list[float], kind: int = 0, cost: float | list[float] = 0.0, spread: float = 0.15) -> Forecast:
    """Of candidates a, b, c, ...; ``kind`` 0 or 1 is the query's vector."""
    names = tuple("abcdefgh"[: len(p)])
    costs = [cost] * len(p) if isinstance(cost, float) else cost
    return Forecast(
        names,
        tuple(float(x) for x in p),
        (spread,) * len(p),
        tuple(costs),
        (250.0,) * len(p),
        embedding=np.eye(2)[kind],
    )


@dataclass
class Served:
    """What a stream came to."""

    picks: NDArray[np.intp]
    regret: float
    learner: OnlineLearner
    alarms: list[Alarm] = field(default_factory=list)

    def share(self, j: int, begin: int, end: int | None = None) -> float:
        return float((self.picks[begin:end] == j).mean())


def serve(
    n: int,
    truth: Callable[[int, int], Array],
    prior: Array | list[float],
    *,
    settings: Learning | None = None,
    seed: int = 0,
    favoured: Array | None = None,
    joins: int | None = None,
    cost: float | list[float] = 0.0,
) -> Served:
    """Serve ``n`` queries one candidate each, by the corrected forecast; ``truth(i, kind)`` is how good each is.

    The last candidate is there from query ``joins`` on.
    """
    rng = np.random.default_rng(seed)
    learner = OnlineLearner(settings or Learning(), reduction=reduction())
    watch, picks, regret, alarms = DriftWatch(active=learner.settings.drift), [], 0.0, []
    costs = np.full(len(prior), cost) if isinstance(cost, float) else np.array(cost)
    for i in range(n):
        kind = int(rng.random() < 0.5)
        m = len(prior) - (joins is not None and i < joins)
        before = forecast(prior[:m], kind, costs[:m].tolist())
        after = learner.correct(before)
        p = np.array(after.p_good)
        first = int((p - costs[:m]).argmax())
        chances = propensities(first, p, costs[:m], 1.0, learner.standing(before.candidates), learner.settings)
        name = choose(rng, before.candidates, chances, first).candidate
        j = before.candidates.index(name)
        quality = truth(i, kind)
        regret += float((quality - costs)[:m].max() - (quality - costs)[j])
        good = bool(rng.random() < quality[j])
        said = (ACCURACY if good else 1.0 - ACCURACY) + (0.0 if favoured is None else favoured[j])
        judge, weight = verdict_evidence(before.p_good[j], SURE if rng.random() < said else -SURE, SURE)
        chance = learner.audit_chance(name, before.candidates)
        audited = rng.random() < chance
        observation = Observation(
            decision_id=str(i),
            candidate=name,
            tick=float(i),
            features=learner.features(before),
            forecast=before.p_good[j],
            judge=judge,
            truth=float(good) if audited else None,
            weight=weight,
            propensity=chance if audited else 1.0,
        )
        alarm = watch.hear(observation)
        learner.observe([observation])
        if alarm is not None:
            alarms.append(alarm)
            learner.forget(alarm.candidate, before=alarm.since)
        picks.append(j)
    return Served(np.array(picks), regret, learner, alarms)
