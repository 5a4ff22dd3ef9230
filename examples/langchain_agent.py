"""An agent with tools whose model is chosen for each question, and kept while it works on it.

OPENAI_API_KEY=... python examples/langchain_agent.py
"""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_emafusion import ChatEMAFusion

STOCK = {"lamp": 12, "chair": 3, "table": 0}
ORDERS: list[tuple[str, int]] = []


@tool
def in_stock(item: str) -> int:
    """How many of an item are in stock."""
    return STOCK.get(item.lower(), 0)


@tool
def price_of(item: str) -> float:
    """Price of an item in euros."""
    return {"lamp": 19.9, "chair": 49.0, "table": 129.0}.get(item.lower(), 0.0)


@tool
def order(item: str, count: int) -> str:
    """Order an item."""
    ORDERS.append((item, count))
    return f"ordered: {count} x {item}"


def agent_over(llm: Any) -> Any:
    return create_agent(llm, [in_stock, price_of, order], checkpointer=InMemorySaver())


def shop(llm: Any) -> None:
    """The program as it was, and what it has always promised."""
    agent = agent_over(llm)
    config = {"configurable": {"thread_id": "shop"}}
    for question in ("How many of the 'lamp' are in stock?", "Then order 2 of the 'lamp', please."):
        print("you:  ", question)
        state = agent.invoke({"messages": [HumanMessage(question)]}, config)
        asked = max(i for i, m in enumerate(state["messages"]) if m.type == "human")
        for message in state["messages"][asked + 1 :]:
            if isinstance(message, AIMessage):
                calls = ", ".join(f"{c['name']}({c['args']})" for c in message.tool_calls)
                print(f"agent: {message.text or 'calls ' + calls}  [{paid(message)}]")
    assert ORDERS == [("lamp", 2)]


def paid(message: AIMessage) -> str:
    """Who wrote it and what it cost, where the router says so."""
    told = message.response_metadata.get("emafusion")
    if told is None:
        return str(message.response_metadata.get("model_name"))
    return f"{told['answered_by']}{', as before in this loop' if told['sticky'] else ''}; {told['cost']:.6f} USD"


def main() -> None:
    # Before: llm = ChatOpenAI(model="gpt-4o")
    llm = ChatEMAFusion(["openai:gpt-4o-mini", "openai:gpt-4o"])
    shop(llm)


if __name__ == "__main__":
    main()
