"""Cache, rate limiter, defaults, identity, secrets, token counts: what LangChain asks of any model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumpd, dumps
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_openai import ChatOpenAI

from emafusion.config import Candidate, Objective, Price
from emafusion.policies.moves import Move
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import DEAR_TEXT, candidate, client
from tests.langchain.paths import ASK, CASCADE, DIRECT, JUDGED, paths
from tests.langchain.scripted import scripted
from tests.langchain.test_streams import Tokens
from tests.loopback import LoopbackModel, LoopbackServer


def pool(server: LoopbackServer) -> list[Candidate]:
    return [candidate(server, "cheap"), candidate(server, "dear")]


@pytest.fixture
def global_cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


@paths
async def test_a_cached_answer_calls_no_model(server: LoopbackServer, moves: tuple[Move, ...]) -> None:
    llm = scripted(ChatEMAFusion(pool(server), cache=InMemoryCache()), *moves)
    first = llm.invoke(ASK)
    asked, heard = server.count(), Tokens()
    for again in (llm.invoke(ASK, {"callbacks": [heard]}), await llm.ainvoke(ASK)):
        assert again.text == first.text
        told = again.response_metadata["emafusion"]
        assert told["cached"] is True
        assert told["cost"] == 0.0
    assert server.count() == asked
    assert heard.ends == [DEAR_TEXT]
    assert "cached" not in first.response_metadata["emafusion"]


async def test_the_global_cache_is_used_and_can_be_refused(server: LoopbackServer, global_cache: InMemoryCache) -> None:
    llm = scripted(ChatEMAFusion(pool(server)), *DIRECT)
    await llm.ainvoke(ASK)
    assert llm.invoke(ASK).response_metadata["emafusion"]["cached"] is True
    own = ChatEMAFusion([Candidate(client(server, "dear", cache=False), price=Price(input=1, output=2))], cache=False)
    before = server.count()
    own.invoke(ASK)
    own.invoke(ASK)
    assert server.count() == before + 2


def test_what_is_asked_and_how_it_is_routed_key_the_cache(server: LoopbackServer) -> None:
    cache = InMemoryCache()
    llm = ChatEMAFusion(pool(server), cache=cache)
    hot = [candidate(server, name, temperature=0.5) for name in ("cheap", "dear")]
    llm.invoke(ASK)
    ways: list[tuple[ChatEMAFusion, dict[str, Any]]] = [
        (llm, {"stop": ["x"]}),
        (llm, {"model": "dear"}),
        (llm, {"config": {"configurable": {"emafusion_objective": {"usd_value": 2.0}}}}),
        (ChatEMAFusion(pool(server), cache=cache, objective=Objective(usd_value=1.0)), {}),
        (ChatEMAFusion([*pool(server), candidate(server, "third")], cache=cache), {}),
        (ChatEMAFusion(hot, cache=cache), {}),
    ]
    for router, arguments in ways:
        before = server.count()
        router.invoke(ASK, **arguments)
        assert server.count() > before


def test_cache_true_without_a_global_cache_is_an_error(server: LoopbackServer) -> None:
    with pytest.raises(ValueError, match="set_llm_cache"):
        ChatEMAFusion(pool(server), cache=True).invoke(ASK)


class Turnstile(BaseRateLimiter):
    """Counts who passes."""

    passed = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.passed += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.passed += 1
        return True


def test_a_candidates_own_rate_limiter_counts_its_calls(server: LoopbackServer) -> None:
    limiter = Turnstile()
    dear = candidate(server, "dear", rate_limiter=limiter)
    llm = scripted(ChatEMAFusion([candidate(server, "cheap"), dear]), *JUDGED)
    llm.invoke(ASK)
    assert limiter.passed == server.count("dear")


def test_router_defaults_reach_candidates_and_calls_override_them(server: LoopbackServer) -> None:
    llm = scripted(ChatEMAFusion(pool(server), temperature=0.25, max_tokens=50, stop=["one"]), *DIRECT)
    message = llm.invoke(ASK)
    body = server.requests[-1]
    assert (body["temperature"], body["max_completion_tokens"], body["stop"]) == (0.25, 50, ["one"])
    assert message.text == DEAR_TEXT.split("one")[0]
    llm.invoke(ASK, temperature=0.75, max_tokens=3, stop=["two"])
    body = server.requests[-1]
    assert (body["temperature"], body["max_completion_tokens"], body["stop"]) == (0.75, 3, ["two"])


def test_a_judge_is_asked_at_temperature_zero_within_its_limit(server: LoopbackServer) -> None:
    scripted(ChatEMAFusion(pool(server)), *CASCADE).invoke(ASK)
    body = next(b for b in server.requests if b["messages"][0]["role"] == "system")
    assert body["temperature"] == 0.0
    assert body["max_completion_tokens"] == 400


def test_nothing_that_is_printed_or_dumped_holds_a_key(server: LoopbackServer) -> None:
    llm = ChatEMAFusion(
        [
            candidate(server, "cheap", default_headers={"Authorization": "Bearer sk-secret-header"}),
            candidate(server, "dear"),
        ],
        objective=Objective(usd_value=0.1),
    )
    shown = [repr(llm), str(llm), dumps(llm), str(dumpd(llm)), str(llm.model_dump()), llm.model_dump_json()]
    shown += [str(llm._identifying_params), str(llm._get_invocation_params())]
    shown += [str(llm.bind_tools([])), str(llm.invoke(ASK))]
    assert not any("sk-secret" in text for text in shown)
    assert "cheap" in repr(llm)
    assert not ChatEMAFusion.is_lc_serializable()


def test_identity_changes_with_all_that_changes_an_answer(server: LoopbackServer, tmp_path: Any) -> None:
    from emafusion import LLMJudge

    def identity(**fields: Any) -> str:
        return str(ChatEMAFusion(pool(server), **fields)._identifying_params)

    same, again = identity(), identity()
    others = [
        identity(objective=Objective(usd_per_query=0.1)),
        identity(stream_mode="buffered"),
        identity(judges=[]),
        identity(judges=[LLMJudge("dear")]),
        identity(abstain_below=0.5),
    ]
    assert same == again
    assert len({same, *others}) == len(others) + 1


def test_token_counts_need_no_network(server: LoopbackServer) -> None:
    llm = ChatEMAFusion(pool(server))
    assert llm.get_num_tokens("") == 0
    assert 3 <= llm.get_num_tokens("four score and seven years ago") <= 12
    one = llm.get_num_tokens_from_messages([HumanMessage("Hello")])
    two = llm.get_num_tokens_from_messages([HumanMessage("Hello"), HumanMessage("Hello")])
    assert two == 2 * one
    with pytest.raises(NotImplementedError, match="get_num_tokens"):
        llm.get_token_ids("x")
    counting = ChatEMAFusion(pool(server), custom_get_token_ids=lambda text: [ord(c) for c in text])
    assert counting.get_num_tokens("abc") == 3
    assert counting.get_token_ids("ab") == [97, 98]


@pytest.mark.skipif("profile" not in ChatOpenAI.model_fields, reason="this version of langchain-core has no profiles")
def test_the_profile_is_what_every_candidate_can_do(server: LoopbackServer) -> None:
    first = ChatOpenAI(
        model="cheap",
        api_key="x",  # type: ignore[arg-type]
        profile={"max_input_tokens": 1000, "image_inputs": True, "tool_calling": True},
    )
    second = first.model_copy(
        update={"profile": {"max_input_tokens": 500, "image_inputs": False, "tool_calling": True}}
    )
    price = Price(input=1, output=2)
    llm = ChatEMAFusion([Candidate(first, name="a", price=price), Candidate(second, name="b", price=price)])
    assert llm.profile == {"max_input_tokens": 500, "image_inputs": False, "tool_calling": True}
    assert llm.fusion.pool["a"].context_window == 1000
    assert "image" not in (llm.fusion.pool["b"].abilities or ())
    assert ChatEMAFusion(pool(server)).profile is None
    assert ChatEMAFusion(pool(server), profile={"max_input_tokens": 7}).profile == {"max_input_tokens": 7}


def test_fields_can_be_made_configurable(server: LoopbackServer) -> None:
    llm: Any = ChatEMAFusion(pool(server)).configurable_fields(temperature=ConfigurableField(id="heat"))
    llm.invoke(ASK, {"configurable": {"heat": 0.5}})
    assert server.requests[0]["temperature"] == 0.5


def test_copies_share_what_was_learned(server: LoopbackServer) -> None:
    llm = ChatEMAFusion(pool(server))
    assert llm.model_copy(update={"tags": ["x"]}).fusion is llm.fusion


def test_feedback_goes_to_the_decision_that_the_message_names(server: LoopbackServer) -> None:
    from emafusion import ConfigError

    llm = ChatEMAFusion(pool(server))
    decision = llm.invoke(ASK).response_metadata["emafusion"]["id"]
    llm.feedback(decision, 1.0)
    with pytest.raises(ConfigError, match="no decision has the id"):
        llm.feedback("unknown", 1.0)
    with pytest.raises(ConfigError, match=r"in \[0, 1\]"):
        llm.feedback(decision, 2.0)


def test_a_server_that_reports_no_usage_is_still_accounted_for(server: LoopbackServer) -> None:
    server.add(LoopbackModel("dear", DEAR_TEXT, reports_usage=False))
    message = scripted(ChatEMAFusion(pool(server)), *DIRECT).invoke(ASK)
    assert message.response_metadata["emafusion"]["cost"] > 0
