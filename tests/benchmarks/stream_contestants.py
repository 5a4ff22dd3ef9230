"""Who serves a stream in :mod:`tests.benchmarks.simulate_stream`, one candidate a query, and the world they serve."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emafusion.config import Candidate, Pool, Price
from emafusion.learning.online.drift import DriftWatch
from emafusion.learning.online.evidence import log_odds, probability, verdict_evidence
from emafusion.learning.online.exploring import choose, propensities
from emafusion.learning.online.learner import OnlineLearner
from emafusion.learning.online.newcomers import LOOKED_AT, Anchor
from emafusion.learning.online.newcomers import choose as choose_anchors
from emafusion.learning.online.observation import Observation
from emafusion.learning.online.reduction import Reduction
from emafusion.learning.online.rewards import agreement_truth
from emafusion.learning.online.settings import Learning
from tests.benchmarks.stream_data import Stream

__all__ = ["Contestant", "EpsilonGreedy", "Fixed", "LinUCB", "Ours", "ParetoBandit", "World", "serve"]

Array = NDArray[np.float64]

SURE = 1.2
"""Log-odds that a verdict is taken to be right with: the shipped weight of an `LLMJudge`, right in 77 of 100 cases."""
RIGHT = 1.0 / (1.0 + np.exp(-SURE))
AUDITS = 5.0
"""Times the setting that the learner audits on a stream of about 1,700 queries, most of it at the beginning."""
ACCURACY = (0.75, 0.80)
"""Between which the judge's true accuracy lies; nobody is told it."""


@dataclass
class World:
    """A stream in one order, with one judge and its luck; the same for every contestant.

    Attributes
    ----------
    stream
    value
        USD that a good answer is worth.
    said : bool (n, m)
        Whether the judge would call the answer good.
    audits : (n,)
        What it takes for the truth of an answer to be told: a chance above this.
    audit
        Usual chance of that.
    there : bool (n, m)
        Which candidates can be asked.
    luck : (n, m)
        What the judge's verdicts were drawn with.
    accuracy
        Of the judge.
    arrival
        Place of a candidate that joins late, and when; it is the last.
    """

    stream: Stream
    value: float
    said: NDArray[np.bool_]
    audits: Array
    audit: float
    there: NDArray[np.bool_]
    seed: int
    luck: Array
    accuracy: float
    arrival: tuple[int, int] | None = None

    @classmethod
    def draw(cls, stream: Stream, value: float, seed: int, audit: float, favoured: dict[str, float]) -> World:
        """Shuffle, and draw what the judge says; ``favoured`` adds to the chance that an answer is called good."""
        rng = np.random.default_rng(seed)
        stream = stream.take(rng.permutation(len(stream)))
        accuracy, luck = float(rng.uniform(*ACCURACY)), rng.random(stream.score.shape)
        audits = rng.random(len(stream))
        said = luck < _called_good(stream.score, accuracy) + [favoured.get(name, 0.0) for name in stream.names]
        return cls(stream, value, said, audits, audit, ~np.isnan(stream.score), seed, luck, accuracy)

    def changed(self, j: int, at: int, rate: float) -> World:
        """The same, but for candidate ``j``, whose answers are good with probability ``rate`` from ``at`` on."""
        rng = np.random.default_rng(self.seed + 10_000)
        score = self.stream.score.copy()
        score[at:, j] = np.where(np.isnan(score[at:, j]), np.nan, rng.random(len(score) - at) < rate)
        said = self.said.copy()
        said[at:, j] = (self.luck[:, j] < _called_good(score[:, j], self.accuracy))[at:]
        return replace(self, stream=replace(self.stream, score=score), said=said)

    def joined(self, at: int) -> World:
        """The same, but the last candidate joins only at ``at``."""
        there = self.there.copy()
        there[:at, -1] = False
        return replace(self, there=there, arrival=(there.shape[1] - 1, at))

    @property
    def utility(self) -> Array:
        """(n, m) in good answers: score less cost in their worth."""
        return np.asarray(np.where(self.there, self.stream.score - self.stream.cost / self.value, np.nan))

    def quality(self, i: int, j: int) -> float:
        """What the baselines are told of an answer: the truth where it is audited, else the verdict made unbiased.

        They get as many audits, evenly spread, as the learner asks for on the whole of a stream.
        """
        if self.audits[i] < AUDITS * self.audit:
            return float(self.stream.score[i, j])
        return float((self.said[i, j] - (1.0 - RIGHT)) / (2.0 * RIGHT - 1.0))


def _called_good(score: Array, accuracy: float) -> Array:
    """Probability that the judge calls an answer good."""
    return np.asarray(score * accuracy + (1.0 - score) * (1.0 - accuracy))


class Contestant(Protocol):
    def choose(self, world: World, i: int) -> int: ...

    def learn(self, world: World, i: int, j: int) -> None: ...


def serve(world: World, contestant: Contestant) -> NDArray[np.intp]:
    """Whom the contestant asked, (n,)."""
    picks = np.zeros(len(world.stream), dtype=np.intp)
    for i in range(len(picks)):
        picks[i] = contestant.choose(world, i)
        contestant.learn(world, i, int(picks[i]))
    return picks


class Fixed:
    """A router that does not learn."""

    def __init__(self, *, fitted: bool) -> None:
        self.fitted = fitted

    def choose(self, world: World, i: int) -> int:
        s = world.stream
        p, cost = (s.fitted, s.fitted_cost) if self.fitted else (s.shipped, s.shipped_cost)
        return int(np.where(world.there[i], world.value * p[i] - cost[i], -np.inf).argmax())

    def learn(self, world: World, i: int, j: int) -> None:
        pass


class Ours:
    """The online learner over the shipped forecast, exploring included.

    A candidate that joins late is placed by its answers to so many ``anchors``, chosen and graded as
    :mod:`emafusion.learning.online.newcomers` does it.
    """

    def __init__(
        self, reduction: Reduction, settings: Learning, seed: int, *, fitted: bool = False, anchors: int = 0
    ) -> None:
        self.learner = OnlineLearner(settings, reduction=reduction)
        self.watch = DriftWatch(active=settings.drift)
        self.rng, self.fitted, self.anchors = np.random.default_rng(seed + 20_000), fitted, anchors
        self.alarms: list[Any] = []
        self.audited = 0
        self._served: list[tuple[int, int, float]] = []
        """Query, who answered it, and the probability that the answer is good, once heard."""

    def choose(self, world: World, i: int) -> int:
        late = world.arrival
        absent = late[0] if late and i < late[1] else None
        if late and i == late[1] and self.anchors:
            self._place(world, *late)
        self._before = world.stream.forecast(i, fitted=self.fitted, without=absent)
        self._after = self.learner.correct(self._before)
        names = self._before.candidates
        there = world.there[i, : len(names)]
        p, cost = np.array(self._after.p_good), np.array(self._after.cost_usd)
        first = int(np.where(there, world.value * p - cost, -np.inf).argmax())
        standing = self.learner.standing(names)
        chances = propensities(first, p, cost, world.value, standing, self.learner.settings, there)
        return names.index(choose(self.rng, names, chances, first).candidate)

    def learn(self, world: World, i: int, j: int) -> None:
        forecast = self._before.p_good[j]
        name, names = self._before.candidates[j], self._before.candidates
        chance = self.learner.audit_chance(name, names)
        audited = bool(world.audits[i] < chance)
        self.audited += audited
        right = probability(log_odds(self._after.p_good[j]) + (SURE if world.said[i, j] else -SURE))
        self._served.append((i, j, float(world.stream.score[i, j]) if audited else right))
        judge, weight = verdict_evidence(forecast, SURE if world.said[i, j] else -SURE, SURE)
        observation = Observation(
            decision_id=str(i),
            candidate=name,
            tick=float(i),
            features=self.learner.features(self._before),
            forecast=forecast,
            judge=judge,
            truth=float(world.stream.score[i, j]) if audited else None,
            weight=weight,
            propensity=chance if audited else 1.0,
        )
        alarm = self.watch.hear(observation)
        self.learner.observe([observation])
        if alarm is not None:
            self.alarms.append(alarm)
            self.learner.forget(alarm.candidate, before=alarm.since)
        self.learner.suspect(self.watch.suspects())

    def _place(self, world: World, j: int, at: int) -> None:
        """Ask the newcomer ``j`` what stood out of what was asked before."""
        stream = world.stream
        eligible, authors = [], {}
        for i, author, right in self._served[-LOOKED_AT:]:
            answered = stream.label[i, author] >= 0 and stream.label[i, j] >= 0
            if answered and agreement_truth(True, right) is not None:
                scores = dict(zip(stream.names, stream.forecast(i, without=j).p_good))
                eligible.append(Anchor(str(i), None, "", right, scores | {stream.names[author]: right}))
                authors[i] = author
        prices = [Price(float(row[0]), float(row[1])) for row in stream.prices]
        pool = Pool([Candidate(None, name=n, price=p) for n, p in zip(stream.names, prices)])
        asked = []
        for anchor in choose_anchors(eligible, pool, stream.names[j], self.anchors):
            i = int(anchor.text)
            author = authors[i]
            forecast = stream.forecast(i)
            same = bool(stream.label[i, j] == stream.label[i, author])
            asked.append(
                Observation(
                    decision_id=f"anchor {i}",
                    candidate=stream.names[j],
                    tick=float(at),
                    features=self.learner.features(forecast),
                    forecast=forecast.p_good[j],
                    truth=agreement_truth(same, anchor.right, forecast),
                )
            )
        self.learner.observe(asked)


class EpsilonGreedy:
    """The candidate of the best mean utility so far, or, now and then, any."""

    def __init__(self, m: int, seed: int, epsilon: float) -> None:
        self.rng, self.epsilon = np.random.default_rng(seed + 30_000), epsilon
        self.total, self.asked = np.zeros(m), np.zeros(m)

    def choose(self, world: World, i: int) -> int:
        there = world.there[i]
        if self.rng.random() < self.epsilon:
            return int(self.rng.choice(np.flatnonzero(there)))
        mean = np.where(self.asked > 0, self.total / np.maximum(self.asked, 1), np.inf)
        return int(np.where(there, mean, -np.inf).argmax())

    def learn(self, world: World, i: int, j: int) -> None:
        self.total[j] += world.quality(i, j) - world.stream.cost[i, j] / world.value
        self.asked[j] += 1


class LinUCB:
    """Disjoint LinUCB (Li et al. 2010) from nothing, on the same features; costs are known to it as to us."""

    def __init__(self, reduction: Reduction, m: int, alpha: float) -> None:
        d = reduction.width
        self.reduction, self.alpha = reduction, alpha
        self.inverse, self.moment = np.tile(np.eye(d), (m, 1, 1)), np.zeros((m, d))

    def choose(self, world: World, i: int) -> int:
        x = self._x = self.reduction.features(world.stream.vectors[i])
        reach = self.inverse @ x
        bound = np.einsum("jd,jd->j", self.moment, reach) + self.alpha * np.sqrt(reach @ x)
        usual = np.where(world.there[i], bound - world.stream.shipped_cost[i] / world.value, -np.inf)
        return int(usual.argmax())

    def learn(self, world: World, i: int, j: int) -> None:
        reach = self.inverse[j] @ self._x
        self.inverse[j] -= np.outer(reach, reach) / (1.0 + self._x @ reach)
        self.moment[j] += world.quality(i, j) * self._x


class ParetoBandit:
    """The package of that name, with our features and its own defaults but for ``alpha``.

    Its penalty on costs is given per query, in worths of a good answer, in place of its own on list prices, which knows
    nothing of that worth.
    """

    def __init__(self, reduction: Reduction, prices: Array, names: tuple[str, ...], alpha: float, seed: int) -> None:
        from pareto_bandit import BanditRouter
        from pareto_bandit.feature_service import FeatureService

        logging.getLogger("pareto_bandit").setLevel(logging.ERROR)
        registry = {
            name: {"input_cost_per_m": float(price[0]), "output_cost_per_m": float(price[1])}
            for name, price in zip(names, prices)
        }
        self.reduction, self.names = reduction, names
        self.router = BanditRouter.create(
            model_registry=registry,
            feature_service=FeatureService.for_precomputed(dimension=reduction.width - 1),
            priors="none",
            alpha=alpha,
            forgetting_factor=0.997,
            cost_penalty=0.0,
            bandit_seed=seed,
        )

    def choose(self, world: World, i: int) -> int:
        self._x = self.router._get_context_vector(self.reduction.features(world.stream.vectors[i])[1:])
        there = [n for n, t in zip(self.names, world.there[i]) if t]
        usual = dict(zip(self.names, (world.stream.shipped_cost[i] / world.value).tolist()))
        name, _ = self.router.bandit.select_arm(self._x, candidates=there, cost_penalties=usual)
        self.router.bandit.mark_selected(name)
        return self.names.index(name)

    def learn(self, world: World, i: int, j: int) -> None:
        # Its clock was moved on when the candidate was selected.
        self.router.bandit.update(self.names[j], self._x, world.quality(i, j), advance_time=False)
