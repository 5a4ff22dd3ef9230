"""Fitting how verdicts weigh, from a log whose outcomes carry them.

What a verdict adds depends on what was believed without it, so each answer is met in two states: alone, and beside a
few others that may agree with it. The stack learns what is left to say.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.belief_model import BeliefModel
from emafusion.estimators.beliefs import Array, IntArray, infer
from emafusion.estimators.confidence import FEATURES, calibrated
from emafusion.estimators.judge_stack import JudgeStack
from emafusion.estimators.scales import logit
from emafusion.learning.pseudo_labels import agreement_labels, corrected_labels
from emafusion.learning.simulation import Recording
from emafusion.learning.table import LogTable
from emafusion.taxonomy.labels import Taxonomy

__all__ = ["fit_judges", "likeliest_tasks", "with_verdicts"]

ENOUGH = 400
"""Scored answers with a verdict from which on pseudo-labels are not needed."""
FEW = 30
"""Scored answers with a verdict below which only the correlation of the judges' errors is estimated."""
SHIPPED = 1.2
MOST_BESIDE = 3


def fit_judges(
    recording: Recording, belief: BeliefModel, table: LogTable, labels: Array, *, seed: int = 0
) -> BeliefModel:
    """``belief`` with a stack of the log's judges; unchanged where the log has no verdicts.

    Parameters
    ----------
    recording
        Of the rows of ``table``, with the evidence of single answers and without verdicts.
    labels : (n, c)
        Probabilities of the categories of each query.
    """
    if table.verdicts is None or table.heard is None:
        return belief
    target, count = _targets(recording, table)
    rows, cols = np.nonzero(table.heard.any(2) & ~np.isnan(target))
    scores, heard = table.verdicts[rows, cols], table.heard[rows, cols]
    weights = np.full(len(table.judges), SHIPPED)
    if count[rows, cols].sum() < FEW:
        return replace(belief, judges=JudgeStack.tempered(table.judges, _all_heard(table), weights))
    tasks = [likeliest_tasks(labels)[i] for i in rows]
    parts = [_state(recording, belief, rows, cols, most, seed) for most in (0, MOST_BESIDE)]
    stack = JudgeStack.fit(
        table.judges,
        np.vstack([scores, scores]),
        np.vstack([heard, heard]),
        np.tile(target[rows, cols], 2),
        np.concatenate([offset for offset, _ in parts]),
        sensitivity=np.concatenate([moves for _, moves in parts]),
        task=tasks * 2,
        weights=weights,
        count=np.tile(count[rows, cols] / 2.0, 2),  # the same answer twice is one label
        group=np.tile(np.arange(len(rows)), 2),
    )
    return replace(belief, judges=stack)


def with_verdicts(
    recording: Recording, belief: BeliefModel, table: LogTable, labels: Array, judges: tuple[str, ...] | None = None
) -> Recording:
    """Add what judges say of each answer, all of them or some, as if they saw every draft for nothing."""
    if table.verdicts is None or table.heard is None or not belief.judges.judges:
        return recording
    chosen = np.array([judges is None or name in judges for name in table.judges])
    place = [table.judges.index(name) if name in table.judges else -1 for name in belief.judges.judges]
    rows, cols = np.nonzero((table.heard & chosen).any(2))
    known = np.array([k >= 0 and chosen[k] for k in place])
    scores = np.where(known, table.verdicts[rows, cols][:, place], np.nan)
    heard = known & table.heard[rows, cols][:, place]
    llr = recording.llr.copy()
    tasks = likeliest_tasks(labels)
    llr[rows, cols] += belief.judges.columns(scores, heard, [tasks[i] for i in rows])
    return replace(recording, llr=llr)


def likeliest_tasks(labels: Array) -> list[str]:
    """The likeliest task type of each query, from its category probabilities."""
    names = Taxonomy.default().labels("task")
    return [names[i] for i in labels.reshape(len(labels), len(names), -1).sum(2).argmax(1)]


def _targets(recording: Recording, table: LogTable) -> tuple[Array, Array]:
    """Scores, or where they are few, corrected pseudo-labels beside them; and how many labels each is worth."""
    assert table.heard is not None
    score, heard = table.score, table.heard.any(2)
    count = (~np.isnan(score)).astype(np.float64)
    scored = heard & ~np.isnan(score)
    if scored.sum() >= ENOUGH or scored.sum() == heard.sum() or not (~np.isnan(score)).any():
        return score, count
    with np.errstate(invalid="ignore"):
        mean = np.where(np.isnan(score), 0.0, score).sum(0) / np.maximum((~np.isnan(score)).sum(0), 1)
    pseudo = agreement_labels(recording.label, int(mean.argmax()))
    corrected = corrected_labels(np.where(heard, pseudo, np.nan), score)
    return corrected.target, corrected.count


def _all_heard(table: LogTable) -> Array:
    assert table.verdicts is not None
    return table.verdicts.reshape(-1, len(table.judges))


def _state(
    recording: Recording, belief: BeliefModel, rows: IntArray, cols: IntArray, most: int, seed: int
) -> tuple[Array, Array]:
    """Log-odds of each answer beside at most ``most`` others, and how far evidence moves them: (r,) each."""
    rng = np.random.default_rng(seed)
    ran: NDArray[np.bool_] = np.zeros((len(rows), recording.p.shape[1]), dtype=bool)
    if most:
        order = np.where(recording.asked[rows], rng.random(ran.shape), 2.0).argsort(1).argsort(1)
        ran = (order < rng.integers(1, most + 1, len(rows))[:, None]) & recording.asked[rows]
    each = np.arange(len(rows))
    ran[each, cols] = True
    evidence = recording.evidence(belief, belief.difficulty.right(recording.p), rows, ran)
    q = calibrated(evidence, infer(evidence), recording.p[rows], belief.calibration)[each, cols]
    slopes = belief.calibration.slopes_[1]
    alone = ran.sum(1) <= 1
    moves = slopes[FEATURES.index("belief")] + slopes[FEATURES.index("belief_if_first")] * alone
    return logit(q, 0.003), np.maximum(moves, 0.05)
