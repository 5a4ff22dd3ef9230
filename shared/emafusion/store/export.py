"""From a stored decision to a line of an outcome log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emafusion.store.feedback import score_that_counts

__all__ = ["logged", "write_export"]

RECOMPUTED = frozenset({"rules"})


log = logging.getLogger("emafusion")


def write_export(decisions: Iterable[Mapping[str, Any]], path: str | Path) -> int:
    """Write stored decisions as an outcome log; returns the number of its lines."""
    from emafusion.log import write_log

    lines = [logged(d) for d in decisions]
    silent = [line for line in lines if not line["text_stored"]]
    if silent:
        log.warning(
            "emafusion: %d of %d exported decisions were kept without text (store_text=False, or redacted): "
            "of those, %d have their query's embedding to learn from",
            len(silent),
            len(lines),
            sum("embedding" in line for line in silent),
        )
    write_log(lines, path)
    return len(lines)


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
    if decision["text"] is None and decision["embedding"] is not None:
        line["embedding"] = [
            float(str(x)) for x in decision["embedding"]
        ]  # as few digits as tell it from its neighbours
    agreeing = agreeing_with(decision)
    line["outcomes"] = {
        attempt["candidate"]: _outcome(
            attempt,
            _score(decision, attempt["candidate"], attempt["candidate"] in agreeing),
            _verdicts(decision, attempt["candidate"]),
        )
        for attempt in decision["attempts"]
        if attempt["error"] is None
    }
    return line


def _score(decision: Mapping[str, Any], candidate: str, agreeing: bool) -> float | None:
    """What was said of a candidate's own answer, else of the answer that it agrees with."""
    feedbacks = decision["feedbacks"]
    own = score_that_counts(feedbacks, candidate, answered=candidate == decision["answered_by"])
    return decision["feedback"] if own is None and agreeing else own


def agreeing_with(decision: Mapping[str, Any]) -> set[str]:
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
