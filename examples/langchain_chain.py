"""A chain that was there before, and the one line that changes.

    OPENAI_API_KEY=... python examples/langchain_chain.py

The chain answers questions from passages that a vector store finds. Only ``llm`` is another object; prompt, retriever
and parser are what they were.
"""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from emafusion import Objective
from langchain_emafusion import ChatEMAFusion

PASSAGES = (
    "The Rialto Bridge in Venice was finished in 1591.",
    "The Tower of Pisa began to lean while its third floor was built, in 1178.",
    "The Pantheon in Rome has a dome of unreinforced concrete, 43.3 metres wide.",
)
PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer in one sentence, from these passages only:\n{passages}"),
        ("human", "{question}"),
    ]
)


def router() -> ChatEMAFusion:
    # Before: return ChatOpenAI(model="gpt-4o")
    return ChatEMAFusion(["openai:gpt-4o-mini", "openai:gpt-4o"], objective=Objective(usd_per_query=0.002))


def chain_over(llm: Runnable[Any, Any]) -> Runnable[str, str]:
    """Retrieve, ask, parse."""
    # Any embedding model does; this one needs no network.
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=64))
    store.add_documents([Document(text) for text in PASSAGES])
    retriever = store.as_retriever(search_kwargs={"k": 2})
    found = retriever | (lambda documents: "\n".join(d.page_content for d in documents))
    return {"passages": found, "question": RunnablePassthrough()} | PROMPT | llm | StrOutputParser()


def ask(llm: Runnable[Any, Any], question: str) -> str:
    """The program as it was, and what it has always promised."""
    answer = ""
    for piece in chain_over(llm).stream(question):
        print(piece, end="", flush=True)
        answer += piece
    assert "1591" in answer
    return answer


def main() -> None:
    llm = router()
    question = "When was the Rialto Bridge finished, and how wide is the dome of the Pantheon?"

    print(llm.explain(question), "\n")  # whom it would ask, and why; no model is called
    print("answer: ", end="")
    ask(llm, question)

    decision = llm.fusion.last
    assert decision is not None
    print(f"\n\nanswered by {decision.answered_by}: {decision.reason}")
    print(f"cost {decision.cost_usd:.6f} USD, {decision.saved_usd:.6f} less than {decision.reference} was expected to")
    llm.feedback(decision.id, score=1.0)


if __name__ == "__main__":
    main()
