"""From a request's value objects to the rows of the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from emafusion.store.texts import digest, first_part, storable
from emafusion.store.vectors import half_to_bytes
from emafusion.types import Attempt, Decision, Query, Result, Verdict

__all__ = ["Row", "Rows", "rows_of"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """What one decision is in the tables."""

    decision: Row
    attempts: list[Row]
    verdicts: list[Row]


def rows_of(
    query: Query, result: Result, at: datetime, *, text: bool, shadows: Mapping[str, str] | None = None
) -> Rows:
    """The rows of a decision; with ``text`` False no word of the user's or of a model's is in them."""
    decision, forecast = result.decision, result.decision.forecast
    row = {
        "id": decision.id,
        "created_at": at,
        "text": storable(query.text) if text else None,
        "text_hash": digest(query.text),
        "tools": [dict(t) for t in query.tools] if text and query.tools else None,
        "schema": dict(query.schema) if text and query.schema is not None else None,
        "prompt_tokens": int(query.prompt_tokens),
        "session": storable(query.session),
        "answered_by": decision.answered_by,
        "confidence": float(decision.confidence),
        "cost_usd": float(decision.cost_usd),
        "draft_cost_usd": float(decision.draft_cost_usd),
        "judge_cost_usd": float(decision.judge_cost_usd),
        "reference": decision.reference,
        "saved_usd": float(decision.saved_usd),
        "objective": dict(decision.objective),
        "category": forecast.category,
        "labels": dict(forecast.labels),
        "familiarity": float(forecast.familiarity),
        "forecast": {n: _floats(forecast.of(n)) for n in forecast.candidates},
        "reason": storable(decision.reason),
        "abstained": bool(decision.abstained),
        "sticky": bool(decision.sticky),
        # A warning quotes an error, and an error may quote the request.
        "warnings": list(decision.warnings) if text else [first_part(w) for w in decision.warnings],
        "first": list(decision.first),
        "propensities": {name: float(p) for name, p in decision.propensities.items()},
        "explored": bool(decision.explored),
        "audited": decision.audited,
        "policy": decision.policy,
        "tick": float(decision.tick),
        "shadows": dict(shadows) if shadows else None,
        "anchor": bool(decision.anchor),
        "embedding": half_to_bytes(forecast.embedding),
    }
    attempts = [_attempt(decision, i, a, text) for i, a in enumerate(decision.attempts)]
    verdicts = [_verdict(decision.id, i, v, text) for i, v in enumerate(decision.verdicts)]
    return Rows(row, attempts, verdicts)


def _attempt(decision: Decision, position: int, attempt: Attempt, text: bool) -> Row:
    forecast, name = decision.forecast, attempt.candidate
    reply, error = attempt.reply, attempt.error
    usage = reply.usage if reply else None
    calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in reply.tool_calls] if reply else []
    return {
        "decision_id": decision.id,
        "position": position,
        "candidate": attempt.candidate,
        "response": storable(reply.text) if reply and text else None,
        "response_hash": digest(reply.text) if reply else None,
        "tool_calls": calls if calls and text else None,
        "answer": storable(attempt.answer) if text else None,
        "finish_reason": reply.finish_reason if reply else None,
        "input_tokens": int(usage.input_tokens) if usage else None,
        "output_tokens": int(usage.output_tokens) if usage else None,
        "expected_tokens": _float(forecast.expected_tokens(name)) if name in forecast.candidates else None,
        "cached_input_tokens": int(usage.cached_input_tokens) if usage else None,
        "tokens_estimated": bool(usage.estimated) if usage else None,
        "cost_usd": float(attempt.cost_usd),
        "latency_s": _float(reply.latency_s) if reply else None,
        "confidence": _float(attempt.confidence),
        "cluster": None if attempt.cluster is None else int(attempt.cluster),
        "error": None if error is None else type(error).__name__ + (storable(f": {error}") if text else ""),
    }


def _verdict(decision_id: str, position: int, verdict: Verdict, text: bool) -> Row:
    return {
        "decision_id": decision_id,
        "position": position,
        "judge": verdict.judge,
        "candidate": verdict.candidate,
        "score": _float(verdict.score),
        "reason": storable(verdict.reason) if text else None,
        "cost_usd": float(verdict.cost_usd),
        "latency_s": _float(verdict.latency_s),
    }


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)  # numpy's floats are not every driver's


def _floats(row: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in row.items()}
