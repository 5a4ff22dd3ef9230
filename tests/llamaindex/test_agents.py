"""Agents run their tool loops through EMAFusion, whichever candidate answers each step."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.tools import FunctionTool

from llamaindex_emafusion.testing import add, multiply
from tests.llamaindex.conftest import LEAKED_MEMORY, Clients
from tests.llamaindex.scripted import Cascade, Direct
from tests.loopback_model import Json, LoopbackModel

pytestmark = [
    pytest.mark.filterwarnings(LEAKED_MEMORY),
    # Workflows look through every attribute of an agent, pydantic's deprecated ones among them.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),  # by ReActAgent
    pytest.mark.usefixtures("collected"),
]

SCRIPTS: dict[str, Any] = {
    "direct": Direct(("cheap", "dear")),
    "buffered": Direct(("cheap", "dear"), live=False),
    "cascade": Cascade((("cheap",), ("dear",)), "judge", escalations=1),
    "at once": Cascade((("cheap", "dear"),), "judge"),
}


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest, clients: Clients) -> Any:
    clients.server.add(LoopbackModel("judge", "0.9"))
    return SCRIPTS[request.param]


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_function_agent_calls_its_tools_and_answers(streaming: bool, script: Any, clients: Clients) -> None:
    agent = FunctionAgent(tools=[add, multiply], llm=clients.scripted(script), streaming=streaming)
    running = agent.run("Use add on 6 and 7, and multiply on 8 and 9")
    results = [e async for e in running.stream_events() if isinstance(e, ToolCallResult)]
    assert sorted(str(r.tool_output) for r in results) == ["13", "72"]
    answer = str(await running)
    assert "13" in answer


async def test_an_agents_stream_shows_what_it_answers(clients: Clients) -> None:
    agent = FunctionAgent(tools=[add], llm=clients.scripted(Direct(("cheap",))))
    running = agent.run("Use add on 2 and 3")
    deltas = [e.delta async for e in running.stream_events() if isinstance(e, AgentStream)]
    assert "".join(deltas) == str(await running)


async def test_the_steps_of_one_loop_share_a_session(script: Any, clients: Clients) -> None:
    llm = clients.scripted(script)
    await FunctionAgent(tools=[add], llm=llm).run("Use add on 2 and 3")
    first, *later = llm.fusion.queries  # type: ignore[attr-defined]
    assert not first.mid_turn
    assert later
    assert all(q.mid_turn and q.session == first.session and q.text == first.text for q in later)
    assert "tools" in first.needs


async def test_a_loop_survives_a_candidate_that_fails_in_the_middle(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap", "dear"), live=False))

    def break_down(a: int, b: int) -> int:
        """Add two integers, while the cheap model breaks down."""
        clients.server.add(LoopbackModel("cheap", error_status=500))
        return a + b

    answer = await FunctionAgent(tools=[FunctionTool.from_defaults(break_down, name="add")], llm=llm).run("add 2 and 3")
    assert "5" in str(answer)
    assert llm.last_decision is not None
    assert llm.last_decision.answered_by == "dear"


async def test_an_agent_remembers_what_was_said(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap",)))
    agent, memory = FunctionAgent(tools=[], llm=llm), Memory.from_defaults(session_id="s")
    await agent.run("My colour is violet", memory=memory)
    await agent.run("Which one?", memory=memory)
    sent = clients.server.requests[-1]["messages"]
    assert [m["content"] for m in sent] == ["My colour is violet", "My colour is violet", "Which one?"]
    assert all(set(m) == {"role", "content"} for m in sent)  # nothing of ours travels to the provider


async def test_a_react_agent_reasons_in_text(script: Any, clients: Clients) -> None:
    def reason(messages: list[Json], body: Json) -> str:
        if messages[-1]["content"].startswith("Observation:"):
            return f"Thought: I can answer.\nAnswer: it is {messages[-1]['content'].split()[-1]}"
        return 'Thought: I need a tool.\nAction: add\nAction Input: {"a": 2, "b": 3}'

    for name in ("cheap", "dear"):
        clients.server.add(LoopbackModel(name, reason))
    llm = clients.scripted(script)
    answer = await ReActAgent(tools=[FunctionTool.from_defaults(add)], llm=llm).run("What is 2 and 3 together?")
    assert str(answer) == "it is 5"
    first, second = llm.fusion.queries  # type: ignore[attr-defined]
    assert first.text == second.text == "What is 2 and 3 together?"  # the observation is not the question
    assert (first.mid_turn, second.mid_turn) == (False, True)
    assert first.session == second.session
    assert first.context == ""


async def test_two_agents_hand_over(script: Any, clients: Clients) -> None:
    def work(messages: list[Json], body: Json) -> Any:
        tools = {t["function"]["name"] for t in body.get("tools") or ()}
        done = [m for m in messages if m["role"] == "tool"]
        if "add" not in tools and not any("multiplier" in str(m["content"]) for m in done):
            return {"tool_calls": [{"name": "handoff", "arguments": {"to_agent": "adder", "reason": "sum"}}]}
        if not any(m["content"] == "5" for m in done):
            return {"tool_calls": [{"name": "add", "arguments": {"a": 2, "b": 3}}]}
        return "the sum is 5"

    for name in ("cheap", "dear"):
        clients.server.add(LoopbackModel(name, work))
    llm = clients.scripted(script)
    workflow = AgentWorkflow(
        agents=[
            FunctionAgent(
                name="multiplier", description="multiplies", tools=[multiply], llm=llm, can_handoff_to=["adder"]
            ),
            FunctionAgent(name="adder", description="adds", tools=[add], llm=llm),
        ],
        root_agent="multiplier",
    )
    assert str(await workflow.run("What is 2 and 3 together?")) == "the sum is 5"


async def test_an_agent_takes_a_history_without_changing_it(clients: Clients) -> None:
    history = [ChatMessage(role="user", content="Hello"), ChatMessage(role="assistant", content="Hi")]
    before = [m.model_dump() for m in history]
    agent = FunctionAgent(tools=[add], llm=clients.scripted(Direct(("cheap",))))
    await agent.run("Use add on 2 and 3", chat_history=history)
    assert [m.model_dump() for m in history] == before
