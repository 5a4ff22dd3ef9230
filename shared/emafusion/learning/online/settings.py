"""`Learning`: what a user may set of the learning that goes on while serving."""

from __future__ import annotations

import math
from dataclasses import dataclass

from emafusion.errors import ConfigError
from emafusion.learning.online.observation import GAMMA

__all__ = ["Learning"]


@dataclass(frozen=True, slots=True)
class Learning:
    """Settings of learning while serving; the defaults need no tuning.

    Parameters
    ----------
    exploration
        Share of requests whose first draft goes to another candidate than the policy's choice, to learn about it. The
        draft is judged like any other, so what is at stake is its cost. Candidates of which little is known get more
        until enough is. 0 switches all exploring off.
    audit
        Share of requests whose answer is compared with the reference candidate's, to learn how far judges lean; up to
        ten times that until it is known how far they favour the candidate, and half of the answers of one whose
        quality may be falling. 0 switches audits off, and judges are taken nearly at their word.
    memory
        By what the weight of an answer shrinks with each later decision, in (0, 1]; 0.999 looks back about 1,000.
    prior_strength
        Answers that a forecast with a standard deviation of 0.15 counts for, before any answer; one of half that
        deviation counts for four times as many.
    exploring_usd
        Most that the expected cost of an exploring draft may be, in USD; None: what a good answer is worth.
    drift
        Whether to watch for changes of candidates' quality and of the traffic (needs the extra ``drift``).
    seed
        Of the generator that decides when to explore and to audit.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Examples
    --------
    >>> Learning(exploration=0.0).explores
    False
    """

    exploration: float = 0.01
    audit: float = 0.01
    memory: float = GAMMA
    prior_strength: float = 10.0
    exploring_usd: float | None = None
    drift: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("exploration", "audit"):
            share = getattr(self, name)
            if not _number(share) or not 0.0 <= share <= 0.5:
                raise ConfigError(f"Learning({name}={share!r}): it is a share of requests, from 0 (off) to 0.5")
        if not _number(self.memory) or not 0.9 <= self.memory <= 1.0:
            raise ConfigError(f"Learning(memory={self.memory!r}): it must lie in [0.9, 1], as 0.999 does")
        if not _number(self.prior_strength) or not 0.1 <= self.prior_strength <= 1e6:
            raise ConfigError(
                f"Learning(prior_strength={self.prior_strength!r}): it is a number of answers, from 0.1 to 1,000,000"
            )
        if self.exploring_usd is not None and not (_number(self.exploring_usd) and self.exploring_usd >= 0):
            raise ConfigError(
                f"Learning(exploring_usd={self.exploring_usd!r}): it is a number of USD, 0 or more, or None"
            )
        if not isinstance(self.drift, bool):
            raise ConfigError(f"Learning(drift={self.drift!r}): it must be True or False")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"Learning(seed={self.seed!r}): it must be a whole number, 0 or more")

    @property
    def explores(self) -> bool:
        return self.exploration > 0


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
