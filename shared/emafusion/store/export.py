"""From a stored decision to a line of an outcome log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["logged"]

RECOMPUTED = frozenset({"rules"})


def logged(decision: Mapping[str, Any]) -> dict[str, Any]:
    """A stored decision, with its attempts and feedback, as a line of an outcome log."""
    line: dict[str, Any] = {
        "id": decision["id"],
        "prompt": decision["text"] or "",
        "text_stored": decision["text"] is not None,
        "answered_by": decision["answered_by"],
        "confidence": decision["confidence"],
        "created_at": decision["created_at"].isoformat(timespec="milliseconds") + "Z",
    }
    line |= {key: decision[key] for key in ("tools", "schema") if decision[key]}
    agreeing = _agreeing(decision)
    line["outcomes"] = {
        attempt["candidate"]: _outcome(
            attempt,
            decision["feedback"] if attempt["candidate"] in agreeing else None,
            _verdicts(decision, attempt["candidate"]),
        )
        for attempt in decision["attempts"]
        if attempt["error"] is None
    }
    return line


def _agreeing(decision: Mapping[str, Any]) -> set[str]:
    """The candidate that answered, and those whose final answer was the same (-1: none could be read)."""
    clusters = {a["candidate"]: a["cluster"] for a in decision["attempts"]}
    answered_by = decision["answered_by"]
    mine = clusters.get(answered_by)
    if mine is None or mine < 0:
        return {answered_by}
    return {name for name, cluster in clusters.items() if cluster == mine}


def _verdicts(decision: Mapping[str, Any], candidate: str) -> dict[str, float | None]:
    """Scores by judge, None where it abstained. What rules find is found again in the response."""
    given = [v for v in decision["verdicts"] if v["candidate"] == candidate and v["judge"] not in RECOMPUTED]
    return {v["judge"]: v["score"] for v in given}


def _outcome(attempt: Mapping[str, Any], score: float | None, verdicts: Mapping[str, float | None]) -> dict[str, Any]:
    response = attempt["response"]
    if attempt["tool_calls"]:  # what was called is the answer
        calls = json.dumps(attempt["tool_calls"], ensure_ascii=False)
        response = f"{response}\n{calls}" if response else calls
    found = {
        "score": score,
        "response": response,
        "answer": attempt["answer"] or None,
        "in_tok": attempt["input_tokens"],
        "out_tok": attempt["output_tokens"],
        "cost_usd": attempt["cost_usd"],
        "latency_s": attempt["latency_s"],
        "finish_reason": attempt["finish_reason"],
        "verdicts": dict(verdicts) or None,
    }
    if attempt["tokens_estimated"]:
        found["tok_source"] = "estimated"
    return {key: value for key, value in found.items() if value is not None}
