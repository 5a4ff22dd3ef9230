"""Decisions to store, built from the real value objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emafusion.asked import build_query
from emafusion.types import Attempt, Decision, Forecast, Message, Query, Reply, Result, ToolCall, Usage, Verdict

NAMES = ("small", "large", "other")


def answered(
    id: str, question: str = "What is 6 times 7?", clusters: tuple[int, int, int] = (0, 0, 1), calls: bool = False
) -> tuple[Query, Result]:
    """A decision in which three candidates answered and ``large`` was taken."""
    query = build_query([Message("user", question)])
    forecast = Forecast(NAMES, (0.4, 0.9, 0.5), (0.1, 0.05, 0.1), (1e-5, 1e-3, 1e-4), (20.0, 30.0, 25.0))
    texts = ("42", "It is 42.", "41")
    tool_calls = (ToolCall("multiply", {"a": 6, "b": 7}),) if calls else ()
    attempts = tuple(
        Attempt(
            name,
            Reply(text, tool_calls, finish_reason="stop", usage=Usage(11, 3 + i), latency_s=0.5),
            cost_usd=10.0 ** (i - 6),
            confidence=0.5,
            cluster=cluster,
            answer=text,
        )
        for i, (name, text, cluster) in enumerate(zip(NAMES, texts, clusters))
    )
    failed = Attempt("small", None, RuntimeError(f"cannot read: {question}"))
    decision = Decision(
        id=id,
        answered_by="large",
        confidence=0.9,
        cost_usd=1.2e-4,
        draft_cost_usd=1.1e-4,
        judge_cost_usd=1e-5,
        reference="large",
        saved_usd=-2e-5,
        objective={"quality_floor": 0.99},
        forecast=forecast,
        attempts=(failed, *attempts[1:]) if clusters[0] == -9 else attempts,
        verdicts=(Verdict("rules", "large", 0.8, f"it reads well: {question}"), Verdict("llm", "large", None)),
        reason="sure enough",
        warnings=(f"candidate 'small' failed: RuntimeError: {question}",),
    )
    reply = attempts[1].reply
    assert reply is not None
    return query, Result(reply, decision)


def of_any_length(number: int) -> tuple[Query, Result]:
    """The decision of that number, five ticks after the one before, with answers of other lengths than expected."""
    query, result = answered(f"w{number}")
    rng = np.random.default_rng(number)
    decision = result.decision
    expected = tuple(rng.uniform(5.0, 500.0, len(NAMES)).tolist())
    attempts = tuple(
        replace(a, reply=replace(a.reply, usage=Usage(11, int(rng.integers(1, 2000)), estimated=bool(i == number % 9))))
        for i, a in enumerate(decision.attempts)
        if a.reply is not None
    )
    forecast = replace(decision.forecast, uncorrected_tokens=expected)
    return query, replace(result, decision=replace(decision, forecast=forecast, attempts=attempts, tick=5.0 * number))
