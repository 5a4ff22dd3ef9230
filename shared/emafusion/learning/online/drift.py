"""`DriftWatch`: notices that a candidate's quality has changed, or the queries, and says so in words.

Watched is what is left of an answer's quality once its forecast is taken away, in standard deviations: the forecast
before any correction, for that does not move while it is learned how far it is off. An
abrupt change is found by the Page-Hinkley test (Page 1954), a creeping one by ADWIN (Bifet and Gavalda 2007), both of
`river`; queries by ADWIN on their distance from the mean of the queries so far, and on their leading coordinates.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.online.observation import Observation
from emafusion.learning.online.posterior import NOISE

__all__ = ["Alarm", "DriftWatch"]

Array = NDArray[np.float64]

ALLOWANCE, THRESHOLD = 0.35, 12.0
"""Of the Page-Hinkley test, in standard deviations: a false alarm about every 20,000 answers, by Siegmund's formula."""
SUSPICIOUS, SUSPECTED = 8.0, 15
"""Of the same test: from where on a fall is suspected, falsely once in some 1,500 answers, and for how many answers."""
CUT_OFF = 4.0
PRESUMED = 20.0
"""Answers for which the standard deviation that the model presumes counts, beside the one that is seen."""
CONFIDENCE = 0.002
"""Of ADWIN."""
KEPT = 400
"""Answers of a candidate that are kept to find when it changed."""
LEAST_ANSWERS = 12
LEAST_CHANGE = 0.1
"""A change of quality smaller than this is left to forgetting."""
COORDINATES = 3

log = logging.getLogger("emafusion")


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something changed; ``str()`` says what.

    Attributes
    ----------
    kind
        "quality" of a candidate, or the "traffic".
    candidate
        Whose quality changed; empty for the traffic.
    before, after
        Mean quality before and since; for the traffic, what was watched.
    since, tick
        When it changed and when that was noticed, in decisions.
    answers
        Answers since the change that it was noticed by.
    """

    kind: Literal["quality", "traffic"]
    candidate: str
    before: float
    after: float
    since: float
    tick: float
    answers: int

    def __str__(self) -> str:
        over = f"over the last {max(self.tick - self.since, 1.0):.0f} decisions"
        if self.kind == "traffic":
            return f"the queries {over} are of another kind than those before: forecasts rest on less than they seem to"
        moved = "fell" if self.after < self.before else "rose"
        return (
            f"the quality of {self.candidate!r} {moved} from {self.before:.2f} to {self.after:.2f} {over}, as "
            f"{self.answers} answers show: what was learned of it before now counts little"
        )


class DriftWatch:
    """Detectors of one process, one pair a candidate and a few on the queries.

    Without the package `river` it says so once in a warning of the log, and never raises an alarm.

    Parameters
    ----------
    active
        False: never raise an alarm, and say nothing about it.
    """

    def __init__(self, *, active: bool = True) -> None:
        self._river = _river() if active else None
        self._candidates: dict[str, _Answers] = {}
        self._traffic: _Traffic | None = None

    @property
    def active(self) -> bool:
        return self._river is not None

    def hear(self, observation: Observation) -> Alarm | None:
        """Take in an answer; one that was not spoken of says nothing."""
        if self._river is None or (observation.judge is None and observation.truth is None):
            return None
        name = observation.candidate
        if name not in self._candidates:
            self._candidates[name] = _Answers(self._river)
        alarm = self._candidates[name].hear(observation)
        if alarm is not None:
            del self._candidates[name]
            log.warning("emafusion: %s", alarm)
        return alarm

    def suspects(self) -> frozenset[str]:
        """Candidates whose quality may have fallen, though it is too early to say so."""
        return frozenset(name for name, answers in list(self._candidates.items()) if answers.suspected)

    def meet(self, features: Array, tick: float) -> Alarm | None:
        """Take in a query, by its features (d,), the first of which is 1."""
        if self._river is None:
            return None
        if self._traffic is None:
            self._traffic = _Traffic(self._river)
        alarm = self._traffic.meet(features, tick)
        if alarm is not None:
            self._traffic = None
            log.warning("emafusion: %s", alarm)
        return alarm


def _river() -> Any:
    try:
        from river import drift
    except ImportError:
        log.warning(
            "emafusion: changes of candidates are not watched for, because the package 'river' is missing: "
            "pip install 'emafusion[drift]' (learning goes on, and forgets at its usual pace)"
        )
        return None
    return drift


class _Answers:
    """One candidate's answers since it was last seen to change."""

    def __init__(self, river: Any) -> None:
        self._abrupt = river.PageHinkley(min_instances=LEAST_ANSWERS, delta=ALLOWANCE, threshold=THRESHOLD, alpha=1.0)
        self._suspicious = river.PageHinkley(
            min_instances=LEAST_ANSWERS, delta=ALLOWANCE, threshold=SUSPICIOUS, alpha=1.0, mode="down"
        )
        self._creeping = river.ADWIN(delta=CONFIDENCE, clock=8)
        self.suspected = 0
        """For how many more answers a fall is suspected."""
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._kept: deque[tuple[float, float, float, float]] = deque(maxlen=KEPT)

    def hear(self, observation: Observation) -> Alarm | None:
        truth = observation.truth
        quality, weight = observation.as_judged() if truth is None else (truth, 1.0)
        surprise = self._standardised((quality - observation.forecast) * float(np.sqrt(weight / NOISE)))
        self._kept.append((observation.tick, quality, weight, surprise))
        self._abrupt.update(surprise)
        self._suspicious.update(surprise)
        self.suspected = SUSPECTED if self._suspicious.drift_detected else max(self.suspected - 1, 0)
        self._creeping.update(0.5 + surprise / (2.0 * CUT_OFF))
        if not (self._abrupt.drift_detected or self._creeping.drift_detected):
            return None
        return self._alarm(observation)

    def _standardised(self, surprise: float) -> float:
        """In standard deviations as they are seen: judges err more, or less, than the forecast lets expect."""
        self._count += 1
        step = surprise - self._mean
        scale = np.sqrt((PRESUMED + self._squares) / (PRESUMED + self._count - 1))
        self._mean += step / self._count
        self._squares += step * (surprise - self._mean)
        return float(np.clip(surprise / scale, -CUT_OFF, CUT_OFF))

    def _alarm(self, observation: Observation) -> Alarm | None:
        """What changed, cut where the surprises before and after differ most for their number."""
        ticks, quality, weight, surprise = np.array(self._kept).T
        n = len(ticks)
        if n < 2 * LEAST_ANSWERS:
            return None
        at = np.arange(LEAST_ANSWERS, n - LEAST_ANSWERS + 1)
        early = np.cumsum(surprise)[at - 1] / at
        late = (surprise.sum() - early * at) / (n - at)
        cut = int(at[np.argmax(np.abs(early - late) * np.sqrt(at * (n - at)))])
        before, after = (
            float(np.clip(np.average(quality[rows], weights=weight[rows]), 0.0, 1.0))
            for rows in (slice(None, cut), slice(cut, None))
        )
        if abs(after - before) < LEAST_CHANGE:
            return None
        return Alarm(
            "quality", observation.candidate, before, after, float(ticks[cut]), float(observation.tick), n - cut
        )


class _Traffic:
    """The queries since they were last seen to change."""

    def __init__(self, river: Any) -> None:
        self._detectors = [river.ADWIN(delta=CONFIDENCE / (COORDINATES + 1), clock=16) for _ in range(COORDINATES + 1)]
        self._mean: Array | None = None
        self._met = 0

    def meet(self, features: Array, tick: float) -> Alarm | None:
        place = np.asarray(features[1:], dtype=np.float64)
        if not place.any():
            return None
        self._met += 1
        self._mean = place if self._mean is None else self._mean + (place - self._mean) / self._met
        # Squares of features sum to about 1: these lie in [0, 1] but for a few that are cut off.
        watched = [
            float(np.clip(np.sqrt(((place - self._mean) ** 2).sum()) / 2.0, 0.0, 1.0)),
            *np.clip(0.5 + 0.5 * place[:COORDINATES], 0.0, 1.0).tolist(),
        ]
        for detector, value in zip(self._detectors, watched):
            before = detector.estimation
            detector.update(value)
            if detector.drift_detected:
                return Alarm(
                    "traffic", "", float(before), float(detector.estimation), tick - detector.width, tick,
                    int(detector.width),
                )  # fmt: skip
        return None
