"""The ways in which an answer comes about, and every way in which a caller can ask for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from emafusion.policies.moves import Accept, Ask, Move, Try
from langchain_emafusion import ChatEMAFusion

__all__ = ["ASK", "DIRECT", "JUDGED", "PATHS", "READERS", "graph_over", "needs_v3", "paths", "readers"]

ASK = "What does the dear one say?"

DIRECT: tuple[Move, ...] = (Try(("dear",), commit=True),)
CASCADE: tuple[Move, ...] = (Try(("cheap",)), Ask(("llm",), "cheap"), Try(("dear",), commit=True))
JUDGED: tuple[Move, ...] = (Try(("cheap", "dear")), Ask(("llm",), "cheap"), Ask(("llm",), "dear"), Accept("dear"))
PATHS = {"direct": DIRECT, "cascade": CASCADE, "judged": JUDGED}

paths = pytest.mark.parametrize("moves", list(PATHS.values()), ids=list(PATHS))


def graph_over(llm: Any, **compiled: Any) -> Any:
    """A LangGraph graph of one node that calls ``llm``."""

    def say(state: MessagesState) -> dict[str, Any]:
        return {"messages": [llm.invoke(state["messages"])]}

    async def asay(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    from langchain_core.runnables import RunnableLambda

    graph = StateGraph(MessagesState)
    graph.add_node("say", RunnableLambda(say, asay))
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    return graph.compile(**compiled)


def _text(message: Any) -> str:
    return str(message.text) if isinstance(message, (AIMessage, AIMessageChunk)) else ""


async def _events_v2_of_a_chain(llm: ChatEMAFusion) -> str:
    from langchain_core.prompts import ChatPromptTemplate

    chain = ChatPromptTemplate.from_template("{question}") | llm
    events = [e async for e in chain.astream_events({"question": ASK}, version="v2")]
    return "".join(_text(e["data"]["chunk"]) for e in events if e["event"] == "on_chat_model_stream")


async def _events_v2_of_invoke(llm: ChatEMAFusion) -> str:
    """A graph's node calls ``ainvoke``; LangChain makes it stream for the listener."""
    inputs = {"messages": [HumanMessage(ASK)]}
    events = [e async for e in graph_over(llm).astream_events(inputs, version="v2")]
    return "".join(_text(e["data"]["chunk"]) for e in events if e["event"] == "on_chat_model_stream")


async def _langgraph(llm: ChatEMAFusion) -> str:
    inputs = {"messages": [HumanMessage(ASK)]}
    return "".join(_text(m) for m, _ in graph_over(llm).stream(inputs, stream_mode="messages"))


# The others are in the behaviour suite.
READERS: dict[str, Callable[[ChatEMAFusion], Awaitable[str]]] = {
    "astream_events v2 of a chain": _events_v2_of_a_chain,
    "astream_events v2 of a graph": _events_v2_of_invoke,
    "langgraph messages, synchronous": _langgraph,
}

HAS_V3 = hasattr(BaseChatModel, "_chat_model_stream_v3")
needs_v3 = pytest.mark.skipif(not HAS_V3, reason="this version of langchain-core has no v3 events")
readers = pytest.mark.parametrize("read", [pytest.param(f, id=name) for name, f in READERS.items()])
