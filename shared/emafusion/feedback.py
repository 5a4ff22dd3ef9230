"""`Feedback`: what users and programs say of answers, on its way into the store and into learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from emafusion.errors import ConfigError
from emafusion.grading import graded
from emafusion.recent import Recent
from emafusion.types import Decision, Query

if TYPE_CHECKING:
    from emafusion.learning.online.loop import LearningLoop
    from emafusion.learning.online.preferences import Signal
    from emafusion.store import Store

__all__ = ["REMEMBERED", "Feedback"]

REMEMBERED = 4096
"""Decisions of which feedback can be told without a store."""


class Feedback:
    """Knows the last decisions; feedback on earlier ones, or on another process', needs the store.

    Parameters
    ----------
    store
        Keeps what is said; None: it is only learned from.
    learning
        Learns from it; None: it is only kept.
    """

    def __init__(self, store: Store | None, learning: LearningLoop | None) -> None:
        self._store, self._learning = store, learning
        self._decisions, self._questions = Recent[Decision](REMEMBERED), Recent[str](REMEMBERED)

    def remember(self, query: Query, decision: Decision) -> None:
        """Have it at hand when feedback comes."""
        self._decisions.put(decision.id, decision)
        self._questions.put(decision.id, query.text)

    def decision(self, id: str) -> Decision | None:
        return self._decisions.get(id)

    # -- what may be said; each raises ConfigError if it makes no sense or the decision is unknown ----------------

    def score(self, decision_id: str, score: Any, kind: str, key: str | None) -> None:
        """A score in [0, 1], or thumbs as one."""
        if not isinstance(score, (int, float)) or not 0.0 <= score <= 1.0:
            raise ConfigError(f"feedback score must be a number in [0, 1], got {score!r}")
        self._keep(decision_id, float(score), kind=kind, key=key)
        if self._learning is not None:
            self._learning.told(decision_id, dict.fromkeys(self._agreeing(decision_id), float(score)), key)

    def compare(self, decision_id: str, truth: str, key: str | None) -> None:
        """The true answer."""
        decision, question = self._decisions.get(decision_id), self._questions.get(decision_id)
        answered_by, responses = "", dict[str, str]()
        if decision is not None:
            answered_by = decision.answered_by
            responses = {a.candidate: a.reply.text for a in decision.attempts if a.reply is not None}
        elif (row := self._stored(decision_id)) is not None:
            question, answered_by = row["text"], row["answered_by"]
            responses = {a["candidate"]: a["response"] for a in row["attempts"] if a["response"] is not None}
        scores = graded(question or "", responses, truth)
        if responses and not scores:
            raise ConfigError(
                f"the truth {truth[:60]!r} cannot be compared with what was answered, which is free text: "
                "grade the answer yourself and give feedback(id, score=...)"
            )
        self._keep(decision_id, scores.get(answered_by), kind="truth", key=key, text=truth)
        if self._learning is not None:
            self._learning.told(decision_id, scores, key)

    def prefer(self, decision_id: str, preferred: str | None, over: str | None, key: str | None) -> None:
        """One candidate's answer over another's."""
        if not preferred or not over or preferred == over:
            raise ConfigError("a preference names two candidates: feedback(id, preferred='one', over='another')")
        key = key or f"{decision_id}:preference:{preferred}:{over}"
        if self._learning is not None:
            self._learning.preferred(decision_id, preferred, over, key)
        self._keep(decision_id, None, kind="preference", candidate=preferred, against=over, key=key)

    def signal(self, decision_id: str, signal: Signal, *, present: bool = True) -> None:
        """A reaction that speaks against the answer; its absence is learned from, but is no score to keep."""
        if present:
            self._keep(decision_id, 0.0, kind="implicit", key=f"{decision_id}:{signal}")
        if self._learning is None:
            return
        decision = self._decisions.get(decision_id)
        row = self._stored(decision_id) if decision is None else None
        answered_by = decision.answered_by if decision is not None else row["answered_by"] if row else None
        if answered_by is not None:
            self._learning.signal(decision_id, answered_by, signal, present)

    # -- inside --------------------------------------------------------------------------------------------------

    def _keep(self, decision_id: str, score: float | None, **said: Any) -> None:
        known = decision_id in self._decisions
        if self._store is not None:
            known = self._store.feedback(decision_id, score, **said) or known
        if not known:
            raise ConfigError(
                f"no decision has the id {decision_id!r}: take it from response_metadata['emafusion']['id'], and give "
                f"store='emafusion.sqlite' if feedback comes later than {REMEMBERED} requests or in another process"
            )

    def _stored(self, decision_id: str) -> Mapping[str, Any] | None:
        return None if self._store is None else self._store.decision(decision_id)

    def _agreeing(self, decision_id: str) -> set[str]:
        """Whose answer is meant: the one that was given, and those that are the same."""
        from emafusion.learning.online.rewards import told
        from emafusion.store.export import agreeing_with

        decision = self._decisions.get(decision_id)
        if decision is not None:
            return set(told(decision, 1.0))
        row = self._stored(decision_id)
        return set() if row is None else agreeing_with(row)
