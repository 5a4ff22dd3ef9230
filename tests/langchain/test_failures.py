"""What goes wrong, and what is said about it."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI

from emafusion.config import Candidate, Objective, Price
from emafusion.errors import AllCandidatesFailed, ConfigError, NoCandidateFits, ObjectiveError, PriceError
from emafusion.policies.moves import Accept, Ask, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import DEAR_TEXT, candidate, client
from tests.langchain.paths import ASK
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer

PRICE = Price(input=1.0, output=2.0)


def fails(server: LoopbackServer, *names: str, status: int = 500) -> None:
    for name in names:
        server.add(LoopbackModel(name, error_status=status))


async def call(llm: ChatEMAFusion, way: str) -> Any:
    if way == "invoke":
        return llm.invoke(ASK)
    if way == "ainvoke":
        return await llm.ainvoke(ASK)
    if way == "generate":
        return llm.generate([[HumanMessage(ASK)]]).generations[0][0].message  # type: ignore[union-attr]
    chunks: list[Any] = list(llm.stream(ASK)) if way == "stream" else [c async for c in llm.astream(ASK)]
    return chunks[0] + chunks[1:]


ways = pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "generate"])


@ways
async def test_one_failing_candidate_degrades_to_the_next(llm: ChatEMAFusion, server: LoopbackServer, way: str) -> None:
    fails(server, "cheap")
    message = await call(scripted(llm, Try(("cheap",), commit=True)), way)
    told = message.response_metadata["emafusion"]
    assert message.text == DEAR_TEXT
    assert "cheap fails on purpose" in told["attempts"][0]["error"]
    assert any("'cheap' failed" in w for w in told["warnings"])


@ways
async def test_when_all_fail_each_ones_error_is_told(llm: ChatEMAFusion, server: LoopbackServer, way: str) -> None:
    fails(server, "cheap", status=429)
    fails(server, "dear", status=500)
    with pytest.raises(AllCandidatesFailed) as raised:
        await call(llm, way)
    assert set(raised.value.errors) == {"cheap", "dear"}
    assert isinstance(raised.value.errors["cheap"], openai.RateLimitError)
    assert isinstance(raised.value.errors["dear"], openai.APIError)
    assert "cheap fails on purpose" in str(raised.value)


def test_the_only_candidates_error_is_the_cause(server: LoopbackServer) -> None:
    fails(server, "dear", status=400)
    with pytest.raises(AllCandidatesFailed) as raised:
        ChatEMAFusion([candidate(server, "dear")]).invoke(ASK)
    assert isinstance(raised.value.__cause__, openai.BadRequestError)


def test_a_judge_that_fails_abstains(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    fails(server, "cheap")
    message = scripted(llm, Try(("dear",)), Ask(("llm",), "dear"), Accept("dear")).invoke(ASK)
    verdicts = message.response_metadata["emafusion"]["verdicts"]
    assert message.text == DEAR_TEXT
    assert [(v["judge"], v["score"]) for v in verdicts if v["judge"] == "llm"] == [("llm", None)]


def test_the_wrong_number_of_candidates_is_an_error_at_construction(server: LoopbackServer) -> None:
    with pytest.raises(ConfigError, match="give at least one model"):
        ChatEMAFusion([])
    with pytest.raises(ConfigError, match="two candidates are named 'dear'"):
        ChatEMAFusion([candidate(server, "dear"), candidate(server, "dear")])


def test_an_unknown_price_says_how_to_give_one(server: LoopbackServer) -> None:
    with pytest.raises(PriceError, match=r"'my-own-model' has no known price.*Price\(input="):
        ChatEMAFusion([client(server, "my-own-model")])


def test_a_known_model_needs_no_price(server: LoopbackServer) -> None:
    llm = ChatEMAFusion([client(server, "gpt-4o-mini")])
    assert llm.fusion.pool.price("gpt-4o-mini").input == pytest.approx(0.15)


def test_what_is_no_chat_model_is_refused(server: LoopbackServer) -> None:
    bound: Any = client(server, "dear").bind(temperature=0)
    with pytest.raises(ConfigError, match="Binding: give a LangChain chat model"):
        ChatEMAFusion([Candidate(bound, name="dear", price=PRICE)])


def test_a_string_becomes_a_chat_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
    llm = ChatEMAFusion(["openai:gpt-4o-mini"])
    assert llm.fusion.pool.names == ("gpt-4o-mini",)
    assert isinstance(llm.fusion.model("gpt-4o-mini").model, ChatOpenAI)


def test_a_string_that_names_no_model_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"'openai:gpt-4o-mini'.*OPENAI_API_KEY"):
        ChatEMAFusion(["openai:gpt-4o-mini"])
    with pytest.raises(ConfigError, match="'no-such-provider:model' could not be made into a chat model"):
        ChatEMAFusion(["no-such-provider:model"])


def test_strings_need_the_langchain_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "langchain.chat_models", None)
    with pytest.raises(ConfigError, match=r"pip install 'emafusion\[langchain\]'"):
        ChatEMAFusion(["openai:gpt-4o-mini"])


def test_an_image_for_a_pool_of_text_models_is_refused_before_any_call() -> None:
    llm = ChatEMAFusion([Candidate(FakeListChatModel(responses=["x"]), name="text", price=PRICE)])
    picture = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    with pytest.raises(NoCandidateFits, match="text: it does not take image"):
        llm.invoke([HumanMessage([{"type": "text", "text": "What is this?"}, picture])])


def test_a_prompt_longer_than_every_window_is_refused(server: LoopbackServer) -> None:
    llm = ChatEMAFusion([candidate(server, "dear").named(context_window=10)])
    with pytest.raises(NoCandidateFits, match="exceeds its context window of 10"):
        llm.invoke("word " * 100)


def test_model_in_a_call_names_the_candidate_that_answers(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    for name in ("cheap", "dear"):
        assert llm.invoke(ASK, model=name).response_metadata["emafusion"]["answered_by"] == name
    with pytest.raises(ConfigError, match=r"'other' is not a candidate.*cheap, dear"):
        llm.invoke(ASK, model="other")


def test_a_call_can_have_an_objective_of_its_own(llm: ChatEMAFusion) -> None:
    for given in (Objective(usd_value=0.5), {"usd_value": 0.5}):
        message = llm.invoke(ASK, {"configurable": {"emafusion_objective": given}})
        same = llm.invoke(ASK, objective=given)
        assert same.response_metadata["emafusion"]["objective"] == message.response_metadata["emafusion"]["objective"]
        assert message.response_metadata["emafusion"]["objective"] == {"usd_value": 0.5}
    with pytest.raises(ObjectiveError, match="the objective of this call is"):
        llm.invoke(ASK, {"configurable": {"emafusion_objective": "cheap"}})
