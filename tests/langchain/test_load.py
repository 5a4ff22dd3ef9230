"""Batches, drafts side by side, and consumers that leave early."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import Any

import pytest

from emafusion.policies.moves import Accept, Move, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import candidate
from tests.langchain.paths import paths
from tests.langchain.scripted import scripted
from tests.langchain.test_traces import Recorder
from tests.loopback import LoopbackModel, LoopbackServer


@pytest.fixture
def echo(server: LoopbackServer) -> ChatEMAFusion:
    for name in ("cheap", "dear"):
        server.add(LoopbackModel(name))
    return ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])


@paths
def test_a_batch_is_answered_in_its_order(echo: ChatEMAFusion, moves: tuple[Move, ...]) -> None:
    scripted(echo, *moves)
    asked: list[Any] = [f"Say number {i}, please, and nothing else at all." for i in range(16)]
    assert [a.text for a in echo.batch(asked, {"max_concurrency": 8})] == asked


async def test_drafts_of_one_step_run_side_by_side(server: LoopbackServer) -> None:
    for name in ("cheap", "dear"):
        server.add(LoopbackModel(name, "x", latency=0.4))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])
    scripted(llm, Try(("cheap", "dear")), Accept("dear"))
    for call in (llm.ainvoke, llm.invoke):
        begin = time.perf_counter()
        message: Any = call("Go")
        message = await message if inspect.isawaitable(message) else message
        elapsed = time.perf_counter() - begin
        latencies = [a["latency_s"] for a in message.response_metadata["emafusion"]["attempts"]]
        assert min(latencies) >= 0.4
        assert elapsed < sum(latencies)


def slow(server: LoopbackServer) -> ChatEMAFusion:
    server.add(LoopbackModel("dear", "one two three four five six seven eight", chunk_delay=0.05))
    return scripted(ChatEMAFusion([candidate(server, "dear")]), Try(("dear",), commit=True))


def errors(recorder: Recorder) -> list[str]:
    (root,) = recorder.roots
    return [(r.error or "").split("(")[0] for r in (*root.child_runs, root)]


async def test_leaving_an_async_stream_ends_the_call_and_its_runs_inside_out(server: LoopbackServer) -> None:
    recorder = Recorder()
    stream: Any = slow(server).astream("Count", {"callbacks": [recorder]})
    async for _ in stream:
        break
    await stream.aclose()
    assert errors(recorder) == ["GeneratorExit", "GeneratorExit"]
    await _until(lambda: server.aborted == 1)


async def test_cancelling_a_task_ends_the_call(server: LoopbackServer) -> None:
    recorder, llm = Recorder(), slow(server)

    async def consume() -> None:
        async for _ in llm.astream("Count", {"callbacks": [recorder]}):
            began.set()

    began = asyncio.Event()
    task = asyncio.create_task(consume())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert errors(recorder) == ["CancelledError", "CancelledError"]
    await _until(lambda: server.aborted == 1)


async def test_cancelling_ainvoke_passes_the_cancellation(server: LoopbackServer) -> None:
    server.add(LoopbackModel("dear", "x", latency=2.0))
    llm = ChatEMAFusion([candidate(server, "dear")])
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(llm.ainvoke("Go"), 0.1)


def test_leaving_a_stream_ends_the_call(server: LoopbackServer) -> None:
    recorder = Recorder()
    stream: Any = slow(server).stream("Count", {"callbacks": [recorder]})
    next(stream)
    stream.close()
    assert errors(recorder) == ["GeneratorExit", "GeneratorExit"]


async def _until(true: Any) -> None:
    for _ in range(100):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about")
