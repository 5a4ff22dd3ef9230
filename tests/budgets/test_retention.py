"""Windows that are over are forgotten with the store's retention; open ones and those for ever never are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from emafusion import Budget, Budgets
from emafusion.budgets.leases import SharedLedger
from emafusion.budgets.ledger import Claim
from emafusion.store import Store
from emafusion.store.tables import table

DAY = 86_400.0
MINUTES = Budget(1.0, window="minute", name="minute")
MONTH = Budget(1.0, per="key", window="month", name="month")
SESSION = Budget(1.0, per="session", name="session")
TOTAL = Budget(1.0, name="total")
KEYED = Budget(1.0, per="key", name="for ever")
BUDGETS = Budgets([MINUTES, MONTH, SESSION, TOTAL, KEYED])


class Clock:
    """Of ledgers; the store has the machine's, which is fifty days later."""

    now = time.time() - 50 * DAY

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    path = str(tmp_path / "x.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with Store(path, retention_days=7) as opened:
        yield opened


def spend(store: Store, clock: Clock, *budgets: Budget, key: str = "k") -> None:
    """In a process that begins and ends."""
    ledger = SharedLedger(store.engine, BUDGETS, clock, renewed=1e6)
    claims = [Claim.on(b, "" if b.per == "total" else key, clock()) for b in budgets]
    ledger.settle(ledger.reserve(claims, 1000), 900)
    ledger.close()


def windows(store: Store) -> set[tuple[str, str]]:
    held = table("budget_windows")
    with store.engine.connect() as connection:
        return {(row.budget, row.key) for row in connection.execute(select(held.c.budget, held.c.key))}


def test_past_windows_and_conversations_that_ended_go_and_the_rest_stays(store: Store) -> None:
    clock = Clock()
    spend(store, clock, *BUDGETS)
    clock.now += 49 * DAY  # yesterday
    spend(store, clock, MINUTES, SESSION, key="new")
    assert {("session", "k"), ("session", "new"), ("month", "k")} <= windows(store)
    store.prune()
    assert windows(store) == {("minute", ""), ("session", "new"), ("total", ""), ("for ever", "k")}
    held = table("budget_windows")
    with store.engine.connect() as connection:
        spent = {row.budget: row.spent for row in connection.execute(select(held.c.budget, held.c.spent))}
    assert spent == {"minute": 900, "session": 900, "total": 900, "for ever": 900}


def test_a_conversation_that_goes_on_keeps_what_it_spent(store: Store) -> None:
    clock = Clock()
    for _ in range(10):
        spend(store, clock, SESSION)
        clock.now += 5 * DAY
    store.prune()
    assert windows(store) == {("session", "k")}
    (standing,) = SharedLedger(store.engine, BUDGETS, clock, renewed=1e6).standing([SESSION])
    assert standing["spent"] == pytest.approx(10 * 900e-12)


def test_a_window_of_which_a_lease_is_open_stays(store: Store) -> None:
    clock = Clock()
    dead = SharedLedger(store.engine, BUDGETS, clock, renewed=1e6)
    dead.reserve([Claim.on(MINUTES, "", clock())], 1000)  # and is never heard of again
    store.prune()
    assert windows(store) == {("minute", "")}
    clock.now += 45 * DAY
    SharedLedger(store.engine, BUDGETS, clock, renewed=1e6).report()  # charges it
    store.prune()
    assert windows(store) == set()


def test_windows_of_an_older_version_go_when_the_longest_window_would_be_over(store: Store) -> None:
    today = int(time.time())
    rows = [{"key": "", "spent": 1, "reserved": 0, "budget": str(days), "start": days} for days in (0, 20, 37, 39, 60)]
    for row in rows[1:]:
        row["start"] = today - int(str(row["budget"])) * int(DAY)
    with store.engine.begin() as connection:
        connection.execute(insert(table("budget_windows")), rows)
    store.prune()
    assert {budget for budget, _ in windows(store)} == {"0", "20", "37"}


def test_without_a_retention_nothing_is_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    with Store(tmp_path / "x.sqlite") as store:
        spend(store, clock, *BUDGETS)
    with Store(tmp_path / "x.sqlite") as store:
        assert len(windows(store)) == len(tuple(BUDGETS))
