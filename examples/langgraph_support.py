"""A LangGraph graph with a checkpointer: triage, then an answer, in a conversation that is kept.

OPENAI_API_KEY=... python examples/langgraph_support.py
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from langchain_emafusion import ChatEMAFusion

DESKS = {
    "billing": "You answer questions about invoices, briefly.",
    "technical": "You solve technical problems, briefly.",
}


class Support(MessagesState):
    """The conversation, and the desk that it is at."""

    desk: str


def graph_over(llm: Any) -> Any:
    """The graph, with one model object for both of its steps."""

    def triage(state: Support) -> dict[str, str]:
        asked = f"Which desk is this for, billing or technical? Reply with one word.\n\n{state['messages'][-1].text}"
        said = llm.invoke([HumanMessage(asked)]).text.lower()
        return {"desk": "billing" if "billing" in said else "technical"}

    def answer(state: Support) -> dict[str, list[Any]]:
        return {"messages": [llm.invoke([SystemMessage(DESKS[state["desk"]]), *state["messages"]])]}

    graph = StateGraph(Support)
    graph.add_node("triage", triage)
    graph.add_node("answer", answer)
    graph.add_edge(START, "triage")
    graph.add_edge("triage", "answer")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=InMemorySaver())


def support(llm: Any) -> None:
    """The program as it was, and what it has always promised."""
    graph = graph_over(llm)
    config = {"configurable": {"thread_id": "customer-7"}}
    for question in ("Why was I charged twice in May?", "And when do I get that back?"):
        state = graph.invoke({"messages": [HumanMessage(question)]}, config)
        told = state["messages"][-1]
        print("you:  ", question)
        print(f"{state['desk']}: {told.text}  [{told.response_metadata['model_name']}]")
        assert state["desk"] in DESKS
    kept = graph.get_state(config).values["messages"]
    print("kept: ", len(kept), "messages")
    assert [m.type for m in kept] == ["human", "ai", "human", "ai"]


def main() -> None:
    # Before: llm = ChatOpenAI(model="gpt-4o")
    llm = ChatEMAFusion(["openai:gpt-4o-mini", "openai:gpt-4o"])
    support(llm)


if __name__ == "__main__":
    main()
