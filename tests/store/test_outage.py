"""The database may go away for a while: no request waits for it, and nothing is lost."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from emafusion.learning.online.hints import Hint
from emafusion.learning.online.observation import Observation
from emafusion.store import Store
from emafusion.store.records import Learned, Made, Noticed, Rated, Record, decode, encode, rows
from emafusion.store.spill import Spill
from emafusion.store.writer import Writer
from tests.store.decisions import answered
from tests.store.observed import Counted, observed
from tests.store.test_retention import with_embedding


class Gone(OSError):
    """The database is away."""


class Database:
    """A list of numbers that can be away."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.is_away = False

    def write(self, batch: Sequence[int], last: int) -> None:
        if self.is_away:
            raise Gone("nobody is there")
        self.numbers.extend(batch)


def spill_of(path: Path, limit: int = 1 << 20) -> Spill[int]:
    return Spill(path, lambda number: {"number": number}, lambda line: int(line["number"]), limit)


def is_gone(error: Exception) -> bool:
    return isinstance(error, Gone)


def test_a_server_that_is_stopped_and_started_costs_no_request_and_loses_nothing(
    postgres: Any, postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Observation, "contribution", Counted.contribution)  # observations come back from disk as such
    took: list[float] = []

    def record(store: Store, number: int) -> None:
        started = time.perf_counter()
        store.record(*answered(f"d{number}"))
        took.append(time.perf_counter() - started)

    with Store(postgres_url, spill=tmp_path, capacity=400) as store, caplog.at_level(logging.WARNING, "emafusion"):
        for number in range(100):
            record(store, number)
        assert store.flush()
        postgres.stop()
        for number in range(100, 1600):  # four times what may wait in memory
            record(store, number)
            store.learn([observed(number, judge=0.5)])
            assert store.feedback(f"d{number}", 1.0)
            time.sleep(0.001)  # a thousand requests a second
        assert not store.flush(timeout=0.1)
        (spilled,) = tmp_path.glob("*.spill")
        assert spilled.stat().st_size > 0
        assert spilled.stat().st_mode & 0o077 == 0
        postgres.start()
        for number in range(1600, 1700):
            record(store, number)
        assert store.flush()
        assert store.dropped == 0
        found = store.decisions(limit=None)
        assert {d["id"] for d in found} == {f"d{number}" for number in range(1700)}
        assert {d["id"] for d in found if d["feedback"] == 1.0} == {f"d{number}" for number in range(100, 1600)}
        assert sum(values[-1] for values in store.statistics().values()) == 1500.0
        assert sorted(took)[int(0.99 * len(took))] < 0.005
    assert caplog.text.count("the store cannot be written, trying again") == 1
    assert not list(tmp_path.iterdir())


def test_what_one_process_spilled_the_next_one_writes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Observation, "contribution", Counted.contribution)
    path = tmp_path / "x.sqlite"
    store = Store(path)
    blocker = sqlite3.connect(path, isolation_level=None)
    store._engine.dispose()
    with store._engine.connect() as connection:  # wait for the lock a moment, not ten seconds
        connection.exec_driver_sql("PRAGMA busy_timeout = 20")
    blocker.execute("begin exclusive")
    with caplog.at_level(logging.WARNING, "emafusion"):
        for i in range(600):
            store.record(*with_embedding(*answered(f"d{i}")))
            store.feedback(f"d{i}", 0.5, kind="thumbs")
        store.learn([observed(1, judge=0.5)])
        store._writer.close(timeout=0.3)
        assert "records wait in" in caplog.text
        assert store.dropped == 0
        store.close()
    blocker.execute("rollback")
    blocker.close()
    assert len(list(tmp_path.glob("x.sqlite-*.spill"))) == 1
    caplog.clear()
    with Store(path) as store, caplog.at_level(logging.WARNING, "emafusion"):
        found = store.decisions(limit=None)
        assert len(found) == 600
        assert all(d["feedback"] == 0.5 and d["embedding"] is not None and len(d["attempts"]) == 3 for d in found)
        assert list(store.statistics()) == [("large", 0)]
    assert not caplog.text
    assert not [p for p in tmp_path.iterdir() if p.suffix in (".tally", ".spill")]


@pytest.mark.parametrize("text", [True, False])
def test_a_record_comes_back_from_disk_as_it_went(tmp_path: Path, text: bool) -> None:
    query, result = with_embedding(*answered("d1", question="half a \ud83d surrogate, and — dashes"))
    from emafusion.store.database import now

    made = Made(query, result, now(), text)
    said = Rated("key", "d1", "truth", None, None, None, "forty-two", now())
    learned = Learned(observed(1, judge=0.1 + 0.2), now(), (Hint("k", 0.1 + 0.2, 0.3), Hint("l", None)))
    spill: Spill[Record] = Spill(tmp_path / "s", encode, decode, 1 << 20)
    noticed = Noticed("a1", now(), "quality", "small", 0.8, 0.1 + 0.2, 100.0, 140.0, 17)
    assert spill.append([made, said, learned, noticed], 1)
    first, second, third, fourth = spill.oldest(10)
    assert first == rows(made)
    assert (second, fourth) == (said, noticed)
    assert isinstance(third, Learned)
    assert (third.at, third.hints) == (learned.at, learned.hints)
    assert encode(third) == encode(learned)
    assert third.observation.features.tobytes() == learned.observation.features.tobytes()


def test_what_waits_goes_to_disk_and_comes_back_in_order(tmp_path: Path) -> None:
    database = Database()
    database.is_away = True
    writer = Writer(database.write, is_gone, capacity=20, spills=[spill_of(tmp_path / "s")])
    deadline = time.monotonic() + 30
    for number in range(2000):
        while writer._queue.qsize() >= 15 and time.monotonic() < deadline:  # as fast as the disk takes them
            time.sleep(0.0005)
        assert writer.put(number)
        if number == 1500:
            database.is_away = False
    assert writer.flush()
    assert database.numbers == list(range(2000))
    assert writer.dropped == 0
    writer.close()
    assert not list(tmp_path.iterdir())


def test_beyond_its_bytes_the_spill_takes_no_more_and_the_loss_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database()
    database.is_away = True
    writer = Writer(database.write, is_gone, capacity=20, spills=[spill_of(tmp_path / "s", limit=1000)])
    with caplog.at_level(logging.WARNING, "emafusion"):
        kept = []
        for number in range(300):
            if writer.put(number):
                kept.append(number)
            time.sleep(0.001)
    assert 0 < writer.dropped == 300 - len(kept)
    assert "records are waiting already" in caplog.text
    assert (tmp_path / "s").stat().st_size <= 1000
    database.is_away = False
    assert writer.flush()
    assert database.numbers == kept
    writer.close()


def test_a_line_that_was_torn_or_spoilt_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spill = spill_of(tmp_path / "s")
    assert spill.append([1, 2, 3], first=11)
    with (tmp_path / "s").open("ab") as file:
        file.write(b'not JSON\n[15, {"number": 5}]\n[16, {"num')
    again = spill_of(tmp_path / "s")
    with caplog.at_level(logging.WARNING, "emafusion"):
        assert again.last_number() == 15
        assert again.oldest(2) == [1, 2]
        again.forget(1)
        assert again.oldest(10) == [2, 3, 5]
        assert caplog.text.count("is left out") == 1  # what was being written when its process ended is no surprise
        again.forget(3)
    assert not again
    assert not (tmp_path / "s").exists()


def test_a_disk_that_is_full_leaves_the_records_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    database = Database()
    database.is_away = True
    writer = Writer(database.write, is_gone, capacity=20, spills=[spill_of(tmp_path / "s")])
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "emafusion"):
        patch.setattr(os, "fsync", full)
        assert writer.put(0)
        while not writer.away:
            time.sleep(0.001)
        for number in range(1, 15):
            assert writer.put(number)
        deadline = time.monotonic() + 10
        while "cannot spill to" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.001)
        assert (tmp_path / "s").stat().st_size == 0  # half a line would be in the way of the next
        assert "cannot spill to" in caplog.text
        database.is_away = False
        assert writer.flush()
    assert database.numbers == list(range(15))
    writer.close()


def test_a_record_that_is_refused_when_it_comes_from_disk_goes_alone(tmp_path: Path) -> None:
    written: list[int] = []

    def write(batch: Sequence[int], last: int) -> None:
        if 2 in batch:
            raise ValueError("two is refused")
        written.extend(batch)

    left = spill_of(tmp_path / "left")
    assert left.append(list(range(5)), first=1)
    writer = Writer(write, is_gone, spills=[spill_of(tmp_path / "own"), left])
    assert writer.flush()
    assert written == [0, 1, 3, 4]
    assert writer.dropped == 1
    writer.close()
    assert not list(tmp_path.iterdir())
