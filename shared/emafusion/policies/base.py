"""What a policy is: from a belief to the next move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
    allowance
        USD: calls that are expected to cost more are not made, but for the cheapest of all where nothing has answered.
    """

    value: float
    floor: float | None = None
    reference: str | None = None
    only: tuple[str, ...] = ()
    allowance: float = math.inf

    def admits(self, belief: Belief) -> NDArray[np.bool_]:
        """Candidates that may be called, (m,): open ones that are among ``only`` and within the allowance.

        Where that leaves nobody and there is no answer yet: any, if the allowance permits, else the cheapest.
        """
        only = np.array([not self.only or name in self.only for name in belief.names])
        affordable = np.asarray(belief.open & (belief.cost <= self.allowance))
        if (affordable & only).any() or belief.usable.any():
            return np.asarray(affordable & only)
        if not affordable.any() and belief.open.any():
            affordable[int(np.where(belief.open, belief.cost, np.inf).argmin())] = True
        return affordable


class Policy(Protocol):
    """Chooses the next move. Pure: no I/O, no clock."""

    def next_move(self, belief: Belief, terms: Terms) -> Move: ...
