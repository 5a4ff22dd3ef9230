"""Budgets behind the chat model: real clients of a server that keeps its own book."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, cast

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate

from emafusion import Budget, BudgetExceeded, Budgets, Candidate, ConfigError, Objective, Price
from emafusion.policies.moves import Accept, Ask, Try
from langchain_emafusion import ChatEMAFusion
from tests.budgets.served import Biller
from tests.langchain.conftest import candidate, client
from tests.langchain.scripted import scripted
from tests.langchain.test_structured import Booking
from tests.loopback import LoopbackModel, LoopbackServer

PRICES = {"cheap": Price(0.1, 0.3), "dear": Price(10.0, 30.0)}
ASK = "What does the dear one say?"


def router(server: LoopbackServer, *budgets: Budget, tokens: int = 200, **fields: Any) -> ChatEMAFusion:
    return ChatEMAFusion(
        [candidate(server, "cheap"), candidate(server, "dear")],
        budgets=Budgets(budgets, output_tokens=tokens),
        objective=Objective(usd_value=10.0),
        **fields,
    )


def test_many_threads_do_not_exceed_a_budget_by_the_servers_own_book(server: LoopbackServer) -> None:
    book = Biller(server, PRICES)
    llm = scripted(
        router(server, Budget(0.02)), Try(("cheap",)), Ask(("llm",), "cheap"), Try(("dear",)), Accept("dear")
    )

    def work(i: int) -> int:
        try:
            llm.invoke(ASK)
        except BudgetExceeded:
            return 0
        return 1

    with ThreadPoolExecutor(16) as threads:
        answered = sum(threads.map(work, range(80)))
    assert answered > 5
    assert 0.01 < book.billed <= 0.02
    assert book.billed == pytest.approx(llm.fusion.budgets()[0]["spent"])
    assert None not in book.limits


@pytest.mark.parametrize(("own", "sent"), [(None, 200), (50, 50), (5000, 200)])
async def test_a_draft_is_given_the_budgets_limit_unless_it_has_a_lower_one(
    server: LoopbackServer, own: int | None, sent: int
) -> None:
    book = Biller(server, {"cheap": PRICES["cheap"]})
    model = client(server, "cheap", **({} if own is None else {"max_tokens": own}))
    llm = ChatEMAFusion([Candidate(model, price=PRICES["cheap"])], budgets=Budgets([Budget(1.0)], output_tokens=200))
    llm.invoke(ASK)
    await llm.ainvoke(ASK)
    list(llm.stream(ASK))
    [chunk async for chunk in llm.astream(ASK)]
    llm.generate([[HumanMessage(ASK)]])
    assert book.limits == [sent] * 5


def test_a_structured_draft_is_given_the_limit_too(server: LoopbackServer) -> None:
    llm = router(server, Budget(1.0))
    asking = llm.with_structured_output(Booking)
    asking.invoke("Book 'Rome' for 3 people, as JSON.")
    asking.invoke("Book 'Rome' for 3 people, as JSON.", max_tokens=300)
    drafts = [r for r in server.requests if "response_format" in r]
    assert [r.get("max_completion_tokens") or r.get("max_tokens") for r in drafts] == [200, 300]


def test_a_callers_limit_stays_as_it_is(server: LoopbackServer) -> None:
    book = Biller(server, PRICES)
    router(server, Budget(1.0), judges=[]).invoke(ASK, max_tokens=700)
    router(server, Budget(1.0), judges=[], max_tokens=600).invoke(ASK)
    assert book.limits == [700, 600]


def test_a_key_comes_through_a_chain_or_in_the_call(server: LoopbackServer) -> None:
    llm = router(server, Budget(1.0, per="key"))
    chain = ChatPromptTemplate.from_template("Say {what}") | llm
    chain.invoke({"what": "yes"}, {"configurable": {"emafusion_key": "tenant-7"}})
    llm.invoke(ASK, budget_key="tenant-8")
    llm.invoke(ASK)
    assert [row["key"] for row in llm.fusion.budgets()] == ["tenant-7", "tenant-8", ""]
    assert all("budget_key" not in body for body in server.requests)


def test_a_session_is_a_thread(server: LoopbackServer) -> None:
    llm = router(server, Budget(1.0, per="session"))
    for ask in ("one", "two"):
        llm.invoke(ask, {"configurable": {"thread_id": "t"}})
    (row,) = llm.fusion.budgets()
    assert row["key"] == "t"


def test_a_refusal_reaches_the_caller_as_it_is(server: LoopbackServer) -> None:
    llm = router(server, Budget(1e-7, per="request"))
    with pytest.raises(BudgetExceeded, match="'request'"):
        llm.invoke(ASK)
    with pytest.raises(BudgetExceeded):
        list(llm.stream(ASK))
    assert server.count() == 0


async def test_a_stream_that_is_left_is_charged_at_what_was_reserved(server: LoopbackServer) -> None:
    server.add(LoopbackModel("dear", "one two three four", chunk_delay=0.05))
    llm = scripted(router(server, Budget(1.0)), Try(("dear",), commit=True))
    async with aclosing(cast(Any, llm.astream(ASK))) as chunks:
        async for chunk in chunks:
            if chunk.text:
                break
    (row,) = llm.fusion.budgets()
    assert row["reserved"] == 0.0
    assert row["spent"] > 200 * 30e-6


def test_wrong_budgets_are_told_at_construction(server: LoopbackServer) -> None:
    with pytest.raises(ConfigError, match="give a list of Budget"):
        ChatEMAFusion([candidate(server, "cheap")], budgets=[3.0])


@pytest.mark.parametrize("way", ["batch", "abatch"])
async def test_a_batch_never_exceeds_its_budget_and_spends_it_where_it_is_worth_most(
    server: LoopbackServer, way: str
) -> None:
    book = Biller(server, PRICES)
    llm = router(server, Budget(10.0))
    asked: list[Any] = [f"What is {i} * {i + 7}? Reply with a number." for i in range(40)]
    config: Any = {"max_concurrency": 8}
    if way == "batch":
        answers: list[Any] = llm.batch(asked, config, budget=0.05, return_exceptions=True, max_tokens=200)
    else:
        answers = await llm.abatch(asked, config, budget=0.05, return_exceptions=True, max_tokens=200)
    answered = [a for a in answers if not isinstance(a, Exception)]
    assert all(isinstance(a, BudgetExceeded) for a in answers if isinstance(a, Exception))
    assert len(answers) == 40
    assert len(answered) >= 38
    assert {a.response_metadata["emafusion"]["answered_by"] for a in answered} == {"cheap", "dear"}
    assert 0.02 < book.billed <= 0.05
    assert llm.fusion.budgets()[0]["spent"] == pytest.approx(book.billed)


def test_a_batch_without_a_budget_is_langchains_own(server: LoopbackServer) -> None:
    llm = router(server, Budget(1.0))
    assert [m.text for m in llm.batch(["one", "two"], model="dear")] == [llm.invoke("x", model="dear").text] * 2
    with pytest.raises(ConfigError, match="not both"):
        llm.batch(["one"], budget=1.0, model="dear")
