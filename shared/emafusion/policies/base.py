"""What a policy is: from a belief to the next move."""

from __future__ import annotations

from typing import Protocol

from emafusion.config import Objective
from emafusion.judges.panel import Belief
from emafusion.policies.moves import Move

__all__ = ["Policy"]


class Policy(Protocol):
    """Chooses the next move. Pure: no I/O, no clock; randomness only from what the belief carries."""

    def next_move(self, belief: Belief, objective: Objective) -> Move: ...
