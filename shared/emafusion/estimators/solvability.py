"""Which candidates of a chain can answer a query well, as a hidden state, and what their verifications show of it.

The states are AutoMix's simple, complex and unsolvable (arXiv 2310.12963) for any number of candidates: state i says
that candidate i is the cheapest whose answer is good, the last one that none is. Dearer candidates need not be good
where a cheaper one is: how good they are in each state is fitted too, so nesting is a summary, not an assumption.
Where many of a log's queries are not nested and there are up to three candidates, each combination of good and bad is
a state of its own: then the answer to fall back on after a disappointing dear one is known as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.pomdp import Action, Process

__all__ = ["Move", "Solvability"]

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

BINS = 9
"""As many as eight samples have shares; finer confidences come into bins that hold about as many each."""
GOOD = 0.5
"""Score from which an answer counts as good."""
MOST_PATTERNS = 3
"""Candidates up to which every combination may be a state; stages then remember all answers, else the last one."""
NOT_NESTED = 0.1
"""Share of queries, some dearer candidate bad where a cheaper one is good, from which combinations are told apart."""
STATE_PRIOR = 0.5
QUALITY_PRIOR = 2.0
BIN_PRIOR = 2.0
SHRINKAGE = 3.0
"""Verifications that the bins of one state start with, at their rates over all states of that kind."""
KERNEL = (0.05, 0.9, 0.05)


@dataclass(frozen=True)
class Move:
    """What an action does: ``check`` calls and verifies, ``final`` calls and accepts, ``accept`` stops."""

    kind: Literal["accept", "final", "check"]
    candidate: int


@dataclass(frozen=True)
class Solvability:
    """The fitted chain.

    Attributes
    ----------
    candidates : N names, cheapest first
    patterns
        Whether the states are combinations of good and bad (2^N), else the cheapest good candidate (N + 1).
    prior : (s,)
    quality : (s, N)
        Expected score of each candidate in each state.
    cost, verification_cost : (N,)
        Mean USD of an answer, and of verifying it.
    edges : N arrays of up to eight
        Inner edges of the bins of each candidate's confidence.
    likelihood : (N, z, s)
        Probability of each bin in each state; the last bin, as probable in each, is for no verdict: it says nothing.
    """

    candidates: tuple[str, ...]
    patterns: bool
    prior: Array
    quality: Array
    cost: Array
    verification_cost: Array
    edges: tuple[Array, ...]
    likelihood: Array

    # -- fitting -----------------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        candidates: tuple[str, ...],
        score: Array,
        cost: Array,
        confidence: Array,
        verified: NDArray[np.bool_],
        verification_cost: Array,
    ) -> Solvability:
        """Fit by smoothed counts.

        Parameters
        ----------
        score, cost : (n, N)
            Known for all, candidates in order of mean cost.
        confidence : (n, N)
            Share of verifications that call the answer correct; NaN where there is no verdict.
        verified : bool (n, N)
            Whether the answer was verified at all.
        verification_cost : (N,)
        """
        if not len(score):
            raise ValueError("solvability needs at least one query that all candidates of the chain answered")
        good = score >= GOOD
        disappointing = (np.logical_or.accumulate(good, 1)[:, :-1] & ~good[:, 1:]).any(1)
        patterns = bool(score.shape[1] <= MOST_PATTERNS and disappointing.mean() > NOT_NESTED)
        state, side = _states(good, patterns)
        return cls(
            candidates=candidates,
            patterns=patterns,
            prior=_shares(np.bincount(state, minlength=len(side)) + STATE_PRIOR),
            quality=_qualities(score, state, side),
            cost=cost.mean(0),
            verification_cost=np.asarray(verification_cost, dtype=np.float64),
            edges=tuple(_edges(confidence[verified[:, j], j]) for j in range(score.shape[1])),
            likelihood=np.zeros((0,)),
        )._with_likelihood(confidence, verified, state, side)

    def _with_likelihood(
        self, confidence: Array, verified: NDArray[np.bool_], state: IntArray, side: IntArray
    ) -> Solvability:
        out = np.zeros((len(self.candidates), BINS + 1, len(side)))
        for j in range(len(self.candidates)):
            rows = verified[:, j]
            seen = self.observed(j, confidence[rows, j])
            silent = ((seen == BINS).sum() + 0.5) / (len(seen) + 1.0)
            for kind in np.unique(side[:, j]):
                alike = side[state[rows], j] == kind
                pooled = _shares(_smoothed(_counts(seen[alike])) + BIN_PRIOR / BINS)
                for s in np.nonzero(side[:, j] == kind)[0]:
                    own = _shares(_smoothed(_counts(seen[state[rows] == s])) + SHRINKAGE * pooled)
                    out[j, :, s] = np.append((1.0 - silent) * own, silent)
        return Solvability(**{**{f: getattr(self, f) for f in self.__dataclass_fields__}, "likelihood": out})

    # -- observing ---------------------------------------------------------------------------------------------

    def observed(self, candidate: int, confidence: Array) -> IntArray:
        """(n,) bins of confidences of a candidate's answers; those that are NaN come into the last one."""
        given = np.asarray(confidence, dtype=np.float64)
        bins = np.searchsorted(self.edges[candidate], np.nan_to_num(given, nan=0.0), side="right")
        return np.where(np.isnan(given), BINS, bins).astype(np.int64)

    def after(self, beliefs: Array, candidate: int, confidence: Array) -> Array:
        """(n, s) beliefs once the confidences (n,) of a candidate's answers are known."""
        return _normal(beliefs * self.likelihood[candidate][self.observed(candidate, confidence)])

    def after_failure(self, beliefs: Array, candidate: int) -> Array:
        """(n, s) beliefs once a candidate's answers have been seen to be of no use."""
        return _normal(beliefs * (1.0 - self.quality[:, candidate] + 1e-6))

    def tilted(self, expected: Array) -> Array:
        """(n, s) priors whose expected qualities come near those forecast (n, N), as near the log's own as can be.

        Iterative proportional fitting; states keep what they say of candidates together.
        """
        wanted = np.clip(expected, 0.02, 0.98)
        beliefs = np.repeat(self.prior[None], len(wanted), 0)
        for _ in range(5):
            for j in range(len(self.candidates)):
                now = np.clip(beliefs @ self.quality[:, j], 1e-6, 1.0 - 1e-6)
                up, down = wanted[:, j] / now, (1.0 - wanted[:, j]) / (1.0 - now)
                beliefs = _normal(beliefs * (np.outer(up, self.quality[:, j]) + np.outer(down, 1 - self.quality[:, j])))
        return beliefs

    # -- planning ----------------------------------------------------------------------------------------------

    def stages(self) -> tuple[tuple[int, ...], ...]:
        """Candidates whose answers are at hand at each stage: all that were checked, or in long chains the last."""
        n = len(self.candidates)
        if n > MOST_PATTERNS:
            return ((), *((j,) for j in range(n - 1)))
        subsets = [tuple(j for j in range(n) if bits >> j & 1) for bits in range(2**n)]
        return tuple(sorted(subsets, key=lambda each: (max(each, default=-1), each)))

    def moves(self, stage: tuple[int, ...]) -> tuple[Move, ...]:
        """What may be done at a stage; only dearer candidates are called, and the last of a long chain is final."""
        dearer = range(max(stage, default=-1) + 1, len(self.candidates))
        checked = dearer if len(self.candidates) <= MOST_PATTERNS else dearer[:-1]
        return (
            *(Move("accept", j) for j in stage),
            *(Move("final", j) for j in dearer),
            *(Move("check", j) for j in checked),
        )

    def next_stage(self, stage: tuple[int, ...], checked: int) -> tuple[int, ...]:
        """The stage once a further candidate is checked."""
        return (checked,) if len(self.candidates) > MOST_PATTERNS else tuple(sorted({*stage, checked}))

    def process(self) -> Process:
        """The POMDP of the chain, its stages as in :meth:`stages` and their actions as in :meth:`moves`."""
        stages = self.stages()
        number = {stage: i for i, stage in enumerate(stages)}
        free, nothing = np.zeros(len(self.prior)), np.ones(len(self.prior))
        out: list[tuple[Action, ...]] = []
        for stage in stages:
            actions = []
            for move in self.moves(stage):
                j = move.candidate
                if move.kind == "accept":
                    actions.append(Action(self.quality[:, j], free))
                elif move.kind == "final":
                    actions.append(Action(self.quality[:, j], self.cost[j] * nothing))
                else:
                    spent = (self.cost[j] + self.verification_cost[j]) * nothing
                    actions.append(Action(free, spent, self.likelihood[j], number[self.next_stage(stage, j)]))
            out.append(tuple(actions))
        return Process(tuple(out))

    # -- saving ------------------------------------------------------------------------------------------------

    def to_config(self) -> dict[str, Any]:
        return {
            "candidates": list(self.candidates),
            "patterns": self.patterns,
            "prior": self.prior.tolist(),
            "quality": self.quality.tolist(),
            "cost": self.cost.tolist(),
            "verification_cost": self.verification_cost.tolist(),
            "edges": [e.tolist() for e in self.edges],
            "likelihood": self.likelihood.tolist(),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Solvability:
        arrays = ("prior", "quality", "cost", "verification_cost", "likelihood")
        return cls(
            candidates=tuple(config["candidates"]),
            patterns=bool(config["patterns"]),
            edges=tuple(np.array(e, dtype=np.float64) for e in config["edges"]),
            **{name: np.array(config[name], dtype=np.float64) for name in arrays},
        )


def _states(good: NDArray[np.bool_], patterns: bool) -> tuple[IntArray, IntArray]:
    """State of each query (n,), and each candidate's side in each state (s, N): states alike for it share one."""
    n = good.shape[1]
    if patterns:
        return good @ (1 << np.arange(n)), (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    first = np.where(good.any(1), good.argmax(1), n)
    return first, np.sign(np.arange(n) - np.arange(n + 1)[:, None])


def _qualities(score: Array, state: IntArray, side: IntArray) -> Array:
    """(s, N) mean scores, those of rare states drawn to the mean over all states on the same side of the candidate."""
    out = np.zeros(side.shape)
    for j in range(side.shape[1]):
        for kind in np.unique(side[:, j]):
            alike = side[state, j] == kind
            # On the side of the good (1 in combinations; 0, the cheapest good one itself, and 1 in the nested case).
            good = kind == 1 or (kind == 0 and side.min() < 0)
            usual = float(score[alike, j].mean()) if alike.any() else float(good)
            for s in np.nonzero(side[:, j] == kind)[0]:
                own = score[state == s, j]
                out[s, j] = (own.sum() + QUALITY_PRIOR * usual) / (len(own) + QUALITY_PRIOR)
    return out


def _edges(confidence: Array) -> Array:
    """Inner edges of bins: between the confidences where there are few different ones, else about as many in each."""
    known = confidence[~np.isnan(confidence)]
    if not len(known):
        return np.arange(1, BINS) / BINS
    different = np.unique(known)
    if len(different) <= BINS:
        return np.asarray((different[1:] + different[:-1]) / 2.0)
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS))


def _counts(bins: IntArray) -> Array:
    """(BINS,) how many came into each bin; those without a verdict are left out."""
    return np.bincount(bins, minlength=BINS + 1)[:BINS].astype(np.float64)


def _smoothed(count: Array) -> Array:
    """Counts shared with neighbouring bins."""
    return np.convolve(np.concatenate([count[:1], count, count[-1:]]), KERNEL, mode="valid")


def _shares(weights: NDArray[Any]) -> Array:
    return np.asarray(weights / weights.sum())


def _normal(beliefs: Array) -> Array:
    return np.asarray(beliefs / np.maximum(beliefs.sum(1, keepdims=True), 1e-300))
