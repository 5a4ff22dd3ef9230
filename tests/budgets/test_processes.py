"""Four processes over one PostgreSQL: the book that each keeps of what it was really billed decides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from emafusion import Fusion
from emafusion.budgets.leases import SharedLedger
from tests.budgets.billing import pool
from tests.budgets.workers import BUDGETS, KEYS

ROOT = Path(__file__).parents[2]
DAY, KEYED = (budget.usd for budget in BUDGETS)


def start(url: str, number: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.budgets.workers", url, str(number), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def held(postgres_url: str) -> Iterator[Any]:
    """What the database has of each window: USD spent and reserved."""
    engine = create_engine(postgres_url)

    def read() -> dict[tuple[str, str], tuple[float, float]]:
        with engine.connect() as connection:
            rows = connection.execute(text("select * from budget_windows")).all()
        return {(r.budget, r.key): (r.spent / 1e12, r.reserved / 1e12) for r in rows}

    yield read
    engine.dispose()


def test_four_processes_do_not_exceed_a_budget(postgres_url: str, held: Any) -> None:
    process = start(postgres_url, 4, 0.0)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    done: list[dict[str, Any]] = json.loads(out.splitlines()[-1])
    by_key = {key: sum(one["billed"][key] for one in done) for key in KEYS}
    assert all(one["answered"] for one in done)
    assert sum(by_key.values()) <= DAY
    assert max(by_key.values()) <= KEYED
    windows = held()
    for key, billed in by_key.items():
        assert billed <= windows["key/month", key][0] + 1e-9
    spent, reserved = windows["total/day", ""]
    assert sum(by_key.values()) <= spent + 1e-9 <= DAY + 1e-9
    assert reserved == 0  # all were closed, so nothing is leased
    assert spent > 0.9 * DAY


def test_a_process_that_is_killed_leaves_its_calls_charged(postgres_url: str) -> None:
    process = start(postgres_url, 1, 60.0)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    one = Fusion(pool(), judges=(), budgets=BUDGETS, store=postgres_url)

    def total() -> dict[str, Any]:
        return next((row for row in one.budgets() if row["name"] == "total/day"), {"reserved": 0.0})

    deadline = time.monotonic() + 60.0
    while not total()["reserved"] and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(worker, signal.SIGKILL)
    process.kill()
    process.communicate()
    before = total()
    ledger = one._ledger
    assert isinstance(ledger, SharedLedger)
    real, later = ledger.clock, ledger.expires + 1.0
    ledger.clock = lambda: real() + later
    total()
    after = total()
    assert before["reserved"] > 0
    assert after["reserved"] == 0
    assert after["spent"] == pytest.approx(before["spent"] + before["reserved"])
