"""The ledgers' invariants, whatever is interleaved: never beyond the limit, never below nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from sqlalchemy import Engine, create_engine, event, text

from emafusion import Budget, BudgetExceeded, Budgets
from emafusion.budgets.leases import SharedLedger
from emafusion.budgets.ledger import Claim, Ledger, Reservation
from emafusion.store.tables import metadata

A_DAY = 86_400
TOTAL = Budget(1e-9, window="day", name="total")  # 1000 units
KEYED = Budget(4e-10, per="key", window="day", name="key")  # 400 units
BUDGETS = Budgets([TOTAL, KEYED], lease=0.1)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0 - 1_800_000_000.0 % A_DAY + 60.0

    def __call__(self) -> float:
        return self.now


def claims(clock: Clock, key: str) -> list[Claim]:
    return [Claim.on(TOTAL, "", clock()), Claim.on(KEYED, key, clock())]


def totals(owed: dict[tuple[Any, ...], int], which: Sequence[Claim], amount: int) -> None:
    for claim in which:
        owed[claim.account] = owed.get(claim.account, 0) + amount


def granted(ledger: Ledger, wanted: Sequence[Claim], amount: int) -> Reservation | None:
    try:
        return ledger.reserve(wanted, amount)
    except BudgetExceeded:
        return None


class OneProcess(RuleBasedStateMachine):
    """Reserve, settle, let the day pass; a book beside the ledger says what must be."""

    open = Bundle("open")

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.ledgers: list[Ledger] = [Ledger(self.clock)]
        self.spent: dict[tuple[Any, ...], int] = {}
        self.reserved: dict[tuple[Any, ...], int] = {}

    @rule(target=open, worker=st.integers(0, 2), key=st.sampled_from(["a", "b"]), amount=st.integers(0, 450))
    def reserve(self, worker: int, key: str, amount: int) -> Any:
        ledger = self.ledgers[worker % len(self.ledgers)]
        wanted = claims(self.clock, key)
        made = granted(ledger, wanted, amount)
        if made is None:
            assert len(self.ledgers) > 1 or any(self.owed(c.account) + amount > c.budget.limit for c in wanted)
            return None
        totals(self.reserved, wanted, amount)
        return ledger, made, wanted

    def owed(self, account: tuple[Any, ...]) -> int:
        return self.spent.get(account, 0) + self.reserved.get(account, 0)

    @rule(made=consumes(open), share=st.floats(0, 1))
    def settle(self, made: tuple[Ledger, Reservation, list[Claim]] | None, share: float) -> None:
        if made is None:
            return
        ledger, reservation, wanted = made
        cost = int(reservation.amount * share)
        ledger.settle(reservation, cost)
        ledger.settle(reservation, reservation.amount)  # the second time does nothing
        totals(self.reserved, wanted, -reservation.amount)
        totals(self.spent, wanted, cost)

    @rule()
    def the_day_passes(self) -> None:
        self.clock.now += A_DAY

    @invariant()
    def the_limit_is_kept(self) -> None:
        for account in {*self.spent, *self.reserved}:
            limit = TOTAL.limit if account[0] == "total" else KEYED.limit
            spent, reserved = self.spent.get(account, 0), self.reserved.get(account, 0)
            assert spent >= 0
            assert reserved >= 0
            assert spent + reserved <= limit

    @invariant()
    def the_ledger_agrees_with_the_book(self) -> None:
        if type(self.ledgers[0]) is not Ledger:
            return
        for key in ("a", "b"):
            for claim in claims(self.clock, key):
                known = self.spent.get(claim.account, 0), self.reserved.get(claim.account, 0)
                assert self.ledgers[0].seen(claim) == known


class ManyProcesses(OneProcess):
    """The same over a database, with workers that report, die, and come back after they were given up."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.engine = create_engine("sqlite://")
        with self.engine.begin() as connection:
            metadata().create_all(connection)
        self.ledgers = [SharedLedger(self.engine, BUDGETS, self.clock, renewed=1e6) for _ in range(3)]

    @rule(worker=st.integers(0, 2))
    def report(self, worker: int) -> None:
        ledger = self.ledgers[worker]
        assert isinstance(ledger, SharedLedger)
        ledger.report()

    @rule(seconds=st.sampled_from([1.0, 61.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(worker=st.integers(0, 2))
    def a_worker_dies(self, worker: int) -> None:
        """What it had spent and reserved stays owed: it is charged to nobody's relief."""
        self.ledgers[worker] = SharedLedger(self.engine, BUDGETS, self.clock, renewed=1e6)

    @invariant()
    def the_database_holds_all_that_is_owed(self) -> None:
        with self.engine.connect() as connection:
            rows = connection.execute(text("select budget, key, start, spent, reserved from budget_windows")).all()
        held = {(r[0], r[1], r[2]): (r[3], r[4]) for r in rows}
        for account, (spent, reserved) in held.items():
            assert spent >= 0
            assert reserved >= 0
            assert spent + reserved <= (TOTAL if account[0] == "total" else KEYED).limit
        for account in {*self.spent, *self.reserved}:
            owed = self.owed(account)
            assert owed <= sum(held.get(account, (0, 0))) or owed == 0

    def teardown(self) -> None:
        for ledger in getattr(self, "ledgers", ()):
            if isinstance(ledger, SharedLedger):
                ledger.close()
        if hasattr(self, "engine"):
            self.engine.dispose()


TestOneProcess = OneProcess.TestCase
TestOneProcess.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestManyProcesses = ManyProcesses.TestCase
TestManyProcesses.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    made = create_engine(f"sqlite:///{tmp_path / 'budgets.sqlite'}")
    with made.begin() as connection:
        metadata().create_all(connection)
    yield made
    made.dispose()


def test_leases_of_a_dead_process_are_charged_not_freed(engine: Engine) -> None:
    clock = Clock()
    dead, alive = (SharedLedger(engine, BUDGETS, clock, renewed=1e6) for _ in range(2))
    dead.reserve(claims(clock, "a"), 50)
    clock.now += 61.0
    alive.report()
    total = next(row for row in alive.standing(tuple(BUDGETS)) if row["name"] == "total")
    assert total["spent"] == pytest.approx(1e-10)  # the lease: a tenth
    assert total["reserved"] == 0.0


def test_a_process_that_comes_back_is_credited_what_it_did_not_spend(engine: Engine) -> None:
    clock = Clock()
    slow, other = (SharedLedger(engine, BUDGETS, clock, renewed=1e6) for _ in range(2))
    made = slow.reserve(claims(clock, "a"), 50)
    clock.now += 61.0
    other.report()
    slow.settle(made, 20)
    slow.close()
    total = next(row for row in other.standing(tuple(BUDGETS)) if row["name"] == "total")
    assert (total["spent"], total["reserved"]) == (pytest.approx(2e-11), 0.0)


def test_a_report_that_is_repeated_counts_once(engine: Engine) -> None:
    clock = Clock()
    ledger = SharedLedger(engine, BUDGETS, clock, renewed=1e6)
    ledger.settle(ledger.reserve(claims(clock, "a"), 50), 30)

    def lose(_: object) -> None:
        raise OSError("the connection was lost after the commit")

    event.listen(engine, "commit", lose)
    with pytest.raises(OSError, match="after the commit"):
        ledger.report()
    event.remove(engine, "commit", lose)
    ledger.report()
    total = next(row for row in ledger.standing(tuple(BUDGETS)) if row["name"] == "total")
    assert total["spent"] == pytest.approx(3e-11)


def outage(engine: Engine) -> Any:
    """Takes the database away, and returns what brings it back."""

    def refuse(*_: object) -> None:
        raise OSError("connection refused")

    event.listen(engine, "do_connect", refuse)
    event.listen(engine, "engine_connect", refuse)

    def end() -> None:
        event.remove(engine, "do_connect", refuse)
        event.remove(engine, "engine_connect", refuse)

    return end


def test_without_the_database_calls_go_on_with_what_is_leased(engine: Engine) -> None:
    clock = Clock()
    ledger = SharedLedger(engine, BUDGETS, clock, renewed=1e6)
    ledger.settle(ledger.reserve(claims(clock, "a"), 10), 10)  # leases 100 and 40
    end = outage(engine)
    for _ in range(3):
        ledger.settle(ledger.reserve(claims(clock, "a"), 10), 10)
    with pytest.raises(BudgetExceeded, match="cannot be reached"):
        ledger.reserve(claims(clock, "a"), 10)
    end()
    ledger.reserve(claims(clock, "a"), 10)


def test_a_lease_that_is_drawn_on_is_not_given_back_between_reports(engine: Engine) -> None:
    clock = Clock()
    ledger = SharedLedger(engine, BUDGETS, clock, renewed=1e6)
    ledger.settle(ledger.reserve(claims(clock, "a"), 10), 10)
    for _ in range(3):
        made = ledger.take(claims(clock, "a"), 10)  # asks nobody
        assert made is not None
        ledger.settle(made, 10)
        ledger.report()


def test_reports_that_fail_give_nothing_back(engine: Engine) -> None:
    clock = Clock()
    ledger = SharedLedger(engine, BUDGETS, clock, renewed=1e6)
    ledger.settle(ledger.reserve(claims(clock, "a"), 10), 10)
    end = outage(engine)
    for _ in range(3):  # a minute of them: idle or not, the lease has to last until the database is back
        clock.now += 20.0
        with pytest.raises(OSError, match="refused"):
            ledger.report()
    for _ in range(3):
        ledger.settle(ledger.reserve(claims(clock, "a"), 10), 10)
    end()
    ledger.report()
    spent = {row["name"]: row["spent"] for row in ledger.standing(tuple(BUDGETS))}
    assert spent == {"total": pytest.approx(4e-11), "key": pytest.approx(4e-11)}


def test_what_was_allowed_without_the_database_is_entered_when_it_is_back(engine: Engine) -> None:
    clock = Clock()
    allowing = Budgets([TOTAL, KEYED], lease=0.1, unreachable="allow")
    ledger = SharedLedger(engine, allowing, clock, renewed=1e6)
    end = outage(engine)
    for _ in range(50):
        ledger.settle(ledger.reserve(claims(clock, "a"), 10), 10)
    end()
    ledger.report()
    spent = {row["name"]: row["spent"] for row in ledger.standing(tuple(allowing))}
    assert spent == {"total": pytest.approx(5e-10), "key": pytest.approx(5e-10)}
    with pytest.raises(BudgetExceeded):
        ledger.reserve(claims(clock, "a"), 10)


def test_a_wait_for_the_database_is_not_on_the_fast_path(engine: Engine) -> None:
    """What the lease pays for asks nobody: an event loop may take it."""
    clock = Clock()
    ledger = SharedLedger(engine, BUDGETS, clock, renewed=1e6)
    assert ledger.take(claims(clock, "a"), 10) is None
    ledger.settle(ledger.reserve(claims(clock, "a"), 10), 10)
    end = outage(engine)
    assert ledger.take(claims(clock, "a"), 10) is not None
    end()
