"""A whole cascade with no framework: the cheap answer is unusable, so the dear one is asked too."""

from __future__ import annotations

from typing import Any

import pytest

from emafusion.clients.openai import OpenAIModel, OpenAITransport, resolve
from emafusion.clients.wire import query_of
from emafusion.config import Candidate, Objective, Price
from emafusion.engine.drivers import arun, run
from emafusion.fusion import Fusion
from emafusion.types import Decision, Result
from tests.loopback import LoopbackModel, LoopbackServer

ASKED = [{"role": "user", "content": "Give the capital of France and its river as JSON."}]
SCHEMA = {"type": "object", "properties": {"capital": {"type": "string"}, "river": {"type": "string"}}}
WANTED: dict[str, Any] = {"response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": SCHEMA}}}
ANSWER = '{"capital": "Paris", "river": "Seine"}'


def fusion_over(loopback: LoopbackServer) -> Fusion:
    loopback.add(LoopbackModel("cheap", ANSWER))
    loopback.add(LoopbackModel("dear", ANSWER))
    # The cheap one may write two tokens: whatever it knows, its JSON is broken off.
    cheap = Candidate(OpenAIModel("cheap", loopback.base_url, max_tokens=2), price=Price(0.1, 0.1))
    dear = Candidate(OpenAIModel("dear", loopback.base_url), price=Price(10.0, 30.0))
    return Fusion([cheap, dear], resolve=resolve, objective=Objective(usd_value=0.02), judges=())


def check(result: Result, decision: Decision) -> None:
    assert result.reply.text == ANSWER
    assert [a.candidate for a in decision.attempts] == ["cheap", "dear"]
    assert decision.answered_by == "dear"
    assert decision.cost_usd == pytest.approx(sum(a.cost_usd for a in decision.attempts))
    broken, whole = (a.confidence for a in decision.attempts)
    assert broken is not None
    assert whole is not None
    assert broken < whole


def test_a_broken_draft_escalates(loopback: LoopbackServer) -> None:
    fusion, query = fusion_over(loopback), query_of(ASKED, **WANTED)
    result = run(fusion.steps(query), OpenAITransport(fusion, ASKED, **WANTED))
    fusion.finish(query, result)
    check(result, result.decision)
    assert fusion.last is result.decision
    for candidate in fusion.pool:
        candidate.model.close()


async def test_a_broken_draft_escalates_on_the_event_loop_too(loopback: LoopbackServer) -> None:
    fusion, query = fusion_over(loopback), query_of(ASKED, **WANTED)
    result = await arun(fusion.steps(query), OpenAITransport(fusion, ASKED, **WANTED))
    check(result, result.decision)
    for candidate in fusion.pool:
        await candidate.model.aclose()
