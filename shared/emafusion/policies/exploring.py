"""What chance may add to a policy: whom to ask first now and then, whose answer to check by the reference's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from emafusion.judges.panel import Belief
from emafusion.policies.base import Terms
from emafusion.policies.moves import Try

__all__ = ["Explorer", "Opening"]


@dataclass(frozen=True, slots=True)
class Opening:
    """A first move, and the part that chance had in it.

    Attributes
    ----------
    propensities
        Candidate -> probability with which it was to be asked first.
    explored
        Chance chose, not the policy. The draft is then never accepted unseen.
    """

    move: Try
    propensities: Mapping[str, float] = field(default_factory=dict)
    explored: bool = False


class Explorer(Protocol):
    """Draws by chance; the engine carries it out."""

    def open(self, belief: Belief, terms: Terms, move: Try) -> Opening:
        """The first move to make, where the policy would make ``move``."""

    def audits(self, belief: Belief, accepted: str, reference: str) -> bool:
        """Whether the reference is to be asked beside, to learn how far judges can be trusted."""
