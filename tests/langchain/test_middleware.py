"""Routing inside ``create_agent``: for every model call, or once a run through LangChain's own router."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage

from emafusion.errors import ConfigError
from emafusion.policies.moves import Move, Try
from langchain_emafusion import ChatEMAFusion
from langchain_emafusion.decision_model import HAS_DECISIONS, EMAFusionDecisionModel
from langchain_emafusion.middleware import EMAFusionMiddleware
from tests.langchain.conftest import candidate, client
from tests.langchain.paths import paths
from tests.langchain.scripted import scripted
from tests.langchain.test_tools import ASK, multiply
from tests.loopback import LoopbackModel, LoopbackServer


def serve(server: LoopbackServer, **models: Any) -> EMAFusionMiddleware:
    for name in ("cheap", "dear", "never"):
        server.add(LoopbackModel(name, **models.get(name, {})))
    return EMAFusionMiddleware([candidate(server, "cheap"), candidate(server, "dear")])


async def answer(agent: Any, way: str) -> Any:
    inputs: Any = {"messages": [HumanMessage(ASK)]}
    return agent.invoke(inputs) if way == "invoke" else await agent.ainvoke(inputs)


both = pytest.mark.parametrize("way", ["invoke", "ainvoke"])


@paths
@both
async def test_the_agents_own_model_is_never_asked(server: LoopbackServer, moves: tuple[Move, ...], way: str) -> None:
    routing = serve(server)
    scripted(routing.llm, *moves)
    state = await answer(create_agent(client(server, "never"), [multiply], middleware=[routing]), way)
    assert state["messages"][-1].text == "The tool says: 42"
    told = [m.response_metadata["emafusion"] for m in state["messages"] if isinstance(m, AIMessage)]
    assert [t["answered_by"] for t in told] == ["dear", "dear"]
    assert server.count("never") == 0


BROKEN = {
    "unknown tool": {"name": "divide", "arguments": {"a": 1}},
    "arguments that do not fit": {"name": "multiply", "arguments": {"a": "six"}},
}


@both
@pytest.mark.parametrize("call", list(BROKEN.values()), ids=list(BROKEN))
async def test_a_call_that_cannot_be_carried_out_is_made_by_a_dearer_candidate(
    server: LoopbackServer, way: str, call: dict[str, Any]
) -> None:
    routing = serve(server, cheap={"tool_script": [[call], "never said"]})
    scripted(routing.llm, Try(("cheap",), commit=True))
    state = await answer(create_agent(client(server, "never"), [multiply], middleware=[routing]), way)
    calls = [(c["name"], c["args"]) for m in state["messages"] if isinstance(m, AIMessage) for c in m.tool_calls]
    assert calls == [("multiply", {"a": 6, "b": 7})]
    assert server.count("dear") >= 1


def test_where_an_answer_was_accepted_unseen_the_middleware_escalates(server: LoopbackServer) -> None:
    routing = EMAFusionMiddleware(
        [candidate(server, "cheap"), candidate(server, "dear")], stream_mode="live", judges=[]
    )
    bad = BROKEN["unknown tool"]
    server.add(LoopbackModel("cheap", tool_script=[[bad], "done"]))
    server.add(LoopbackModel("dear"))
    scripted(routing.llm, Try(("cheap",), commit=True))
    agent: Any = create_agent(client(server, "never"), [multiply], middleware=[routing])
    list(agent.stream({"messages": [HumanMessage(ASK)]}, stream_mode="messages"))
    assert server.count("dear") >= 1


def test_the_dearest_candidates_broken_call_is_left_to_the_agent(server: LoopbackServer) -> None:
    bad = {"tool_script": [[BROKEN["unknown tool"]], "I give up."]}
    routing = serve(server, cheap=bad, dear=bad)
    agent: Any = create_agent(client(server, "never"), [multiply], middleware=[routing])
    assert agent.invoke({"messages": [HumanMessage(ASK)]})["messages"][-1].text == "I give up."


def test_a_router_that_exists_can_be_given(server: LoopbackServer) -> None:
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])
    assert EMAFusionMiddleware(llm).llm is llm


@pytest.mark.skipif(HAS_DECISIONS, reason="this version of langchain-core has decision models")
def test_without_decision_models_one_is_told_what_to_use() -> None:
    with pytest.raises(ConfigError, match=r"langchain-core>=1\.8; use EMAFusionMiddleware"):
        EMAFusionDecisionModel([])


@pytest.mark.skipif(not HAS_DECISIONS, reason="this version of langchain-core has no decision models")
@both
async def test_langchains_router_middleware_asks_the_candidate_that_is_chosen(server: LoopbackServer, way: str) -> None:
    from langchain.agents.middleware import ModelChoice, ModelRouterMiddleware

    llm = scripted(serve(server).llm, Try(("dear",), commit=True))
    choices = {n: ModelChoice(model=client(server, n), criteria=None) for n in ("cheap", "dear")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # beta
        middleware = ModelRouterMiddleware(
            choices=choices, instructions="Choose.", classifier=EMAFusionDecisionModel(llm)
        )
    state = await answer(create_agent(client(server, "never"), [multiply], middleware=[middleware]), way)
    assert state["messages"][-1].text == "The tool says: 42"
    assert (server.count("cheap"), server.count("dear"), server.count("never")) == (0, 2, 0)
    route = state["model_route"]
    assert route.choice == "dear"
    assert sum(route.probabilities.values()) == pytest.approx(1.0)


@pytest.mark.skipif(not HAS_DECISIONS, reason="this version of langchain-core has no decision models")
def test_a_choice_that_is_no_candidate_is_refused(server: LoopbackServer) -> None:
    types: Any = import_module("langchain_core.decisions")
    model = EMAFusionDecisionModel(serve(server).llm)
    for question in (types.Choice(criteria={"other": None}, instructions="x"), types.Noul(instructions="x")):
        with pytest.raises(ConfigError):
            model.invoke({"state": "hi", "questions": {"q": question}})
