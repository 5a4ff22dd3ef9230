"""A stream is live when the choice is made, else the judged answer is replayed; rejected drafts never show."""

from __future__ import annotations

import asyncio
import gc
import time

import httpx
import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool

from llamaindex_emafusion.testing import add, listening
from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Cascade, Direct
from tests.loopback_model import LoopbackModel

ASK = [ChatMessage(content="Say violet and blue")]


def test_a_live_stream_shows_the_first_token_before_the_last_is_written(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", "one two three four five six", chunk_delay=0.1))
    start = time.perf_counter()
    times = [time.perf_counter() - start for _ in clients.scripted(Direct(("cheap",))).stream_chat(ASK)]
    assert times[0] < 0.5 * times[-1]


async def test_a_live_asynchronous_stream_does_too(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", "one two three four five six", chunk_delay=0.1))
    start = time.perf_counter()
    chunks = await clients.scripted(Direct(("cheap",))).astream_chat(ASK)
    times = [time.perf_counter() - start async for _ in chunks]
    assert times[0] < 0.5 * times[-1]


def test_the_decision_comes_with_the_last_chunk_and_every_chunk_knows_who_speaks(clients: Clients) -> None:
    chunks = list(clients.scripted(Direct(("cheap",))).stream_chat(ASK))
    assert {c.additional_kwargs["emafusion"]["answered_by"] for c in chunks} == {"cheap"}
    last = chunks[-1]
    assert last.delta == ""
    assert last.message.content == "Say violet and blue"
    decision = last.additional_kwargs["emafusion"]
    assert decision["attempts"][0]["output_tokens"] == 4
    assert all("id" not in c.additional_kwargs["emafusion"] for c in chunks[:-1])


async def test_a_rejected_draft_never_reaches_the_consumer(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", "rejected draft"))
    clients.server.add(LoopbackModel("dear", "the accepted answer"))
    clients.server.add(LoopbackModel("judge", "0.9"))
    llm = clients.scripted(Cascade((("cheap",), ("dear",)), "judge", escalations=1))
    (chunk,) = list(llm.stream_chat(ASK))
    assert chunk.delta == chunk.message.content == "the accepted answer"
    chunks = [c async for c in await llm.astream_complete("x")]
    assert [c.delta for c in chunks] == ["the accepted answer"]


def test_a_replayed_tool_call_is_whole(clients: Clients) -> None:
    clients.server.add(LoopbackModel("judge", "0.9"))
    llm = clients.scripted(Cascade((("cheap",),), "judge"))
    (chunk,) = list(llm.stream_chat_with_tools([FunctionTool.from_defaults(add)], "Use add on 2 and 3"))
    assert llm.get_tool_calls_from_response(chunk)[0].tool_kwargs == {"a": 2, "b": 3}


def test_nothing_is_called_before_the_first_chunk_is_asked_for(clients: Clients) -> None:
    chunks = clients.scripted(Direct(("cheap",))).stream_chat(ASK)
    assert clients.server.count() == 0
    next(chunks)
    assert clients.server.count() == 1
    chunks.close()


def test_before_the_first_token_the_next_candidate_takes_over(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", error_status=500))
    chunks = list(clients.scripted(Direct(("cheap", "dear"))).stream_chat(ASK))
    decision = chunks[-1].additional_kwargs["emafusion"]
    assert decision["answered_by"] == "dear"
    assert "500" in next(a["error"] for a in decision["attempts"] if a["candidate"] == "cheap")
    assert "".join(c.delta or "" for c in chunks) == "Say violet and blue"


def test_after_the_first_token_an_error_is_the_callers(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", "one two three four", break_after=3))
    chunks = clients.scripted(Direct(("cheap", "dear"))).stream_chat(ASK)
    assert [next(chunks).delta for _ in range(2)] == ["", "one"]
    with pytest.raises((openai.APIError, httpx.HTTPError)):
        list(chunks)
    assert clients.server.count("dear") == 0


async def test_a_closed_stream_closes_the_providers_connection(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", "word " * 500, chunk_delay=0.01))
    llm = clients.scripted(Direct(("cheap",)))
    chunks = await llm.astream_chat(ASK)
    await chunks.__anext__()
    await chunks.aclose()
    await _until_aborted(clients, 1)
    sync = llm.stream_chat(ASK)
    next(sync)
    sync.close()
    await _until_aborted(clients, 2)
    assert llm.last_decision is None  # an abandoned request is no outcome


async def test_a_cancelled_stream_closes_the_providers_connection(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", "word " * 500, chunk_delay=0.01))
    llm = clients.scripted(Direct(("cheap",)))

    async def read() -> None:
        async for _ in await llm.astream_chat(ASK):
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until_aborted(clients, 1)


async def _until_aborted(clients: Clients, times: int) -> None:
    """The stock client holds its stream in a cycle of references, so the collector has to let go of it."""
    for _ in range(200):
        gc.collect()
        if clients.server.aborted >= times:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{clients.server.aborted} streams were aborted, not {times}")


def test_start_and_end_of_a_live_call_are_reported_in_order(clients: Clients) -> None:
    with listening() as events:
        list(clients.scripted(Direct(("cheap",))).stream_chat(ASK))
    names = [e.class_name() for e in events if e.class_name() != "LLMChatInProgressEvent"]
    assert names == ["LLMChatStartEvent", "LLMChatEndEvent", "EMAFusionDecisionEvent"]
