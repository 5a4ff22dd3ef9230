"""Whom would a policy ask first? Asked of stored decisions, through the code that serves.

Where a store keeps no texts it was asked when the decision was made, while it waited in shadow
(:mod:`emafusion.learning.shadow_watch`), and what it would have done was noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from emafusion.asked import build_query
from emafusion.config import Objective
from emafusion.errors import EMAFusionError
from emafusion.fusion import Fusion
from emafusion.routers.artefact import RoutingModel
from emafusion.types import Message, Query

__all__ = ["FirstMoves", "RecordedPolicy", "RouterPolicy", "stored_query"]

StoredDecision = Mapping[str, Any]
"""A decision as the store reads it back."""


class FirstMoves(Protocol):
    """A policy, as far as its first move goes."""

    @property
    def id(self) -> str: ...

    def first(self, decision: StoredDecision, objective: Objective) -> str | None:
        """Name of the candidate; None where that cannot be told."""
        ...


@dataclass(frozen=True)
class RouterPolicy:
    """A router with its pool: what :meth:`Fusion.explain` says it would ask first.

    An average budget is paced by what was spent lately, which a dry run does not know: it is taken as neither over
    nor under.
    """

    id: str
    fusion: Fusion

    @classmethod
    def of(cls, id: str, model: RoutingModel, *, encoder: Any = None) -> RouterPolicy:
        """Over the candidates that the router knows, at its prices, with no models behind them and no judges."""
        return cls(id, Fusion.of_router(model, encoder=encoder))

    def first(self, decision: StoredDecision, objective: Objective) -> str | None:
        if decision["text"] is None:
            return self._noted(decision, objective)
        try:
            return self.fusion.explain(stored_query(decision), objective).first[0]
        except EMAFusionError:  # no candidate of this policy fits the request
            return None

    def _noted(self, decision: StoredDecision, objective: Objective) -> str | None:
        """What was noted while the words were there: of the policy that served, or of the one in shadow.

        To guess it from the embedding that is kept would not do: without the wording a router asks another candidate
        first in a tenth to a third of the cases, and what that earns is off by up to two points of a good answer.
        """
        if Objective(**decision["objective"]) != objective:
            return None
        if decision.get("policy") == self.id:
            return RecordedPolicy(self.id).first(decision, objective)
        noted: Mapping[str, str] = decision.get("shadows") or {}
        return noted.get(self.id)

    def value_usd(self, decision: StoredDecision, objective: Objective) -> float:
        """What a good answer is worth under an objective."""
        return self.fusion.trade_off.terms(objective, int(decision["prompt_tokens"])).value


@dataclass(frozen=True)
class RecordedPolicy:
    """The policy that served, as its decisions recorded it: whom it would have asked first, had chance not stepped in.

    For an incumbent without an artefact (the shipped prior), or whose pool and judges should count as they were.
    """

    id: str
    policies: frozenset[str] = field(default=frozenset())
    """Identities under which its decisions were recorded; empty: all."""

    def first(self, decision: StoredDecision, objective: Objective) -> str | None:
        if self.policies and decision.get("policy") not in self.policies:
            return None
        if not decision.get("explored") and decision.get("first"):
            return str(decision["first"][0])
        chances: Mapping[str, float] = decision.get("propensities") or {}
        return max(chances, key=lambda name: chances[name]) if chances else None


def stored_query(decision: StoredDecision) -> Query:
    """The query of a stored decision, as routers see it."""
    query = build_query(
        (Message("user", decision["text"]),), tools=decision.get("tools") or (), schema=decision.get("schema")
    )
    return replace(query, text=decision["text"], prompt_tokens=int(decision["prompt_tokens"]), id=decision["id"])
