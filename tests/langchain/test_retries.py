"""Transient errors are waited out, over real clients; a request that is too long goes where it fits."""

from __future__ import annotations

import pytest

from emafusion.errors import AllCandidatesFailed, ConfigError
from emafusion.policies.moves import Accept, Ask, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import CHEAP_TEXT, DEAR_TEXT, candidate
from tests.langchain.paths import ASK
from tests.langchain.scripted import scripted
from tests.langchain.test_failures import call, ways
from tests.langchain.test_traces import Recorder
from tests.loopback import LoopbackModel, LoopbackServer

CHEAP_FIRST = (Try(("cheap",), commit=True), Try(("dear",), commit=True))


@ways
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_model_that_recovers_answers_after_all(
    llm: ChatEMAFusion, server: LoopbackServer, waits: list[float], way: str, status: int
) -> None:
    server.add(LoopbackModel("cheap", CHEAP_TEXT, error_status=status, fail_times=2))
    message = await call(scripted(llm, *CHEAP_FIRST), way)
    assert message.text == CHEAP_TEXT
    assert (server.count("cheap"), server.count("dear"), len(waits)) == (3, 0, 2)


@ways
async def test_a_rate_limit_is_waited_for_as_long_as_it_asks(
    llm: ChatEMAFusion, server: LoopbackServer, waits: list[float], way: str
) -> None:
    server.add(LoopbackModel("cheap", CHEAP_TEXT, error_status=429, fail_times=1, retry_after=9.0))
    assert (await call(scripted(llm, *CHEAP_FIRST), way)).text == CHEAP_TEXT
    assert waits == [9.0]


async def test_a_longer_wait_than_allowed_is_not_waited(server: LoopbackServer, waits: list[float]) -> None:
    server.add(LoopbackModel("cheap", CHEAP_TEXT, error_status=429, retry_after=9.0))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], max_retry_wait=5.0)
    assert (await scripted(llm, *CHEAP_FIRST).ainvoke(ASK)).text == DEAR_TEXT
    assert (server.count("cheap"), waits) == (1, [])


def test_each_try_is_a_run_of_the_trace(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", CHEAP_TEXT, error_status=503, fail_times=1))
    recorder = Recorder()
    scripted(llm, *CHEAP_FIRST).invoke(ASK, {"callbacks": [recorder]})
    runs = [(r.name, r.error is None) for r in recorder.roots[0].child_runs]
    assert runs == [("answer: cheap", False), ("answer: cheap", True)]


def test_a_judge_is_retried(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", error_status=503, fail_times=1))
    scripted(llm, Try(("dear",)), Ask(("llm",), "dear"), Accept("dear")).invoke(ASK)
    assert server.count("cheap") == 2


def test_retries_can_be_left_to_the_clients(server: LoopbackServer, waits: list[float]) -> None:
    server.add(LoopbackModel("cheap", error_status=503))
    with pytest.raises(AllCandidatesFailed):
        ChatEMAFusion([candidate(server, "cheap")], max_retries=0).invoke(ASK)
    assert (server.count(), waits) == (1, [])
    with pytest.raises(ConfigError, match="limit must be 0 or more"):
        ChatEMAFusion([candidate(server, "cheap")], max_retries=-1)


def overflowing(server: LoopbackServer, **windows: int) -> ChatEMAFusion:
    """Candidates that refuse the request for its length, whatever our estimate of it."""

    for name in ("cheap", "dear", "spare"):
        server.add(LoopbackModel(name, DEAR_TEXT))
    server.add(LoopbackModel("cheap", error_status=413))
    pool = [candidate(server, n).named(context_window=w) for n, w in windows.items()]
    return scripted(ChatEMAFusion(pool), *(Try((n,), commit=True) for n in windows))


@ways
async def test_a_request_that_is_too_long_goes_to_a_longer_window(
    server: LoopbackServer, waits: list[float], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emafusion.engine.retries.OVERFLOW_WORDS", ("fails on purpose",))
    llm = overflowing(server, cheap=1000, spare=1000, dear=9000)
    message = await call(llm, way)
    told = message.response_metadata["emafusion"]
    assert (told["answered_by"], server.count("cheap"), server.count("spare"), waits) == ("dear", 1, 0, [])
    assert "exceeds a window of 1000 tokens" in told["attempts"][1]["error"]
