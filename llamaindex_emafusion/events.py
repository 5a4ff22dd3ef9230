"""The event that tells observers what EMAFusion decided, and why."""

from __future__ import annotations

from typing import Any

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events.base import BaseEvent

from emafusion.types import Decision

__all__ = ["EMAFusionDecisionEvent", "announce"]

_dispatcher = get_dispatcher(__name__)


class EMAFusionDecisionEvent(BaseEvent):
    """One finished request: who answered, at what cost, how sure, and what was forecast. Costs are USD.

    The real calls behind it (drafts and judges) have their own ``LLMChatStartEvent`` and ``LLMChatEndEvent``.
    """

    decision_id: str
    answered_by: str
    category: str
    confidence: float
    cost_usd: float
    judge_cost_usd: float
    saved_usd: float
    reference: str
    reason: str
    abstained: bool
    forecast: dict[str, dict[str, float]]
    attempts: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]

    @classmethod
    def class_name(cls) -> str:
        return "EMAFusionDecisionEvent"

    @classmethod
    def of(cls, decision: Decision, span_id: str | None) -> EMAFusionDecisionEvent:
        shown = decision.as_dict()
        return cls(
            decision_id=decision.id,
            answered_by=decision.answered_by,
            category=shown["category"],
            confidence=decision.confidence,
            cost_usd=decision.cost_usd,
            judge_cost_usd=decision.judge_cost_usd,
            saved_usd=decision.saved_usd,
            reference=decision.reference,
            reason=decision.reason,
            abstained=decision.abstained,
            forecast=shown["forecast"],
            attempts=shown["attempts"],
            verdicts=shown["verdicts"],
            span_id=span_id,
        )


def announce(decision: Decision, span_id: str | None) -> None:
    """Send the decision through the instrumentation dispatcher, as part of the span of the caller's request."""
    if _heard():
        _dispatcher.event(EMAFusionDecisionEvent.of(decision, span_id))


def _heard() -> bool:
    """Whether anybody listens: without, the event is not even made."""
    dispatcher: Any = _dispatcher
    while dispatcher is not None:
        if any(not isinstance(handler, NullEventHandler) for handler in dispatcher.event_handlers):
            return True
        dispatcher = dispatcher.parent if dispatcher.propagate else None
    return False
