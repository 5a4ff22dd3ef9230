"""Transient errors are waited out, over real clients; a request that is too long goes where it fits."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, LangSmithParams

from emafusion.errors import AllCandidatesFailed, ConfigError
from emafusion.policies.moves import Accept, Ask, Try
from langchain_emafusion import ChatEMAFusion
from langchain_emafusion.client_retries import client_retries, without_retries
from tests.langchain.conftest import CHEAP_TEXT, DEAR_TEXT, candidate, client
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


@ways
@pytest.mark.parametrize(
    ("own", "ours", "requests"), [(0, 2, 3), (2, 2, 3), (None, 2, 3), (1, 2, 2), (2, 5, 6), (5, 2, 6), (2, 0, 3)]
)
async def test_the_clients_own_retries_do_not_multiply_with_the_routers(
    server: LoopbackServer, way: str, own: int | None, ours: int, requests: int
) -> None:
    server.add(LoopbackModel("cheap", error_status=429))
    llm = ChatEMAFusion([candidate(server, "cheap", max_retries=own), candidate(server, "dear")], max_retries=ours)
    assert (await call(scripted(llm, *CHEAP_FIRST), way)).text == DEAR_TEXT
    assert server.count("cheap") == requests


class Google(FakeListChatModel):
    """Counts attempts, as Google's client does."""

    max_retries: int = 6

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(ls_provider="google_genai")


def test_what_a_client_retries_is_read_in_its_own_terms(server: LoopbackServer) -> None:
    told = {6: 5, 1: 0, 0: 5}
    assert {n: client_retries(Google(responses=["x"], max_retries=n)) for n in told} == told
    assert without_retries(Google(responses=["x"])) == {"max_retries": 1}
    assert (client_retries(client(server, "m")), client_retries(client(server, "m", max_retries=None))) == (0, 2)
    plain = FakeListChatModel(responses=["x"])
    assert (client_retries(plain), without_retries(plain)) == (0, {})


def test_a_string_becomes_a_client_that_leaves_retries_to_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
    llm = ChatEMAFusion(["openai:gpt-4o-mini"])
    assert llm.fusion.model("gpt-4o-mini").model.root_client.max_retries == 0


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
