"""A run that is interrupted, kept by a checkpointer and resumed goes on with its candidate."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from emafusion.policies.moves import Move, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import CHEAP_TEXT, DEAR_TEXT, candidate
from tests.langchain.paths import ASK, paths
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer


@tool
def pay(amount: int) -> str:
    """Pay an amount, once a person has agreed."""
    return f"paid {amount}" if interrupt({"amount": amount}) == "yes" else "refused"


@paths
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
async def test_an_interrupted_agent_resumes_where_it_was(
    server: LoopbackServer, moves: tuple[Move, ...], way: str
) -> None:
    for name in ("cheap", "dear"):
        server.add(LoopbackModel(name))
    llm = scripted(ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")]), *moves)
    agent: Any = create_agent(llm, [pay], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    async def go_on(given: Any) -> None:
        if way == "invoke":
            agent.invoke(given, config)
        elif way == "ainvoke":
            await agent.ainvoke(given, config)
        else:
            list(agent.stream(given, config, stream_mode="messages"))

    await go_on({"messages": [HumanMessage("Use pay on 12.")]})
    state = agent.get_state(config)
    assert state.tasks[0].interrupts[0].value == {"amount": 12}
    before = server.count()
    scripted(llm, Try(("cheap",), commit=True))  # what the policy would do with a new question
    await go_on(Command(resume="yes"))
    messages = agent.get_state(config).values["messages"]
    assert [m.type for m in messages] == ["human", "ai", "tool", "ai"]
    assert messages[-1].text == "The tool says: paid 12"
    told = [m.response_metadata["emafusion"] for m in messages if isinstance(m, AIMessage)]
    assert [(t["answered_by"], t["sticky"]) for t in told] == [("dear", False), ("dear", True)]
    assert server.count() == before + 1


@pytest.mark.parametrize("way", ["stream", "astream", "langgraph"])
async def test_a_stream_that_breaks_after_its_empty_first_chunk_goes_to_the_next_candidate(
    server: LoopbackServer, way: str
) -> None:
    from tests.langchain.paths import graph_over

    server.add(LoopbackModel("cheap", CHEAP_TEXT, break_after=1))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], max_retries=1)
    scripted(llm, Try(("cheap",), commit=True))
    if way == "stream":
        chunks: list[Any] = list(llm.stream(ASK))
    elif way == "astream":
        chunks = [c async for c in llm.astream(ASK)]
    else:
        inputs = {"messages": [HumanMessage(ASK)]}
        chunks = [m for m, _ in graph_over(llm).stream(inputs, stream_mode="messages")]
    assert "".join(str(c.text) for c in chunks) == DEAR_TEXT
    assert (server.count("cheap"), server.count("dear")) == (2, 1)
