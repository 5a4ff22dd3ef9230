"""The moves of a policy. The engine carries them out; a policy only chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Abstain", "Accept", "Ask", "Move", "Try", "ending"]


@dataclass(frozen=True, slots=True)
class Try:
    """Draft with these candidates, in parallel when several."""

    candidates: tuple[str, ...]
    commit: bool = False
    """Nothing that the answer could show would change the decision: it may be streamed as it arrives."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Have these judges look at this candidate's answer, in parallel."""

    judges: tuple[str, ...]
    candidate: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Accept:
    """Hand this candidate's answer to the consumer."""

    candidate: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abstain:
    """Say that no answer can be trusted; the best one so far is still handed over, marked."""

    candidate: str
    reason: str = ""


def ending(candidate: str, reason: str, confidence: float, abstain_below: float) -> Accept | Abstain:
    """Hand the answer over, marked where its confidence is below ``abstain_below``."""
    if confidence >= abstain_below:
        return Accept(candidate, reason)
    low = f"its confidence {confidence:.2f} is below {abstain_below:.2f}, so it is marked as not to be trusted"
    return Abstain(candidate, f"{reason}; {low}")


Move: TypeAlias = Try | Ask | Accept | Abstain
