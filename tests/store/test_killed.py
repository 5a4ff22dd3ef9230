"""A process that is killed in the middle of its writes loses what it had queued, and the next one says how much."""

from __future__ import annotations

import logging
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from emafusion.store import Store
from emafusion.store.database import now
from emafusion.store.records import Made, Record, decode, encode
from emafusion.store.spill import Spill
from emafusion.store.tally import Tally
from tests.store.decisions import answered


def counted(url: str, table: str) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
    finally:
        engine.dispose()


def test_a_killed_process_corrupts_nothing_and_its_loss_is_counted(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = "" if url.startswith("sqlite") else str(tmp_path / "spill")
    arguments = [sys.executable, "-m", "tests.store.workers", "write_until_killed", url, folder]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"queued\n"
        deadline = time.monotonic() + 60
        while counted(url, "decisions") < 1000 and time.monotonic() < deadline:
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    with caplog.at_level(logging.WARNING, "emafusion"), Store(url, spill=folder or None) as store:
        (lost,) = re.findall(r"(\d+) record\(s\) of a process that ended abruptly were lost", caplog.text)
        written = counted(url, "decisions")
        assert 1000 <= written < 10_000
        assert written + int(lost) == 10_000
        # Whole batches, in order, with all that belongs to them.
        assert {d["id"] for d in store.decisions(limit=None)} == {f"d{i}" for i in range(written)}
        assert counted(url, "attempts") == 3 * written
        assert counted(url, "verdicts") == 2 * written
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(tmp_path / "emafusion.sqlite")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "emafusion"):
        Store(url, spill=folder or None).close()
    assert not caplog.text  # it is said once
    assert counted(url, "writers") == 0
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".tally", ".spill", ".new")]


def test_what_a_killed_process_had_spilled_is_not_counted_as_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = Tally.begin(tmp_path, "x.sqlite")
    left.taken, left.settled = 10, 5  # it had no time to count what it had just spilled
    spill: Spill[Record] = Spill(left.spill_path, encode, decode, 1 << 20)
    assert spill.append([Made(*answered(f"d{i}"), now(), True) for i in (6, 7, 8)], first=6)
    left.close()  # and so unlocked, as by its death
    with caplog.at_level(logging.WARNING, "emafusion"), Store(tmp_path / "x.sqlite") as store:
        assert {d["id"] for d in store.decisions()} == {"d6", "d7", "d8"}
        assert "emafusion: 2 record(s) of a process that ended abruptly were lost" in caplog.text
    assert not [p for p in tmp_path.iterdir() if p.suffix in (".tally", ".spill")]


def test_a_process_that_lives_is_not_taken_for_dead(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(tmp_path / "x.sqlite") as store, caplog.at_level(logging.WARNING, "emafusion"):
        tally = store._tallies[0]
        tally.taken = 7  # as if seven records were waiting
        Store(tmp_path / "x.sqlite").close()
        assert tally.path.exists()
        tally.taken = 0
    assert not caplog.text
    assert not list(tmp_path.glob("*.tally"))


def test_stores_whose_names_begin_alike_leave_each_others_files_alone(tmp_path: Path) -> None:
    left = Tally.begin(tmp_path, "x.sqlite-y")
    left.taken = 3
    left.close()
    assert not list(Tally.left_behind(tmp_path, "x.sqlite"))
    (found,) = Tally.left_behind(tmp_path, "x.sqlite-y")
    assert (found.taken, found.settled, found.token) == (3, 0, left.token)
    found.remove()
    assert not list(tmp_path.iterdir())
