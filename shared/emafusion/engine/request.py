"""`Request`: what the engine has gathered about one request so far."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from emafusion.config import Objective
from emafusion.engine.binding import Binding
from emafusion.engine.paying import Purse
from emafusion.errors import BudgetExceeded
from emafusion.judges.panel import Belief
from emafusion.policies.base import Terms
from emafusion.policies.exploring import Opening
from emafusion.types import Attempt, Forecast, Query, Verdict

__all__ = ["SURPRISE", "Request"]

SURPRISE = -1.0
"""Log-likelihood ratio of an answer's own evidence below which a plan to accept it unseen is made anew."""

log = logging.getLogger("emafusion")


@dataclass(slots=True)
class Request:
    """What one request has gathered so far."""

    query: Query
    objective: Objective
    terms: Terms
    allowed: tuple[str, ...]
    forecast: Forecast
    belief: Belief
    warnings: list[str] = field(default_factory=list)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    """By candidate, in the order in which they were asked."""
    verdicts: list[Verdict] = field(default_factory=list)
    opening: Opening | None = None
    """The first move that was chosen, where there was a choice."""
    audited: str | None = None
    acted_on: dict[str, float] = field(default_factory=dict)
    """Confidence in each answer before an audit."""
    binding: Binding | None = None
    """Of the tool loop that the request goes on with."""
    purse: Purse | None = None
    refused: BudgetExceeded | None = None
    """By a budget that is to be told of, not got around."""
    unaffordable: dict[str, Exception] = field(default_factory=dict)
    """Candidates that no budget pays for, and why."""

    def answered(self) -> list[Attempt]:
        return [a for a in self.attempts.values() if a.reply is not None]

    def warn(self, text: str, error: Exception) -> None:
        message = f"{text}: {type(error).__name__}: {error}"
        self.warnings.append(message)
        log.warning("emafusion: %s", message)

    def speaks_for_itself(self, candidate: str) -> bool:
        """Whether its answer is usable, and neither rules nor the user's own checks speak against it."""
        j = self.belief.index(candidate)
        return bool(self.belief.usable[j] and self.belief.llr()[j] > SURPRISE)
