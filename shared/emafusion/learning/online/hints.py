"""`Hint` and `Answer`: evidence that is told of an answer once it is there, each piece under a key of its own.

Whoever tells the same key again, here or in another process, replaces that piece and adds nothing. So what the pieces
come to is worked out anew from all of them, in the order of their keys, and is the same whoever told them, and when.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from emafusion.learning.online.evidence import log_odds, verdict_evidence
from emafusion.learning.online.observation import Observation

__all__ = ["Answer", "Hint"]


@dataclass(frozen=True, slots=True)
class Hint:
    """One piece of evidence on one answer, in the terms of an :class:`Observation`.

    Attributes
    ----------
    key
        Its identity among the hints on this answer.
    judge
        Probability of a good answer that it makes of the forecast; None: what was told under the key is taken back.
    weight
        How much it can tell, in [0, 1].
    """

    key: str
    judge: float | None
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was seen, and the hints on it, sorted by key."""

    seen: Observation
    hints: tuple[Hint, ...] = ()

    def told(self, hint: Hint) -> Answer:
        """With a hint, in place of that of its key."""
        if hint in self.hints:
            return self
        others = [h for h in self.hints if h.key != hint.key]
        return replace(self, hints=tuple(sorted([*others, hint], key=lambda h: h.key)))

    @property
    def observation(self) -> Observation:
        """What is known of it by all of that together."""
        known = self.seen
        for hint in self.hints:
            if hint.judge is not None:
                known = _besides(known, hint.judge, hint.weight)
        return known


def _besides(observation: Observation, judge: float, weight: float) -> Observation:
    """The observation with other evidence on the same answer added to its own, as independent of it."""
    if observation.judge is None:
        return replace(observation, judge=judge, weight=weight)
    llr = log_odds(observation.judge) + log_odds(judge) - 2.0 * log_odds(observation.forecast)
    both, _ = verdict_evidence(observation.forecast, llr)
    return replace(observation, judge=both, weight=1.0 - (1.0 - weight) * (1.0 - observation.weight))
