"""Budgets behind the LLM: real clients of a server that keeps its own book."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, cast

import pytest
from llama_index.core.evaluation import RelevancyEvaluator

from emafusion import Budget, BudgetExceeded, Budgets, Candidate, Objective, Price
from llamaindex_emafusion import EMAFusion, EvaluatorJudge
from tests.budgets.served import Biller
from tests.llamaindex.conftest import PRICES, Clients
from tests.loopback import LoopbackModel

BOOKED = {name: Price(PRICES[name], PRICES[name]) for name in ("cheap", "dear")}


def llm_over(clients: Clients, *budgets: Budget, max_tokens: int | None = None, **fields: Any) -> EMAFusion:
    pool = [Candidate(clients.model(name, max_tokens=max_tokens), name=name, price=BOOKED[name]) for name in BOOKED]
    return EMAFusion(pool, budgets=Budgets(budgets, output_tokens=200), objective=Objective(usd_value=10.0), **fields)


def test_many_threads_do_not_exceed_a_budget_by_the_servers_own_book(clients: Clients) -> None:
    book = Biller(clients.server, BOOKED)
    llm = llm_over(clients, Budget(0.01))

    def work(i: int) -> int:
        try:
            llm.complete("What does the dear one say?")
        except BudgetExceeded:
            return 0
        return 1

    with ThreadPoolExecutor(16) as threads:
        answered = sum(threads.map(work, range(80)))
    assert answered > 5
    assert 0.005 < book.billed <= 0.01
    assert book.billed == pytest.approx(llm.fusion.budgets()[0]["spent"])
    assert None not in book.limits


@pytest.mark.parametrize(("own", "sent"), [(None, 200), (50, 50), (5000, 200)])
async def test_a_draft_is_given_the_budgets_limit_unless_it_has_a_lower_one(
    clients: Clients, own: int | None, sent: int
) -> None:
    book = Biller(clients.server, BOOKED)
    llm = llm_over(clients, Budget(1.0), max_tokens=own)
    llm.complete("x", model="cheap")
    await llm.acomplete("x", model="cheap")
    list(llm.stream_complete("x", model="cheap"))
    [c async for c in await llm.astream_complete("x", model="cheap")]
    assert set(book.limits) == {sent}


def test_a_key_comes_in_the_call_and_does_not_reach_the_model(clients: Clients) -> None:
    llm = llm_over(clients, Budget(1.0, per="key"))
    llm.complete("x", budget_key="tenant-7")
    assert [row["key"] for row in llm.fusion.budgets()] == ["tenant-7"]
    assert all("budget_key" not in body for body in clients.server.requests)


def test_a_session_is_a_thread(clients: Clients) -> None:
    llm = llm_over(clients, Budget(1.0, per="session"))
    llm.complete("one", thread="t")
    llm.complete("two", thread="t")
    assert [row["key"] for row in llm.fusion.budgets()] == ["t"]


def test_a_refusal_reaches_the_caller_as_it_is(clients: Clients) -> None:
    llm = llm_over(clients, Budget(1e-7, per="request"))
    with pytest.raises(BudgetExceeded, match="'request'"):
        llm.complete("x")
    assert clients.server.count() == 0


async def test_a_stream_that_is_left_is_charged_at_what_was_reserved(clients: Clients) -> None:
    clients.server.add(LoopbackModel("dear", "one two three four", chunk_delay=0.05))
    llm = llm_over(clients, Budget(1.0), stream_mode="live")
    async with aclosing(cast(Any, await llm.astream_complete("x", model="dear"))) as chunks:
        async for _ in chunks:
            break
    (row,) = llm.fusion.budgets()
    assert row["reserved"] == 0.0
    assert row["spent"] > 200 * PRICES["dear"] / 1e6


def test_what_an_evaluator_spends_is_entered(clients: Clients) -> None:
    clients.server.add(LoopbackModel("judge", "YES"))
    judge = EvaluatorJudge(RelevancyEvaluator(llm=clients.model("judge")), price=Price(0.5, 0.5), needs_context=False)
    llm = llm_over(clients, Budget(1.0), judges=[judge])
    (call,) = judge.calls(*_case())
    assert call.max_usd is not None
    llm.complete("Context:\n-----\nRome is old.\n-----\nQuery: How old is Rome?\nAnswer: ")
    decision = llm.last_decision
    assert decision is not None
    assert llm.fusion.budgets()[0]["spent"] == pytest.approx(decision.cost_usd, rel=1e-6)


def _case() -> Any:
    from emafusion.types import Query, Reply

    return Query("How old?", context="Rome is old."), Reply("Very."), "cheap", "judge"


async def test_a_batch_never_exceeds_its_budget(clients: Clients) -> None:
    book = Biller(clients.server, BOOKED)
    llm = llm_over(clients, Budget(10.0))
    asked = [f"What is {i} * {i + 7}? Reply with a number." for i in range(24)]
    first = llm.complete_all(asked, budget=0.01, max_tokens=200)
    billed = book.billed
    second = await llm.acomplete_all(asked, budget=0.01, max_tokens=200)
    for answers, spent in ((first, billed), (second, book.billed - billed)):
        answered = [a for a in answers if not isinstance(a, Exception)]
        assert all(isinstance(a, BudgetExceeded) for a in answers if isinstance(a, Exception))
        assert len(answered) >= 22
        assert 0.002 < spent <= 0.01
