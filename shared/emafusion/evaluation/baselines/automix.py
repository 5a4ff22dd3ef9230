"""AutoMix (arXiv 2310.12963): ask a small model, verify its answer, escalate where that is worth it.

Both routers are those of :mod:`emafusion.policies.automix`, fitted on the training part. AutoMix has a model verify its
own answer with eight samples. Samples that a log recorded (field ``verification`` of an outcome, a share or a list of
verdicts) are read, and what they cost is counted where it was recorded too (``verification_usd``). Where the log holds
none, the confidence is the probability of :mod:`~.answer_scores`, which was trained on scores and is free: more than
AutoMix has.
"""

from __future__ import annotations

import numpy as np

from emafusion.errors import LogError
from emafusion.evaluation.baselines.fold import Fold, Part
from emafusion.evaluation.baselines.single import best_single
from emafusion.evaluation.points import Array, Points
from emafusion.learning.automix import automix_rules
from emafusion.learning.automix_walk import Verified, walk
from emafusion.policies.automix import Kind

__all__ = ["automix", "automix_threshold"]


def automix(fold: Fold) -> Points:
    """AutoMix with its POMDP, solved for the very values of the operating points."""
    return _routed(fold, "pomdp")


def automix_threshold(fold: Fold) -> Points:
    """AutoMix with thresholds: those of most value less cost on the training part, for each value of a good answer."""
    return _routed(fold, "threshold")


def _routed(fold: Fold, kind: Kind) -> Points:
    held_out, on_test = fold.answer_scores
    names = fold.train.table.candidates
    test = _verified(fold.test, on_test)
    try:
        rules = automix_rules(names, _verified(fold.train, held_out), fold.values, seed=fold.seed)
    except LogError:  # no chain of candidates answered enough of the same queries
        return best_single(fold)
    walks = [walk(rules, names, test, float(value), kind) for value in fold.values]
    return Points(
        score=np.stack([w.score for w in walks]),
        cost=np.stack([w.cost for w in walks]),
        answered=np.stack([w.answered for w in walks]),
        confidence=None,
        calls=np.stack([w.calls for w in walks]),
    )


def _verified(part: Part, scores: Array) -> Verified:
    """Recorded verifications where there are any, else the scores of the answers; only what may be chosen is known."""
    share = scores if part.verification is None else np.where(np.isnan(part.verification), scores, part.verification)
    paid = np.zeros(scores.shape) if part.verification_cost is None else np.nan_to_num(part.verification_cost)
    may = part.available
    return Verified(
        score=np.where(may, part.score, np.nan),
        cost=np.where(may, part.cost, np.nan),
        confidence=share,
        verified=may,
        verification_cost=paid,
        usable=part.answers.usable,
    )
