"""What each judge is worth: how well it tells good answers from bad, and what the frontier would lose without it.

Agreement and rules sit on every panel; verdicts that a log recorded (and verifications) are taken as if each draft had
been shown to that judge for nothing, for the log does not say what they cost. All is out of fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.beliefs import infer
from emafusion.estimators.confidence import calibrated
from emafusion.evaluation.baselines import Part
from emafusion.evaluation.bootstrap import Interval, area_samples, mean_samples, percentile_interval
from emafusion.evaluation.metrics import area_under_frontier, expected_calibration_error
from emafusion.evaluation.points import Array, IntArray, Points
from emafusion.learning.judging import with_verdicts
from emafusion.learning.simulation import Recording, simulate
from emafusion.learning.table import LogTable

__all__ = ["JudgeRow", "JudgeTrial", "by_judge", "judged_part", "with_verifications"]

AGREEMENT, RULES, VERIFICATION = "agreement", "rules", "verification"
ALL = "all judges"
ROWS = 500
"""Queries of each test part over which the policy is run once without each judge."""
EVERY = 3
"""Of the operating points, each third is enough for a difference of areas."""
RESAMPLES = 300


@dataclass(frozen=True)
class JudgeTrial:
    """What one test part shows of the judges.

    Attributes
    ----------
    signal : judge -> (r, m)
        Its own score of each answer, NaN where it has none.
    confidence : judge -> (r, m)
        Confidence in each answer by forecast, rules and this judge, NaN where it said nothing.
    score : (r, m)
    points : judge -> Points
        The policy without that judge, and with all of them.
    """

    signal: Mapping[str, Array]
    confidence: Mapping[str, Array]
    score: Array
    points: Mapping[str, Points]


@dataclass(frozen=True)
class JudgeRow:
    """One judge in figures.

    Attributes
    ----------
    answers
        Scored answers that it said something about.
    auroc
        Of its own score, over the answers of one candidate at a time, averaged; None where only one class occurs.
    ece
        Of the confidence that rests on the forecast, rules and this judge.
    cost
        USD a verdict: 0 for judges that need no call, None where the log does not tell.
    area, worth
        Area under the frontier over the logarithm of the cost with all judges, and what it loses without this one.
    """

    judge: str
    answers: int
    auroc: float | None
    ece: float
    cost: float | None
    area: float
    worth: Interval

    def as_dict(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "answers": self.answers,
            "auroc": self.auroc,
            "ece": self.ece,
            "cost_usd": self.cost,
            "area_over_log_cost": self.area,
            "marginal_worth": self.worth.as_dict(),
        }


def with_verifications(table: LogTable, verified: Array | None) -> LogTable:
    """``table`` with recorded verifications (n, m) as the verdicts of one more judge."""
    if verified is None or VERIFICATION in table.judges:
        return table
    column, heard = verified[:, :, None], ~np.isnan(verified)[:, :, None]
    if table.verdicts is not None and table.heard is not None:
        column, heard = np.concatenate([table.verdicts, column], 2), np.concatenate([table.heard, heard], 2)
    return replace(table, judges=(*table.judges, VERIFICATION), verdicts=column, heard=heard)


def judged_part(part: Part, belief: BeliefModel, values: Array, seed: int) -> JudgeTrial:
    """Try the judges on a test part whose recording holds rules and agreement."""
    recording, table = part.recording, part.table
    judges = table.judges if table.verdicts is not None else ()
    share = _share_that_agrees(recording.label)
    signal = {AGREEMENT: share, RULES: np.where(part.answers.known, recording.llr, np.nan)}
    for k, judge in enumerate(judges):
        assert table.verdicts is not None
        signal[judge] = table.verdicts[:, :, k]
    alone = dict.fromkeys((AGREEMENT, RULES), recording) | {
        judge: with_verdicts(recording, belief, table, part.labels, (judge,)) for judge in judges
    }
    confidence = {
        judge: np.where(np.isnan(signal[judge]), np.nan, _confidence(said, belief, together=judge == AGREEMENT))
        for judge, said in alone.items()
    }
    rows = np.sort(np.random.default_rng(seed).permutation(len(part))[:ROWS])
    points = {
        left_out: _played(said.take(rows), belief, values) for left_out, said in _variants(part, belief, judges).items()
    }
    return JudgeTrial(signal, confidence, part.score, points)


def _variants(part: Part, belief: BeliefModel, judges: Sequence[str]) -> dict[str, Recording]:
    """The part with all judges, and without each."""
    recording, table, labels = part.recording, part.table, part.labels
    whole = with_verdicts(recording, belief, table, labels)
    silent = replace(recording, llr=np.zeros_like(recording.llr), usable=recording.asked)
    out = {
        ALL: whole,
        AGREEMENT: replace(whole, label=np.full_like(recording.label, -1)),
        RULES: with_verdicts(silent, belief, table, labels),
    }
    for judge in judges:
        others = tuple(name for name in judges if name != judge)
        out[judge] = with_verdicts(recording, belief, table, labels, others)
    return out


def _share_that_agrees(label: IntArray) -> Array:
    """Share of the other answers of a query that say the same, (n, m); NaN for no answer or no other."""
    there = label >= 0
    same = (label[:, :, None] == label[:, None, :]) & there[:, :, None] & there[:, None, :]
    others = there.sum(1, keepdims=True) - 1
    return np.where(there & (others > 0), (same.sum(2) - 1) / np.maximum(others, 1), np.nan)


def _confidence(recording: Recording, belief: BeliefModel, *, together: bool) -> Array:
    """(n, m) confidence in each answer: beside all others, or as the only one."""
    right, everyone = belief.difficulty.right(recording.p), np.arange(len(recording))
    out = np.full(recording.p.shape, np.nan)
    for j in [None] if together else range(recording.p.shape[1]):
        ran = recording.asked.copy()
        if j is not None:
            ran &= np.arange(ran.shape[1]) == j
        evidence = recording.evidence(belief, right, everyone, ran)
        q = calibrated(evidence, infer(evidence), recording.p, belief.calibration)
        out = np.where(ran, q, out)
    return out


def _played(recording: Recording, belief: BeliefModel, values: Array) -> Points:
    chosen = values[len(values) - 1 :: -EVERY][::-1]
    runs = [simulate(recording, belief, float(value)) for value in chosen]
    return Points(
        score=np.stack([run.score for run in runs]),
        cost=np.stack([run.cost for run in runs]),
        answered=np.stack([run.answered for run in runs]),
    )


def by_judge(trials: Sequence[JudgeTrial], cheapest: float, dearest: float, seed: int) -> list[JudgeRow]:
    """Figures of each judge over all test parts; USD a query of the cheapest and of the dearest candidate."""
    points = {
        name: Points(*(np.concatenate([getattr(t.points[name], f) for t in trials], 1) for f in _FIELDS))
        for name in trials[0].points
    }
    whole = points[ALL]
    area = area_under_frontier(whole.mean_cost, whole.quality, cheapest, dearest, log=True)
    drawn = mean_samples(points, count=RESAMPLES, seed=seed)
    samples = {name: area_samples(*drawn[name], cheapest, dearest, log=True) for name in points}
    score = np.concatenate([t.score for t in trials])
    rows = []
    for judge in trials[0].signal:
        signal = np.concatenate([t.signal[judge] for t in trials])
        confidence = np.concatenate([t.confidence[judge] for t in trials])
        known = ~np.isnan(signal) & ~np.isnan(score) & ~np.isnan(confidence)
        without = points[judge]
        lost = area - area_under_frontier(without.mean_cost, without.quality, cheapest, dearest, log=True)
        rows.append(
            JudgeRow(
                judge=judge,
                answers=int(known.sum()),
                auroc=_auroc_by_candidate(signal, score, known),
                ece=expected_calibration_error(confidence[known], score[known]),
                cost=0.0 if judge in (AGREEMENT, RULES) else None,
                area=area,
                worth=percentile_interval(samples[ALL] - samples[judge], lost),
            )
        )
    return rows


_FIELDS = ("score", "cost", "answered")


def _auroc_by_candidate(signal: Array, score: Array, known: Any) -> float | None:
    found, counts = [], []
    for j in range(score.shape[1]):
        rows = known[:, j]
        good = score[rows, j] >= 0.5
        if good.any() and not good.all():
            _, inverse, count = np.unique(signal[rows, j], return_inverse=True, return_counts=True)
            rank = (np.cumsum(count) - (count - 1) / 2.0)[inverse]
            n_good, n_bad = int(good.sum()), int((~good).sum())
            found.append((rank[good].sum() - n_good * (n_good + 1) / 2.0) / (n_good * n_bad))
            counts.append(len(good))
    return float(np.average(found, weights=counts)) if found else None
