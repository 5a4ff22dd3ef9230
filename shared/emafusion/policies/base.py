"""What a policy is: from a belief to the next move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from emafusion.judges.panel import Belief
from emafusion.policies.moves import Move

__all__ = ["Policy", "Terms"]


@dataclass(frozen=True, slots=True)
class Terms:
    """An objective in the terms that a policy works in.

    Attributes
    ----------
    value
        USD that a good answer is worth: 1 / lambda of the cost-quality trade-off.
    floor
        Share of the reference candidate's expected quality to keep on every query; the policy then finds the value
        itself, around ``value``. None for no floor.
    reference
        Name of that candidate.
    only
        Candidates to which the choice is confined (the guard found that deviating from them does not pay); empty: all.
    """

    value: float
    floor: float | None = None
    reference: str | None = None
    only: tuple[str, ...] = ()


class Policy(Protocol):
    """Chooses the next move. Pure: no I/O, no clock."""

    def next_move(self, belief: Belief, terms: Terms) -> Move: ...
