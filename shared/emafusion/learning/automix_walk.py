"""AutoMix over a whole log at once: every query in lockstep, in arrays, as the policy serves them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, IntArray
from emafusion.policies.automix import ACCEPT, FINAL, AutoMix, Kind

__all__ = ["Verified", "Walk", "walk"]


@dataclass(frozen=True)
class Verified:
    """n recorded queries as AutoMix meets them, over m candidates.

    Attributes
    ----------
    score, cost : (n, m)
        NaN where unknown.
    confidence : (n, m)
        What verifying the answer shows; NaN where it gave no verdict or was not done.
    verified : bool (n, m)
    verification_cost : (n, m)
        USD.
    usable : bool (n, m)
        Answers that pass the rules.
    """

    score: Array
    cost: Array
    confidence: Array
    verified: NDArray[np.bool_]
    verification_cost: Array
    usable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.score)

    @property
    def available(self) -> NDArray[np.bool_]:
        """Outcomes that can be replayed and counted."""
        return ~np.isnan(self.score) & ~np.isnan(self.cost)

    def take(self, rows: IntArray) -> Verified:
        return replace(self, **{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def columns(self, columns: Sequence[int]) -> Verified:
        return replace(self, **{f.name: getattr(self, f.name)[:, list(columns)] for f in fields(self)})


@dataclass(frozen=True)
class Walk:
    """What a router did with n queries: candidate of the log that answered, its expected quality, USD, score, calls."""

    answered: IntArray
    confidence: Array
    cost: Array
    score: Array
    calls: Array


def walk(
    rules: AutoMix,
    names: Sequence[str],
    log: Verified,
    value: float,
    kind: Kind | None = None,
    *,
    only: NDArray[np.bool_] | None = None,
    forecast: Array | None = None,
) -> Walk:
    """A router over recorded queries, all in lockstep: what :class:`AutoMixPolicy` does one after the other.

    Parameters
    ----------
    names
        Candidates of the log's columns.
    only : bool (m,)
        Candidates to which the choice is confined.
    forecast : (n, m), optional
        Expected qualities to start from, in place of the log's frequencies.
    """
    model, router = rules.solvability, kind or rules.kind
    at = [list(names).index(name) for name in model.candidates]
    part = log.columns(at)
    allowed = log.available if only is None else _confined(log.available, only)
    may_call, may_keep = allowed[:, at].copy(), np.zeros((len(log), len(at)), dtype=bool)
    beliefs = np.repeat(model.prior[None], len(log), 0) if forecast is None else model.tilted(forecast[:, at])
    confidence, spent, ran = np.full(len(log), np.nan), np.zeros(len(log)), np.zeros(log.score.shape, dtype=bool)
    answered, stage = np.full(len(log), -1), np.zeros(len(log), dtype=np.int64)
    stages = model.stages()
    for number, here in enumerate(stages):
        rows = np.nonzero(stage == number)[0]
        if not len(rows):
            continue
        what, whom = rules.choose(
            router, number, beliefs[rows], confidence[rows], value, may_call[rows], may_keep[rows]
        )
        stage[rows] = -1
        kept = what == ACCEPT
        answered[rows[kept]] = whom[kept]
        for j in np.unique(whom[what > ACCEPT]):
            mine = rows[(whom == j) & (what > ACCEPT)]
            final = what[(whom == j) & (what > ACCEPT)] == FINAL
            spent[mine] += part.cost[mine, j]
            ran[mine, at[j]] = True
            usable = part.usable[mine, j]
            answered[mine[final & usable]] = j
            may_keep[mine, j] = usable
            wrong, checked = mine[~usable], mine[usable & ~final]
            if len(wrong):
                beliefs[wrong], confidence[wrong] = model.after_failure(beliefs[wrong], j), np.nan
            # An answer that the log holds no verification of shows nothing and costs nothing more.
            seen = checked[part.verified[checked, j]]
            confidence[checked] = np.nan
            if len(seen):
                confidence[seen] = part.confidence[seen, j]
                beliefs[seen] = model.after(beliefs[seen], j, confidence[seen])
                spent[seen] += part.verification_cost[seen, j]
            onward = model.next_stage(here, int(j))
            onward_number = stages.index(onward) if onward in stages else -1
            stage[np.concatenate([wrong, checked])] = onward_number
    return _ended(log, np.array(at), answered, spent, ran, may_keep, beliefs @ model.quality, allowed)


def _confined(available: NDArray[np.bool_], only: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inside = available & only
    return np.where(inside.any(1, keepdims=True), inside, available)


def _ended(
    log: Verified,
    at: IntArray,
    answered: IntArray,
    spent: Array,
    ran: NDArray[np.bool_],
    may_keep: NDArray[np.bool_],
    expected: Array,
    allowed: NDArray[np.bool_],
) -> Walk:
    """Where the chain came to nothing, its best usable answer is kept, or the best of the other candidates answers."""
    rows, none = np.arange(len(log)), (answered < 0) & ~may_keep.any(1)
    answered = np.where(answered < 0, np.where(may_keep, expected, -np.inf).argmax(1), answered)
    known = log.available
    usual = np.array([log.score[known[:, j], j].mean() if known[:, j].any() else -1.0 for j in range(known.shape[1])])
    left = allowed & ~ran
    spare = np.where(np.where(left.any(1, keepdims=True), left, allowed), usual, -np.inf).argmax(1)
    again = none & ~ran[rows, spare]
    who = np.where(none, spare, at[answered])
    confidence = np.where(none, usual[spare], expected[rows, answered])
    cost = spent + np.where(again, log.cost[rows, spare], 0.0)
    return Walk(who, confidence, cost, log.score[rows, who], ran.sum(1) + again.astype(np.float64))
