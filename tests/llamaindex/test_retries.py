"""Transient errors are waited out, over real clients; a request that is too long goes where it fits."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from openai import InternalServerError

from emafusion import Candidate, Price
from emafusion.errors import AllCandidatesFailed, ConfigError
from llamaindex_emafusion import EMAFusion
from llamaindex_emafusion.testing import listening
from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Cascade, Direct, ScriptedEMAFusion
from tests.loopback_model import LoopbackModel

ASK = [ChatMessage(content="Say violet")]
CHEAP_FIRST = Direct(("cheap", "dear"))

ways = pytest.mark.parametrize("way", ["chat", "achat", "stream_chat", "astream_chat"])


async def ask(llm: Any, way: str) -> Any:
    """The last that a method says."""
    if way == "chat":
        return llm.chat(ASK)
    if way == "achat":
        return await llm.achat(ASK)
    if way == "stream_chat":
        return list(llm.stream_chat(ASK))[-1]
    return [c async for c in await llm.astream_chat(ASK)][-1]


def test_a_clients_own_retries_count_among_the_routers(clients: Clients, waits: list[float]) -> None:
    """A client that makes a failed call anew by itself is asked once, and the next candidate then."""
    clients.server.add(LoopbackModel("cheap", error_status=503))
    eager = clients.model("cheap", max_retries=1)
    with pytest.raises(InternalServerError):
        eager.chat(ASK)
    alone = clients.server.count("cheap")
    pool = [Candidate(eager, price=Price(1.0, 1.0)), clients.candidate("dear")]
    said = ScriptedEMAFusion(pool, script=CHEAP_FIRST, max_retries=1).chat(ASK)
    assert said.additional_kwargs["emafusion"]["answered_by"] == "dear"
    assert waits == []
    assert clients.server.count("cheap") == 2 * alone


@ways
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_model_that_recovers_answers_after_all(
    clients: Clients, waits: list[float], way: str, status: int
) -> None:
    clients.server.add(LoopbackModel("cheap", error_status=status, fail_times=2))
    response = await ask(clients.scripted(CHEAP_FIRST), way)
    assert response.message.content == "Say violet"
    assert (clients.server.count("cheap"), clients.server.count("dear"), len(waits)) == (3, 0, 2)


@ways
async def test_a_rate_limit_is_waited_for_as_long_as_it_asks(clients: Clients, waits: list[float], way: str) -> None:
    clients.server.add(LoopbackModel("cheap", error_status=429, fail_times=1, retry_after=9.0))
    await ask(clients.scripted(CHEAP_FIRST), way)
    assert (waits, clients.server.count("dear")) == ([9.0], 0)


def test_a_longer_wait_than_allowed_is_not_waited(clients: Clients, waits: list[float]) -> None:
    clients.server.add(LoopbackModel("cheap", error_status=429, retry_after=9.0))
    response = clients.scripted(CHEAP_FIRST, max_retry_wait=5.0).chat(ASK)
    assert response.additional_kwargs["emafusion"]["answered_by"] == "dear"
    assert (clients.server.count("cheap"), waits) == (1, [])


def test_a_judge_is_retried_and_every_try_is_reported(clients: Clients) -> None:
    clients.server.add(LoopbackModel("judge", "0.9", error_status=503, fail_times=1))
    with listening() as events:
        clients.scripted(Cascade((("cheap",),), "judge")).chat(ASK)
    assert clients.server.count("judge") == 2
    assert sum(e.class_name() == "LLMChatStartEvent" for e in events) == clients.server.count() == 3


def test_retries_can_be_left_to_the_clients(clients: Clients, waits: list[float]) -> None:
    clients.server.add(LoopbackModel("cheap", error_status=503))
    with pytest.raises(AllCandidatesFailed):
        clients.scripted(CHEAP_FIRST, "cheap", max_retries=0).chat(ASK)
    assert (clients.server.count(), waits) == (1, [])
    with pytest.raises(ConfigError, match="limit must be 0 or more"):
        EMAFusion([clients.candidate("cheap")], max_retries=-1)


@ways
async def test_a_request_that_is_too_long_goes_to_a_longer_window(
    clients: Clients, waits: list[float], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emafusion.engine.retries.OVERFLOW_WORDS", ("fails on purpose",))
    clients.server.add(LoopbackModel("cheap", error_status=413))
    windows = {"cheap": 1000, "judge": 1000, "dear": 9000}
    pool = [clients.candidate(n).named(context_window=w) for n, w in windows.items()]
    response = await ask(ScriptedEMAFusion(pool, script=Direct(tuple(windows))), way)
    told = response.additional_kwargs["emafusion"]
    assert (told["answered_by"], clients.server.count("cheap"), clients.server.count("judge")) == ("dear", 1, 0)
    assert waits == []
    assert "exceeds a window of 1000 tokens" in told["attempts"][1]["error"]
