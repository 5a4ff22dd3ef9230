"""Folds of a log: for each, a router is fitted on its training part, and every method answers its test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emafusion.config import Candidate, Objective, Pool
from emafusion.evaluation.ablations import ABLATIONS
from emafusion.evaluation.baselines import BASELINES, Fold, Part
from emafusion.evaluation.judging import JudgeTrial, judged_part
from emafusion.evaluation.points import Array, IntArray, Points
from emafusion.evaluation.processes import EncoderSource
from emafusion.learning.automix_router import add_automix, verification_cost, verified_log
from emafusion.learning.automix_walk import walk
from emafusion.learning.fitting import fit_table, record, with_evidence
from emafusion.learning.simulation import simulate
from emafusion.learning.table import Answers, LogTable
from emafusion.learning.verifications import Verifications
from emafusion.policies.automix import AutoMix
from emafusion.policies.trade_off import TradeOff
from emafusion.routers.artefact import RoutingModel

__all__ = ["EMAFUSION", "FoldResult", "Split", "emafusion_points", "fold_of", "run_split", "split_rows"]

EMAFUSION = "EMAFusion"


@dataclass(frozen=True)
class Split:
    """All that one process needs to fit on one part of a log and to answer the other."""

    table: LogTable
    answers: Answers
    vectors: Array
    labels: Array
    encoder: EncoderSource
    train: IntArray
    test: IntArray
    values: Array
    seed: int
    verifications: Verifications | None = None
    floor_values: Array | None = None
    ablate: bool = False
    judged: bool = False
    policy: str = "cascade"


@dataclass(frozen=True)
class FoldResult:
    """What came of one split.

    Attributes
    ----------
    rows : (t,)
        The queries that were answered.
    points : by method
    forecast : (t, m)
        Forecast probability of a good answer of each candidate before any answer.
    under_floors
        EMAFusion as a quality floor would have it, at each value that one may choose; None where not asked for.
    judges
        What the judges are worth on this part; None where not asked for.
    """

    rows: IntArray
    points: Mapping[str, Points]
    forecast: Array
    model: RoutingModel
    under_floors: Points | None = None
    judges: JudgeTrial | None = None


def split_rows(n: int, folds: int, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Training and test rows of each fold; every row is in exactly one test part."""
    fold = np.random.default_rng(seed).permutation(n) % folds
    return [(np.nonzero(fold != f)[0], np.nonzero(fold == f)[0]) for f in range(folds)]


def run_split(split: Split) -> FoldResult:
    """Fit on the training rows, and let every method answer the test rows that have a score."""
    from threadpoolctl import threadpool_limits

    # Several processes that each use all cores only get in each other's way.
    with threadpool_limits(limits=1):
        fold, rows = fold_of(split)
        points = {EMAFUSION: emafusion_points(fold)} | {name: play(fold) for name, play in BASELINES.items()}
        if split.ablate:
            points |= {name: play(fold) for name, play in ABLATIONS.items()}
        free = None if split.floor_values is None else _simulated(fold, split.floor_values)
        judges = judged_part(fold.test, fold.model.belief, fold.values, fold.seed) if split.judged else None
    return FoldResult(rows, points, fold.test.recording.p, fold.model, free, judges)


def fold_of(split: Split) -> tuple[Fold, IntArray]:
    """Fit on the training rows: the fold that every method is given, and the rows of its test part."""
    train, test = split.train, split.test
    test = test[(split.table.asked & ~np.isnan(split.table.score))[test].any(1)]
    model, forecasts = _fitted(split)
    texts = [split.table.texts[i] for i in test]
    ahead = model.forecaster.predict(texts, split.vectors[test], split.labels[test])
    parts = []
    for rows, expected in ((train, forecasts), (test, ahead)):
        table, answers, vectors = split.table.take(rows), split.answers.take(rows), split.vectors[rows]
        recording = record(model, table, answers, vectors, expected)
        recording = with_evidence(recording, model.belief, answers)
        told = None if split.verifications is None else split.verifications.take(rows)
        share, paid = (None, None) if told is None or np.isnan(told.share).all() else (told.share, told.cost)
        parts.append(Part(table, answers, vectors, split.labels[rows], expected, recording, share, paid))
    # Only outcomes with a score can be counted, so only those may be chosen, by any method.
    parts[1] = replace(parts[1], recording=replace(parts[1].recording, asked=parts[1].available))
    return Fold(parts[0], parts[1], split.values, model, split.seed), test


def _fitted(split: Split) -> tuple[RoutingModel, Any]:
    rows = split.train
    model, _ = fit_table(
        split.table.take(rows),
        split.answers.take(rows),
        split.encoder.open(),
        embeddings=split.vectors[rows],
        seed=split.seed,
    )
    forecasts = model.forecaster.oof_
    if split.policy != "cascade":
        model = add_automix(
            model,
            split.table.take(rows),
            split.answers.take(rows),
            split.vectors[rows],
            None if split.verifications is None else split.verifications.take(rows),
            kind="threshold" if split.policy == "automix-threshold" else "pomdp",
            seed=split.seed,
        )
    return model, forecasts


def emafusion_points(fold: Fold) -> Points:
    """EMAFusion at each value of a good answer, with the terms that serving would use (its guard included)."""
    model = fold.model
    if model.automix is not None:
        return automix_points(fold, model.automix)
    pool = Pool([Candidate(name, name=name, price=model.prices[name]) for name in model.candidates])
    trade_off = TradeOff(pool, model.curve)
    terms = [trade_off.terms(Objective(usd_value=float(value))) for value in fold.values]
    return _simulated(fold, np.array([each.value for each in terms]), [each.only for each in terms])


def automix_points(fold: Fold, rules: AutoMix) -> Points:
    """The same where AutoMix is the policy; a verification that was paid for is counted at its recorded cost."""
    names, test = fold.model.candidates, fold.test
    pool = Pool([Candidate(name, name=name, price=fold.model.prices[name]) for name in names])
    trade_off = TradeOff(pool, rules.curves[rules.kind])
    told = None
    if rules.observed == "verification" and test.verification is not None:
        paid = np.full(test.verification.shape, np.nan) if test.verification_cost is None else test.verification_cost
        told = Verifications(test.verification, ~np.isnan(test.verification) | ~np.isnan(paid), paid)
    log, _ = verified_log(test.recording, told, verification_cost(test.table, fold.model.prices))
    walks = []
    for value in fold.values:
        terms = trade_off.terms(Objective(usd_value=float(value)))
        only = np.array([not terms.only or name in terms.only for name in names])
        walks.append(walk(rules, names, log, terms.value, only=only))
    return Points(
        score=np.stack([w.score for w in walks]),
        cost=np.stack([w.cost for w in walks]),
        answered=np.stack([w.answered for w in walks]),
        confidence=np.stack([w.confidence for w in walks]),
        calls=np.stack([w.calls for w in walks]),
    )


def _simulated(fold: Fold, values: Array, confined: Sequence[Sequence[str]] | None = None) -> Points:
    """The policy at each value, its choice confined to some candidates where any are named."""
    names = fold.model.candidates
    runs = []
    for value, only in zip(values, confined or [()] * len(values)):
        allowed = np.array([not only or name in only for name in names])
        runs.append(simulate(fold.test.recording, fold.model.belief, float(value), only=allowed))
    return Points.of(runs)
