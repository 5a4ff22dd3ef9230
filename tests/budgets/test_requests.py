"""Budgets in requests: what is never exceeded, who is asked at the limit, and what a broken call is charged."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import event

from emafusion import AllCandidatesFailed, Budget, BudgetExceeded, Budgets, Fusion, Objective, Result
from emafusion.engine.drivers import arun, astream, run, stream
from emafusion.engine.retries import Retries
from emafusion.judges.llm import LLMJudge
from emafusion.policies.moves import Accept, Ask, Move, Try
from emafusion.types import Call, Reply, Usage
from tests.budgets.billing import LIMIT, PRICES, BillingTransport, most, pool, spent
from tests.engine.scripted import ScriptedPolicy, ask

BEST = Objective(usd_value=100.0)
"""Worth asking the best whatever it costs."""


def fusion(*budgets: Budget, names: tuple[str, ...] = (), moves: list[Move] | None = None, **options: Any) -> Fusion:
    one = Fusion(
        pool(*names), judges=options.pop("judges", ()), budgets=Budgets(budgets, output_tokens=LIMIT), **options
    )
    if moves is not None:
        one.engine = replace(one.engine, policy=ScriptedPolicy(moves))
    return one


def by_run(one: Fusion, transport: Any, **kwargs: Any) -> Result:
    return run(one.steps(ask(), BEST, **kwargs), transport)


def by_arun(one: Fusion, transport: Any, **kwargs: Any) -> Result:
    return asyncio.run(arun(one.steps(ask(), BEST, **kwargs), transport))


def by_stream(one: Fusion, transport: Any, **kwargs: Any) -> Result:
    return cast(Result, list(stream(one.steps(ask(), BEST, **kwargs), transport))[-1])


def by_astream(one: Fusion, transport: Any, **kwargs: Any) -> Result:
    async def drain() -> Any:
        return [item async for item in astream(one.steps(ask(), BEST, **kwargs), transport)][-1]

    return cast(Result, asyncio.run(drain()))


DRIVERS = pytest.mark.parametrize("drive", [by_run, by_arun, by_stream, by_astream])


# -- never exceeded ---------------------------------------------------------------------------------------------


@DRIVERS
@pytest.mark.parametrize("stored", [False, True])
def test_a_budget_is_spent_to_its_end_and_not_beyond(drive: Any, stored: bool, tmp_path: Path) -> None:
    one = fusion(Budget(0.05), store=tmp_path / "budgets.sqlite" if stored else None)
    transport = BillingTransport(7, fails=0.1, silent=0.1)
    answered = refused = 0
    for _ in range(400):
        try:
            drive(one, transport)
            answered += 1
        except BudgetExceeded:
            refused += 1
        except AllCandidatesFailed:
            continue
    assert answered > 10
    assert refused > 10
    assert transport.billed <= 0.05
    assert transport.billed <= spent(one) + 1e-9
    assert 0.05 - most("small") - 1e-9 <= spent(one) <= 0.05


@pytest.mark.parametrize("stored", [False, True])
def test_64_threads_do_not_exceed_a_budget(stored: bool, tmp_path: Path) -> None:
    """Real costs, failures and judges are added up by the transport's own book."""
    one = fusion(
        Budget(0.2),
        Budget(0.02, per="key", window="month"),
        Budget(0.015, per="request"),
        judges=[LLMJudge("mid", max_output_tokens=50)],
        store=tmp_path / "budgets.sqlite" if stored else None,
    )
    books = {key: BillingTransport(i, fails=0.1, silent=0.1, seconds=0.001) for i, key in enumerate("abcdefghijkl")}

    def work(i: int) -> float:
        key = "abcdefghijkl"[i % 12]
        try:
            run(one.steps(ask(), BEST, key=key), books[key])
        except (BudgetExceeded, AllCandidatesFailed):
            return 0.0
        return 1.0

    with ThreadPoolExecutor(64) as threads:
        answered = sum(threads.map(work, range(1500)))
    billed = [book.billed for book in books.values()]
    assert answered > 20
    assert {call.purpose for book in books.values() for call in book.calls} == {"draft", "judge"}
    assert max(billed) <= 0.02
    assert sum(billed) <= 0.2
    rows = {(row["name"], row["key"]): row for row in one.budgets()}
    for key, book in books.items():
        assert book.billed <= rows["key/month", key]["spent"] + 1e-9
    assert sum(billed) <= rows["total", ""]["spent"] + 1e-9 <= 0.2 + 1e-9


async def test_many_requests_on_one_loop_do_not_exceed_a_budget(tmp_path: Path) -> None:
    one = fusion(Budget(0.05), store=tmp_path / "budgets.sqlite")
    transport = BillingTransport(3, fails=0.1, seconds=0.001)

    async def work() -> None:
        try:
            await arun(one.steps(ask(), BEST), transport)
        except (BudgetExceeded, AllCandidatesFailed):
            return

    await asyncio.gather(*(work() for _ in range(300)))
    assert 0.01 < transport.billed <= 0.05


def test_the_limit_of_output_reaches_every_call_that_has_none() -> None:
    one = fusion(Budget(1.0), moves=[Try(("small",)), Ask(("llm",), "small"), Accept("small", "")], judges=[LLMJudge()])
    transport = BillingTransport(1)
    by_run(one, transport)
    limits = {call.purpose: call.max_output_tokens for call in transport.calls}
    assert limits == {"draft": LIMIT, "judge": LLMJudge().max_output_tokens}


def test_a_limit_of_the_callers_own_is_what_is_reserved() -> None:
    one = fusion(Budget(most("small", limit=20)), names=("small",))
    with pytest.raises(BudgetExceeded):
        by_run(one, BillingTransport(1))

    class Short(BillingTransport):
        def call(self, call: Call) -> Reply:
            assert call.max_output_tokens is None  # the caller's request says it already
            return Reply("The answer is 391.", usage=Usage(10, 20))

    run(one.steps(ask(max_output_tokens=20), BEST), Short(1))


def test_a_call_that_costs_more_than_was_reserved_is_entered_and_warned_about() -> None:
    class Verbose(BillingTransport):
        def call(self, call: Call) -> Reply:
            return Reply("The answer is 391.", usage=Usage(10, 10 * LIMIT))

    one = fusion(Budget(1.0), names=("small",))
    result = by_run(one, Verbose(1))
    assert spent(one) == pytest.approx(PRICES["small"].cost(Usage(10, 10 * LIMIT)))
    assert "set max_output_tokens" in " ".join(result.decision.warnings)


# -- what unknown costs are charged -----------------------------------------------------------------------------


@DRIVERS
def test_an_answer_without_usage_is_charged_at_what_was_reserved(drive: Any) -> None:
    one = fusion(Budget(1.0), names=("small",))
    drive(one, BillingTransport(1, silent=1.0))
    assert spent(one) == pytest.approx(most("small"))


@DRIVERS
def test_a_call_that_timed_out_is_charged_and_its_retry_anew(drive: Any) -> None:
    one = fusion(Budget(1.0), names=("small",))
    transport = BillingTransport(1, fails=1.0)
    transport.retries = Retries(2, pause=lambda s: None, apause=_no_pause)  # type: ignore[attr-defined]
    with pytest.raises(AllCandidatesFailed):
        drive(one, transport)
    assert len(transport.calls) == 3
    assert spent(one) == pytest.approx(3 * most("small"))


async def _no_pause(seconds: float) -> None:
    pass


@DRIVERS
def test_a_refused_call_costs_nothing(drive: Any) -> None:
    class RateLimited(Exception):
        status_code = 429

    class Refusing(BillingTransport):
        def _bill(self, call: Call) -> Any:
            raise RateLimited

    one = fusion(Budget(1.0), names=("small",))
    with pytest.raises(AllCandidatesFailed):
        drive(one, Refusing(1))
    assert [(row["spent"], row["reserved"]) for row in one.budgets()] == [(0.0, 0.0)]


def test_a_stream_that_the_consumer_leaves_is_charged_at_what_was_reserved() -> None:
    one = fusion(Budget(1.0), moves=[Try(("big",), commit=True)])
    with closing(cast(Any, stream(one.steps(ask(), BEST), BillingTransport(1)))) as items:
        assert next(items) == "The "
        assert one.budgets()[0]["reserved"] == pytest.approx(most("big"))
    assert [(r["spent"], r["reserved"]) for r in one.budgets()] == [(pytest.approx(most("big")), 0.0)]


async def test_an_asynchronous_stream_that_the_consumer_leaves_is_charged_too() -> None:
    one = fusion(Budget(1.0), moves=[Try(("big",), commit=True)])
    async with aclosing(cast(Any, astream(one.steps(ask(), BEST), BillingTransport(1)))) as items:
        assert await anext(items) == "The "
    assert [(r["spent"], r["reserved"]) for r in one.budgets()] == [(pytest.approx(most("big")), 0.0)]


async def test_a_cancelled_call_is_charged_at_what_was_reserved() -> None:
    one = fusion(Budget(1.0), names=("small",))
    asked = asyncio.Event()

    class Slow(BillingTransport):
        async def acall(self, call: Call) -> Reply:
            asked.set()
            await asyncio.sleep(30.0)
            return self.call(call)

    going = asyncio.ensure_future(arun(one.steps(ask(), BEST), Slow(1)))
    await asked.wait()
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert [(r["spent"], r["reserved"]) for r in one.budgets()] == [(pytest.approx(most("small")), 0.0)]


async def test_a_cancelled_wait_for_the_ledger_reserves_nothing(tmp_path: Path) -> None:
    """The thread that asks the database cannot be stopped, so what it is granted goes back."""
    one = fusion(Budget(1.0), names=("small",), store=tmp_path / "budgets.sqlite")
    assert one.store is not None
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*_: object) -> None:
        import time

        loop.call_soon_threadsafe(asked.set)
        time.sleep(0.05)

    event.listen(one.store.engine, "begin", slow)
    going = asyncio.ensure_future(arun(one.steps(ask(), BEST), BillingTransport(1)))
    await asked.wait()
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    event.remove(one.store.engine, "begin", slow)
    await asyncio.sleep(0.3)
    ledger: Any = one._ledger
    assert sum(a.spent + a.reserved for a in ledger._accounts.values()) == 0


# -- at the limit -----------------------------------------------------------------------------------------------


@DRIVERS
def test_only_candidates_that_fit_are_planned_on(drive: Any) -> None:
    one = fusion(Budget(most("mid"), per="request"))
    transport = BillingTransport(1)
    result = drive(one, transport)
    assert {call.candidate for call in transport.calls} <= {"small", "mid"}
    assert result.decision.answered_by != "big"


def test_an_escalation_that_no_longer_fits_leaves_the_best_answer_so_far() -> None:
    moves: list[Move] = [Try(("small",)), Try(("big",))]
    one = fusion(Budget(most("big")), moves=moves)
    result = by_run(one, BillingTransport(1))
    assert result.decision.answered_by == "small"
    assert "budget" in " ".join(result.decision.warnings)


def test_a_judge_that_is_not_affordable_abstains() -> None:
    moves: list[Move] = [Try(("small",)), Ask(("llm",), "small"), Accept("small", "")]
    one = fusion(
        Budget(most("small"), per="request"), moves=moves, judges=[LLMJudge("big")], names=("small", "mid", "big")
    )
    result = by_run(one, BillingTransport(1))
    (verdict,) = [v for v in result.decision.verdicts if v.judge == "llm"]
    assert verdict.score is None
    assert "budget" in verdict.reason


@DRIVERS
def test_a_budget_that_raises_does_so_though_another_would_fit(drive: Any) -> None:
    one = fusion(Budget(most("mid"), at_limit="raise", name="strict"), moves=[Try(("big",))])
    with pytest.raises(BudgetExceeded, match="'strict'") as caught:
        drive(one, BillingTransport(1))
    error = caught.value
    assert (error.spent, error.reserved, error.resets_at) == (0.0, 0.0, None)
    assert error.needed == pytest.approx(most("big"))
    assert error.left == pytest.approx(most("mid"))


@pytest.mark.parametrize("at_limit", ["cheapest", "queue", "raise"])
def test_where_nothing_is_affordable_that_is_said(at_limit: Any) -> None:
    one = fusion(Budget(most("small") / 2, window="day", at_limit=at_limit))
    with pytest.raises(BudgetExceeded, match="begins anew at"):
        by_run(one, BillingTransport(1))


class Pausing:
    """A clock that only waiting moves."""

    def __init__(self, now: float) -> None:
        self.now, self.waited = now, 0.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now, self.waited = self.now + seconds, self.waited + seconds

    async def apause(self, seconds: float) -> None:
        self.pause(seconds)


def with_clock(one: Fusion, clock: Pausing, monkeypatch: pytest.MonkeyPatch) -> Fusion:
    from emafusion.budgets.purse import RequestPurse

    one._ledger.clock = clock
    monkeypatch.setattr(
        "emafusion.fusion.RequestPurse",
        lambda *given, **more: RequestPurse(*given, **more, pause=clock.pause, apause=clock.apause),
    )
    return one


@DRIVERS
def test_a_queued_call_waits_for_the_next_window(drive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Pausing(1_800_000_015.0)
    budget = Budget(most("small"), window="minute", at_limit="queue")
    one = with_clock(fusion(budget, names=("small",)), clock, monkeypatch)
    transport = BillingTransport(1, silent=1.0)
    drive(one, transport)
    assert clock.waited == 0.0
    drive(one, transport)
    assert clock.waited == pytest.approx(45.0, abs=0.1)
    assert len(transport.calls) == 2


@DRIVERS
def test_a_queued_call_does_not_wait_longer_than_it_may(drive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Pausing(1_800_000_015.0)
    budget = Budget(most("small"), window="minute", at_limit="queue", max_wait=30.0)
    one = with_clock(fusion(budget, names=("small",)), clock, monkeypatch)
    drive(one, BillingTransport(1, silent=1.0))
    with pytest.raises(BudgetExceeded):
        drive(one, BillingTransport(1))
    assert clock.waited == 0.0  # it would not have helped


def test_a_queued_call_waits_for_what_others_leave_of_their_reservations() -> None:
    """Reserved for the longest answer, two calls do not fit at once; with what they really cost they do."""
    one = fusion(Budget(1.5 * most("small"), window="month", at_limit="queue"), names=("small",))

    class Brief(BillingTransport):
        def call(self, call: Call) -> Reply:
            super().call(call)
            return Reply("391", usage=Usage(5, 1))

    transport = Brief(1, seconds=0.05)
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: by_run(one, transport), range(4)))
    assert len(results) == 4


# -- whose budget -----------------------------------------------------------------------------------------------


def test_each_key_and_each_conversation_has_its_own() -> None:
    one = fusion(Budget(most("small"), per="key"), Budget(most("small"), per="session"), names=("small",))
    transport = BillingTransport(1, silent=1.0)
    run(one.steps(ask(thread="t1"), BEST, key="anna"), transport)
    with pytest.raises(BudgetExceeded, match="'anna'"):
        run(one.steps(ask(thread="t2"), BEST, key="anna"), transport)
    with pytest.raises(BudgetExceeded, match="'t1'"):
        run(one.steps(ask("Another question of the same talk", thread="t1"), BEST, key="ben"), transport)
    run(one.steps(ask(thread="t2"), BEST, key="ben"), transport)
    assert {(r["name"], r["key"]) for r in one.budgets()} >= {("key", "anna"), ("key", "ben"), ("session", "t1")}


def test_a_status_says_when_the_window_ends() -> None:
    one = fusion(Budget(1.0, per="key", window="day", name="tenants"), names=("small",))
    run(one.steps(ask(), BEST, key="anna"), BillingTransport(1, silent=1.0))
    (row,) = one.budgets()
    assert (row["name"], row["key"], row["window"], row["limit"]) == ("tenants", "anna", "day", 1.0)
    assert row["spent"] == pytest.approx(most("small"))
    assert (row["resets_at"].hour, row["resets_at"].minute) == (0, 0)


def test_without_budgets_calls_are_as_they_were() -> None:
    one = Fusion(pool("small"), judges=())
    transport = BillingTransport(1)
    by_run(one, transport)
    assert (transport.calls[0].max_output_tokens, transport.calls[0].max_usd, one.budgets()) == (None, None, [])
