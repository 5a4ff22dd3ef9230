"""AutoMix (arXiv 2310.12963) over any number of candidates: ask one, let it verify its answer, and go on or accept.

The threshold router accepts an answer whose verification reaches a threshold. The POMDP router updates a belief over
which candidates can answer the query at all (:mod:`emafusion.estimators.solvability`), and looks the best plan up in a
table that was solved when fitting (:mod:`emafusion.estimators.pomdp`): it does not escalate what nobody can answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from emafusion.estimators.beliefs import Array, IntArray
from emafusion.estimators.pomdp import Plans
from emafusion.estimators.shared_difficulty import logit, sigmoid
from emafusion.estimators.solvability import Solvability
from emafusion.judges.panel import Belief
from emafusion.policies.base import Terms
from emafusion.policies.moves import Abstain, Accept, Ask, Move, Try, ending
from emafusion.policies.trade_off import Curve

__all__ = ["ACCEPT", "CHECK", "FINAL", "KINDS", "NOTHING", "AutoMix", "AutoMixPolicy", "Kind", "Ladder"]

Kind: TypeAlias = Literal["pomdp", "threshold"]
KINDS: tuple[Kind, ...] = ("pomdp", "threshold")
Mask: TypeAlias = NDArray[np.bool_]

NOTHING, ACCEPT, FINAL, CHECK = -1, 0, 1, 2
"""What to do with a candidate: nothing is left to do; accept its answer; call and accept it; call and verify it."""
_CODE = {"accept": ACCEPT, "final": FINAL, "check": CHECK}


@dataclass(frozen=True)
class Ladder:
    """The threshold router at one value of a good answer: candidates in turn, and thresholds of all but the last."""

    value: float
    candidates: tuple[int, ...]
    thresholds: tuple[float, ...] = ()

    def step(self, last: int | None, confidence: Array) -> tuple[IntArray, IntArray]:
        """What to do (n,) and with whom (n,), after confidences (n,) of the answers of ``last``."""
        n, reached = len(confidence), -1 if last is None else last
        keep = np.zeros(n, dtype=bool)
        if last in self.candidates[: len(self.thresholds)]:
            limit = self.thresholds[self.candidates.index(reached)]
            keep = np.nan_to_num(confidence, nan=-np.inf) >= limit
        at = sum(candidate <= reached for candidate in self.candidates)
        if at == len(self.candidates):  # its end disappointed, and was not to be held to a threshold
            return np.full(n, ACCEPT), np.full(n, reached)
        onward = CHECK if at < len(self.thresholds) else FINAL
        return np.where(keep, ACCEPT, onward), np.where(keep, reached, self.candidates[at])


@dataclass(frozen=True)
class AutoMix:
    """What was fitted: the chain, its solved plans, the ladders, and what both routers cost and earn.

    Attributes
    ----------
    ladders
        In order of value.
    curves : by kind
        Measured out of fold, for objectives in the user's terms.
    observed
        "verification", or "answer" where the log had none: then an answer is judged by its own evidence and the
        router's forecast, which costs nothing.
    judge
        Name of the judge that verifies.
    """

    solvability: Solvability
    plans: Plans
    ladders: tuple[Ladder, ...]
    curves: Mapping[str, Curve]
    observed: Literal["verification", "answer"]
    kind: Kind = "pomdp"
    judge: str = "self-verification"

    def choose(
        self, kind: Kind, stage: int, beliefs: Array, confidence: Array, value: float, may_call: Mask, may_keep: Mask
    ) -> tuple[IntArray, IntArray]:
        """What to do (n,) and with which candidate of the chain (n,) at a stage.

        Parameters
        ----------
        stage
            Its number in ``solvability.stages()``.
        beliefs : (n, s)
        confidence : (n,)
            Of the answer that was verified last; read by the threshold router only.
        may_call, may_keep : bool (n, N)
            Candidates that can be called, and answers that can be accepted.
        """
        at = self.solvability.stages()[stage]
        if kind == "threshold":
            what, whom = self._ladder(value).step(at[-1] if at else None, confidence)
        else:
            moves = self.solvability.moves(at)
            number, _ = self.plans.choose(stage, beliefs, value)
            what = np.array([_CODE[m.kind] for m in moves])[number]
            whom = np.array([m.candidate for m in moves])[number]
        rows = np.arange(len(what))
        onward = may_call[rows, whom] & (whom > max(at, default=-1))
        possible = np.where(what == ACCEPT, may_keep[rows, whom], onward)
        other_what, other_whom = self._instead(at, beliefs, value, may_call, may_keep)
        return np.where(possible, what, other_what), np.where(possible, whom, other_whom)

    def _ladder(self, value: float) -> Ladder:
        """The one that was made for the nearest value."""
        return min(self.ladders, key=lambda ladder: abs(np.log(ladder.value) - np.log(value)))

    def _instead(
        self, stage: tuple[int, ...], beliefs: Array, value: float, may_call: Mask, may_keep: Mask
    ) -> tuple[IntArray, IntArray]:
        """The best that is left where the plan cannot be followed: keep an answer, or call one more and keep that."""
        n = may_call.shape[1]
        expected = value * (beliefs @ self.solvability.quality)
        at_hand = np.isin(np.arange(n), stage)
        dearer = np.arange(n) > max(stage, default=-1)
        options = np.hstack(
            [
                np.where(may_keep & at_hand, expected, -np.inf),
                np.where(may_call & dearer, expected - self.solvability.cost, -np.inf),
            ]
        )
        best = options.argmax(1)
        what = np.where(best < n, ACCEPT, FINAL)
        return np.where(np.isfinite(options.max(1)), what, NOTHING), best % n

    def to_config(self) -> dict[str, Any]:
        return {
            "solvability": self.solvability.to_config(),
            "plans": self.plans.to_config(),
            "ladders": [[one.value, list(one.candidates), list(one.thresholds)] for one in self.ladders],
            "curves": {kind: curve.to_config() for kind, curve in self.curves.items()},
            "observed": self.observed,
            "kind": self.kind,
            "judge": self.judge,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AutoMix:
        if config["kind"] not in KINDS or config["observed"] not in ("verification", "answer"):
            raise ValueError(f"unknown AutoMix: {config['kind']!r} from {config['observed']!r}")
        return cls(
            solvability=Solvability.from_config(config["solvability"]),
            plans=Plans.from_config(config["plans"]),
            ladders=tuple(Ladder(v, tuple(c), tuple(t)) for v, c, t in config["ladders"]),
            curves={kind: Curve.from_config(curve) for kind, curve in config["curves"].items()},
            observed=config["observed"],
            kind=config["kind"],
            judge=config["judge"],
        )


class AutoMixPolicy:
    """The policy: Try the cheapest worthwhile, Ask it to verify its own answer, Accept or Try the next.

    Parameters
    ----------
    rules
        As fitted by :func:`emafusion.learning.automix.fit_automix`.
    judges
        Names of the judges on the panel. Without the verifying one nothing is asked, and every answer that would have
        been verified is taken as an abstention.
    kind
        The router; None takes the one that the rules were saved with.
    prior
        "log": every query starts from the log's frequencies, as in AutoMix. "forecast": from what the router expects
        of this query.
    abstain_below
        Confidence under which the final answer is marked as not to be trusted; 0 never abstains.
    """

    def __init__(
        self,
        rules: AutoMix,
        judges: Collection[str] = (),
        *,
        kind: Kind | None = None,
        prior: Literal["log", "forecast"] = "log",
        abstain_below: float = 0.0,
    ) -> None:
        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind must be 'pomdp' or 'threshold', got {kind!r}")
        if prior not in ("log", "forecast"):
            raise ValueError(f"prior must be 'log' or 'forecast', got {prior!r}")
        self.rules, self.judges = rules, frozenset(judges)
        self.prior: Literal["log", "forecast"] = prior
        self.kind: Kind = kind or rules.kind
        self.abstain_below = abstain_below

    def hearing(self, judges: Collection[str]) -> AutoMixPolicy:
        """The same policy, with other judges on the panel."""
        return AutoMixPolicy(self.rules, judges, kind=self.kind, prior=self.prior, abstain_below=self.abstain_below)

    def next_move(self, belief: Belief, terms: Terms) -> Move:
        """Follow the plan from its beginning through what has happened, to the first thing that has not."""
        model = self.rules.solvability
        columns = [belief.index(name) if name in belief.names else -1 for name in model.candidates]
        may_call, may_keep = self._possible(belief, columns, terms)
        beliefs = model.prior[None]
        if self.prior == "forecast":
            forecast = np.array([[belief.p[j] if j >= 0 else 0.5 for j in columns]])
            beliefs = model.tilted(forecast)
        stages = model.stages()
        stage, confidence = 0, np.array([np.nan])
        while True:
            what, whom = (
                int(x[0])
                for x in self.rules.choose(self.kind, stage, beliefs, confidence, terms.value, may_call, may_keep)
            )
            if what == NOTHING:
                return self._otherwise(belief, terms)
            name = model.candidates[whom]
            good = float(beliefs[0] @ model.quality[:, whom])
            if what == ACCEPT:
                return self._accept(belief, name, f"{name} is good with probability {good:.2f} after its verification")
            if not belief.ran[columns[whom]]:
                return self._try(name, what, good)
            if belief.usable[columns[whom]] and what == FINAL:
                return self._accept(belief, name, f"{name} was to be accepted as it is, at probability {good:.2f}")
            if not belief.usable[columns[whom]]:
                beliefs, confidence = model.after_failure(beliefs, whom), np.array([np.nan])
            else:
                known = self._confidence(belief, name)
                if known is None:
                    return Ask(
                        (self.rules.judge,), name, f"{name} is to verify its answer before a dearer one is asked"
                    )
                confidence = np.array([known])
                beliefs = model.after(beliefs, whom, confidence)
            stage = self._number(stages, model.next_stage(stages[stage], whom))
            if stage < 0:  # the last of a long chain disappointed: nobody dearer is left
                return self._otherwise(belief, terms)

    @staticmethod
    def _number(stages: tuple[tuple[int, ...], ...], stage: tuple[int, ...]) -> int:
        return stages.index(stage) if stage in stages else -1

    @staticmethod
    def _possible(belief: Belief, columns: list[int], terms: Terms) -> tuple[Mask, Mask]:
        """(1, N) candidates that can be called or were, and answers that can be accepted."""
        admitted = terms.admits(belief)
        call = [j >= 0 and bool(admitted[j] or belief.ran[j]) for j in columns]
        keep = [j >= 0 and bool(belief.usable[j]) for j in columns]
        return np.array([call]), np.array([keep])

    def _confidence(self, belief: Belief, name: str) -> float | None:
        """What is observed of an answer, NaN for an abstention; None where it is still to be asked for."""
        j = belief.index(name)
        if self.rules.observed == "answer":
            return float(sigmoid(logit(belief.p[j : j + 1]) + belief.answer_llr[j])[0])
        for verdict, _ in belief.verdicts.get(name, ()):
            if verdict.judge == self.rules.judge:
                return float("nan") if verdict.score is None else verdict.score
        asked = (self.rules.judge, name) in belief.asked
        return float("nan") if asked or self.rules.judge not in self.judges else None

    def _try(self, name: str, what: int, good: float) -> Try:
        if what == FINAL:
            return Try((name,), commit=True, reason=f"{name} is good with probability {good:.2f}; it is not verified")
        next_ = "its answer is to be verified" if self.rules.observed == "verification" else "its answer is looked at"
        return Try((name,), reason=f"{name} is good with probability {good:.2f}; {next_}")

    def _otherwise(self, belief: Belief, terms: Terms) -> Move:
        """No candidate of the chain is left: the best of the others, or of the answers so far."""
        if belief.open.any() and not belief.usable.any():
            utility = np.where(terms.admits(belief), terms.value * belief.p - belief.cost, -np.inf)
            name = belief.names[int(utility.argmax())]
            reason = (
                f"no candidate that AutoMix was fitted for is left; {name} is expected to be worth most of the others"
            )
            return Try((name,), commit=True, reason=reason)
        answered = [n for j, n in enumerate(belief.names) if belief.ran[j]]
        return self._accept(belief, max(answered, key=belief.confidence), "the best answer of those at hand")

    def _accept(self, belief: Belief, name: str, reason: str) -> Accept | Abstain:
        return ending(name, reason, belief.confidence(name), self.abstain_below)
