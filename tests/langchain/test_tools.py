"""Tools: bound in each client's terms, and a tool loop that stays with its candidate."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from emafusion.policies.moves import Accept, Ask, Move, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import candidate
from tests.langchain.paths import paths
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ASK = "Use multiply on 6 and 7."


@pytest.fixture
def llm(server: LoopbackServer) -> ChatEMAFusion:
    for name in ("cheap", "dear"):
        server.add(LoopbackModel(name))
    return ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])


@paths
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_bound_tool_is_called_whoever_answers(llm: ChatEMAFusion, moves: tuple[Move, ...], way: str) -> None:
    bound = scripted(llm, *moves).bind_tools([multiply, add])
    assert isinstance(bound, RunnableBinding)
    message: Any
    if way == "invoke":
        message = bound.invoke(ASK)
    elif way == "ainvoke":
        message = await bound.ainvoke(ASK)
    else:
        chunks: list[Any] = list(bound.stream(ASK)) if way == "stream" else [c async for c in bound.astream(ASK)]
        message = chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("multiply", {"a": 6, "b": 7})]
    assert message.response_metadata["emafusion"]["answered_by"] == "dear"


def test_options_of_bind_tools_reach_the_candidate(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    bound = llm.bind_tools([multiply, add], tool_choice="add", strict=True, parallel_tool_calls=False)
    bound.invoke("What is 1 and 2?", model="dear")
    body = server.requests[-1]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert body["parallel_tool_calls"] is False
    assert all(t["function"]["strict"] for t in body["tools"])


def test_tools_are_part_of_what_is_asked(llm: ChatEMAFusion) -> None:
    bound = llm.bind_tools([multiply])
    assert isinstance(bound, RunnableBinding)
    query = llm.request(ASK, **bound.kwargs).query()
    assert query.needs == {"tools"}
    assert query.tools[0]["function"]["name"] == "multiply"


def test_parallel_calls_come_back_together(llm: ChatEMAFusion) -> None:
    message = llm.bind_tools([multiply, add]).invoke("Use multiply and add on 1 and 2, 3 and 4.")
    assert [c["name"] for c in message.tool_calls] == ["multiply", "add"]


def test_a_call_with_broken_arguments_loses_to_a_good_one(server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", tool_script=[[{"name": "multiply", "arguments": '{"a": 6, '}]]))
    server.add(LoopbackModel("dear"))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], judges=[])
    bound = scripted(llm, Try(("cheap",)), Try(("dear",)), Accept("dear")).bind_tools([multiply])
    told = bound.invoke(ASK).response_metadata["emafusion"]
    confidence = {a["candidate"]: a["confidence"] for a in told["attempts"]}
    assert confidence["cheap"] < confidence["dear"]


def test_a_tool_loop_stays_with_the_candidate_that_began_it(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    bound = scripted(llm, Try(("dear",)), Ask(("llm",), "dear"), Accept("dear")).bind_tools([multiply])
    history: list[Any] = [HumanMessage(ASK)]
    first = bound.invoke(history)
    history += [first, ToolMessage("42", tool_call_id=first.tool_calls[0]["id"])]
    scripted(llm, Try(("cheap",), commit=True))  # what the policy would do with a new question
    second = bound.invoke(history)
    told = second.response_metadata["emafusion"]
    assert (told["answered_by"], told["sticky"]) == ("dear", True)
    history += [second, HumanMessage("And now use multiply on 2 and 3.")]
    assert bound.invoke(history).response_metadata["emafusion"]["answered_by"] == "cheap"


def test_a_loop_whose_candidate_fails_goes_on_with_another(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    bound = scripted(llm, Try(("dear",), commit=True)).bind_tools([multiply])
    first = bound.invoke(ASK)
    server.add(LoopbackModel("dear", error_status=503))
    second = bound.invoke([HumanMessage(ASK), first, ToolMessage("42", tool_call_id=first.tool_calls[0]["id"])])
    assert second.response_metadata["emafusion"]["answered_by"] == "cheap"
    assert second.text == "The tool says: 42"


def test_threads_do_not_share_a_loop(llm: ChatEMAFusion) -> None:
    bound = scripted(llm, Try(("dear",), commit=True)).bind_tools([multiply])
    first = bound.invoke(ASK, {"configurable": {"thread_id": "1"}})
    scripted(llm, Try(("cheap",), commit=True))
    history = [HumanMessage(ASK), first, ToolMessage("42", tool_call_id=first.tool_calls[0]["id"])]
    same = bound.invoke(history, {"configurable": {"thread_id": "1"}})
    other = bound.invoke(history, {"configurable": {"thread_id": "2"}})
    assert same.response_metadata["emafusion"]["answered_by"] == "dear"
    assert other.response_metadata["emafusion"]["answered_by"] == "cheap"


@paths
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
async def test_an_agent_runs_its_loop_on_one_candidate(llm: ChatEMAFusion, moves: tuple[Move, ...], way: str) -> None:
    agent: Any = create_agent(scripted(llm, *moves), [multiply, add], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    inputs = {"messages": [HumanMessage(ASK)]}
    if way == "invoke":
        state = agent.invoke(inputs, config)
    elif way == "ainvoke":
        state = await agent.ainvoke(inputs, config)
    else:
        text: dict[str | None, str] = {}
        for message, _ in agent.stream(inputs, config, stream_mode="messages"):
            if isinstance(message, AIMessage):
                text[message.id] = text.get(message.id, "") + str(message.text)
        assert "".join(text.values()) == "The tool says: 42"
        state = agent.get_state(config).values
    messages = state["messages"]
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai"]
    assert messages[-1].text == "The tool says: 42"
    told = [m.response_metadata["emafusion"] for m in messages if isinstance(m, AIMessage)]
    assert [(t["answered_by"], t["sticky"]) for t in told] == [("dear", False), ("dear", True)]


@paths
@pytest.mark.filterwarnings("ignore:.* has been moved to `langchain.agents`")
async def test_langgraphs_own_agent_runs_its_loop_on_one_candidate(llm: ChatEMAFusion, moves: tuple[Move, ...]) -> None:
    from langgraph.prebuilt import create_react_agent

    agent: Any = create_react_agent(scripted(llm, *moves), [multiply, add], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    both = "Use multiply and add on 6 and 7, 1 and 2."
    states = [agent.invoke({"messages": [both]}, config)]
    states.append(await agent.ainvoke({"messages": [both]}, config))
    for number, state in enumerate(states, 1):
        turn = state["messages"][-5:]
        assert [m.type for m in turn] == ["human", "ai", "tool", "tool", "ai"]
        assert turn[-1].text == "The tool says: 42; 3"
        assert len(state["messages"]) == 5 * number
        told = [m.response_metadata["emafusion"]["answered_by"] for m in turn if isinstance(m, AIMessage)]
        assert told == ["dear", "dear"]


def test_an_agents_own_middleware_may_change_what_is_asked(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    from langchain.agents.middleware import wrap_model_call

    @wrap_model_call  # type: ignore[arg-type, untyped-decorator, unused-ignore]
    def pinned(request: Any, handler: Any) -> Any:
        settings = {**request.model_settings, "model": "dear"}
        return handler(request.override(model_settings=settings, tools=[multiply]))

    agent: Any = create_agent(llm, [multiply, add], middleware=[pinned])
    assert agent.invoke({"messages": [HumanMessage(ASK)]})["messages"][-1].text == "The tool says: 42"
    assert (server.count("cheap"), server.count("dear")) == (0, 2)
    assert [t["function"]["name"] for t in server.requests[0]["tools"]] == ["multiply"]


class Total(BaseModel):
    """The total."""

    total: int


@paths
@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
def test_an_agent_answers_in_a_schema(
    llm: ChatEMAFusion, server: LoopbackServer, moves: tuple[Move, ...], strategy: Any
) -> None:
    """By a tool of the agent's own, or in the provider's way, for which OpenAI wants all tools to be strict."""
    total = '{"total": 42}'
    turns: dict[Any, Any] = {ToolStrategy: [{"name": "Total", "arguments": {"total": 42}}], ProviderStrategy: total}
    for name in ("cheap", "dear"):
        call = [{"name": "multiply", "arguments": {"a": 6, "b": 7}}]
        server.add(LoopbackModel(name, tool_script=[call, turns[strategy]]))
    agent: Any = create_agent(scripted(llm, *moves), [multiply], response_format=strategy(Total))
    assert agent.invoke({"messages": [HumanMessage(ASK)]})["structured_response"] == Total(total=42)


def test_model_fallback_middleware_and_with_fallbacks_take_over_from_a_router_that_fails(
    llm: ChatEMAFusion, server: LoopbackServer
) -> None:
    from langchain.agents.middleware import ModelFallbackMiddleware

    for name in ("cheap", "dear"):
        server.add(LoopbackModel(name, error_status=503))
    spare = ChatEMAFusion([candidate(server, "spare").named(price=llm.fusion.pool.price("cheap"))])
    agent: Any = create_agent(llm, [multiply], middleware=[ModelFallbackMiddleware(spare)])
    assert agent.invoke({"messages": [HumanMessage(ASK)]})["messages"][-1].text == "The tool says: 42"
    assert llm.with_fallbacks([spare]).invoke("Hello").text == "Hello"
