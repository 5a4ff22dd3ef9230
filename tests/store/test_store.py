"""The store keeps what happened, beside the requests and never in their way."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from emafusion import Candidate, Price
from emafusion.errors import ConfigError
from emafusion.fusion import Fusion
from emafusion.log import read_log
from emafusion.store import Store
from emafusion.store.migrations.versions import VERSION
from emafusion.store.writer import Writer
from tests.store.decisions import answered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "emafusion.sqlite"


def query_all(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_a_decision_comes_back_with_its_attempts_and_verdicts(path: Path) -> None:
    with Store(path) as store:
        store.record(*answered("d1"))
        (decision,) = store.decisions()
    assert decision["text"] == "What is 6 times 7?"
    assert decision["answered_by"] == "large"
    assert decision["objective"] == {"quality_floor": 0.99}
    assert decision["forecast"]["small"]["p_good"] == 0.4
    assert [a["candidate"] for a in decision["attempts"]] == ["small", "large", "other"]
    assert decision["attempts"][1]["output_tokens"] == 4
    assert [(v["judge"], v["score"]) for v in decision["verdicts"]] == [("rules", 0.8), ("llm", None)]
    assert decision["feedback"] is None


def test_the_newest_decisions_come_first_and_no_more_than_asked_for(path: Path) -> None:
    with Store(path) as store:
        for i in range(5):
            store.record(*answered(f"d{i}"))
            time.sleep(0.002)
        assert [d["id"] for d in store.decisions(limit=2)] == ["d4", "d3"]


def test_eight_threads_lose_nothing(path: Path) -> None:
    with Store(path) as store:

        def work(thread: int) -> None:
            for i in range(200):
                store.record(*answered(f"{thread}-{i}"))
                if i % 10 == 0:
                    assert store.feedback(f"{thread}-{i}", 1.0)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.flush()
        assert store.dropped == 0
        assert not store._pending
    assert query_all(path, "select count(*) from decisions") == [(1600,)]
    assert query_all(path, "select count(*) from attempts") == [(4800,)]
    assert query_all(path, "select count(*) from feedback") == [(160,)]


def test_two_stores_on_one_file_write_side_by_side(path: Path) -> None:
    with Store(path) as one, Store(path) as two:
        for i in range(50):
            one.record(*answered(f"one-{i}"))
            two.record(*answered(f"two-{i}"))
        assert one.flush()
        assert two.flush()
        assert len(one.decisions()) == 100
        assert one.feedback("two-3", 0.5)


def test_feedback_is_idempotent_and_the_last_word_counts(path: Path) -> None:
    with Store(path) as store:
        store.record(*answered("d1"))
        assert store.feedback("d1", 0.0)  # very likely still queued
        for score in (0.25, 1.0, 1.0):
            assert store.feedback("d1", score)
        assert store.decisions()[0]["feedback"] == 1.0
    assert query_all(path, "select decision_id, score from feedback") == [("d1", 1.0)]


def test_feedback_on_an_unknown_decision_says_so(path: Path) -> None:
    with Store(path) as store:
        assert not store.feedback("never heard of", 1.0)
        assert store.flush()
    assert query_all(path, "select count(*) from feedback") == [(0,)]


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_feedback_out_of_range_is_an_error(path: Path, score: float) -> None:
    with Store(path) as store, pytest.raises(ConfigError, match=r"number in \[0, 1\]"):
        store.feedback("d1", score)


def test_a_later_process_can_give_feedback(path: Path) -> None:
    with Store(path) as store:
        store.record(*answered("d1"))
    with Store(path) as store:
        assert store.feedback("d1", 0.5)
        assert store.decisions()[0]["feedback"] == 0.5


def test_the_queue_is_flushed_at_exit(path: Path) -> None:
    program = (
        "import sys; from emafusion.store import Store; from tests.store.decisions import answered\n"
        "store = Store(sys.argv[1])\n"
        "for i in range(300): store.record(*answered(f'd{i}'))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=True, timeout=60)
    assert query_all(path, "select count(*) from decisions") == [(300,)]


def test_a_forked_process_writes_for_itself_and_is_flushed_at_its_end(path: Path) -> None:
    program = (
        "import multiprocessing, sys; from emafusion.store import Store; from tests.store.decisions import answered\n"
        "store = Store(sys.argv[1])\n"
        "def work(name):\n"
        "    for i in range(50): store.record(*answered(f'{name}-{i}'))\n"
        "work('parent')\n"
        "fork = multiprocessing.get_context('fork')\n"
        "children = [fork.Process(target=work, args=(f'child {n}',)) for n in range(2)]\n"
        "for child in children: child.start()\n"
        "for child in children: child.join()\n"
        "assert [child.exitcode for child in children] == [0, 0]\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "lost" not in done.stderr
    assert query_all(path, "select count(*) from decisions") == [(150,)]
    assert not [p for p in path.parent.iterdir() if p.suffix in (".tally", ".spill")]


def test_characters_that_no_database_takes_are_replaced(url: str) -> None:
    with Store(url) as store:
        store.record(*answered("d1", question="half a \ud83d pair and a \0", calls=True))
        assert store.feedback("d1", kind="truth", text="\udc00\0")
        (decision,) = store.decisions()
        assert store.dropped == 0
    assert decision["text"] == "half a ? pair and a \ufffd"
    assert decision["feedbacks"][0]["text"] == "?\ufffd"


def test_a_database_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"install the driver|only SQLite and PostgreSQL"):
        Store("mysql://user:swordfish@host/base")


# -- export ------------------------------------------------------------------------------------------------------


def test_an_export_reads_back_as_an_outcome_log(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        for i in range(3):
            store.record(*answered(f"d{i}", question=f"What is {i} times 7, please?"))
        store.feedback("d1", 1.0)
        assert store.export(tmp_path / "log.jsonl.gz") == 3
    entries = {e.id: e for e in read_log(tmp_path / "log.jsonl.gz")}
    assert list(entries) == ["d0", "d1", "d2"]
    one = entries["d1"]
    assert one.prompt == "What is 1 times 7, please?"
    assert one.outcomes["large"].response == "It is 42."
    assert one.outcomes["large"].in_tok == 11
    assert one.outcomes["large"].cost_usd == pytest.approx(1e-5)
    # The score goes to the answer and to the one that agreed with it; of the third nothing is known.
    assert {name: o.score for name, o in one.outcomes.items()} == {"small": 1.0, "large": 1.0, "other": None}
    assert all(o.score is None for o in entries["d0"].outcomes.values())
    # A judge that abstained is on record; what rules find is found again in the response.
    assert {name: o.verdicts for name, o in one.outcomes.items()} == {
        "small": None,
        "large": {"llm": None},
        "other": None,
    }


def test_without_a_readable_answer_the_score_is_the_answering_candidates_alone(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        store.record(*answered("d1", clusters=(-1, -1, -1)))
        store.feedback("d1", 0.0)
        store.export(tmp_path / "log.jsonl")
    (entry,) = read_log(tmp_path / "log.jsonl")
    assert {name: o.score for name, o in entry.outcomes.items()} == {"small": None, "large": 0.0, "other": None}


def test_a_failed_attempt_is_no_outcome(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        store.record(*answered("d1", clusters=(-9, 0, 1)))
        store.export(tmp_path / "log.jsonl")
    (entry,) = read_log(tmp_path / "log.jsonl")
    assert set(entry.outcomes) == {"large", "other"}


def test_tool_calls_are_exported_as_the_response(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        store.record(*answered("d1", calls=True))
        store.export(tmp_path / "log.jsonl")
    (entry,) = read_log(tmp_path / "log.jsonl")
    assert '{"name": "multiply", "arguments": {"a": 6, "b": 7}}' in (entry.outcomes["small"].response or "")


def test_no_text_is_kept_when_none_is_wanted(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret = "the password is swordfish"
    with Store(path, store_text=False) as store:
        store.record(*answered("d1", question=secret, clusters=(-9, 0, 1), calls=True))
        with caplog.at_level(logging.WARNING, "emafusion"):
            store.export(tmp_path / "log.jsonl")
    assert "1 of 1 exported decisions were kept without text" in caplog.text
    (entry,) = read_log(tmp_path / "log.jsonl")
    assert entry.prompt == ""
    assert (entry.model_extra or {})["text_stored"] is False
    assert entry.outcomes["large"].response is None
    assert entry.outcomes["large"].cost_usd == pytest.approx(1e-5)
    for file in path.parent.iterdir():
        kept = file.read_bytes()
        assert b"swordfish" not in kept
        assert b"It is 42" not in kept
    assert query_all(path, "select length(text_hash) from decisions") == [(64,)]


# -- trouble -----------------------------------------------------------------------------------------------------


def test_a_path_in_a_folder_that_is_not_there_is_an_error_at_construction(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent/x.sqlite cannot be opened.*folder must exist and be writable"):
        Store(tmp_path / "absent" / "x.sqlite")


def test_a_file_that_is_no_database_is_an_error_at_construction(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to look at " * 30)
    with pytest.raises(ConfigError, match="cannot be opened"):
        Store(file)


def test_a_malformed_url_is_an_error_that_shows_no_password() -> None:
    with pytest.raises(ConfigError, match="no database URL") as caught:
        Store("postgresql//:user:swordfish@://")
    assert "swordfish" not in str(caught.value)


def test_a_url_without_its_driver_is_an_error_that_shows_no_password() -> None:
    with pytest.raises(ConfigError, match="install the driver") as caught:
        Store("nosuchdatabase://user:swordfish@host/base")
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize("url", [":memory:", "sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="keeps nothing"):
        Store(url)


def test_a_store_of_a_newer_version_is_refused(path: Path) -> None:
    Store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("insert into schema_version values (99, '2030-01-01')")
        connection.commit()
    with pytest.raises(ConfigError, match=r"schema version 99.*only knows"):
        Store(path)


def test_opening_twice_migrates_once(path: Path) -> None:
    Store(path).close()
    Store(path).close()
    assert query_all(path, "select version from schema_version") == [(number,) for number in range(1, VERSION + 1)]


def test_a_database_that_fails_costs_no_request_and_is_written_when_it_is_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(path) as store:
        blocker = sqlite3.connect(path, isolation_level=None)
        store._engine.dispose()
        with store._engine.connect() as connection:  # wait for the lock a tenth of a second, not ten
            connection.exec_driver_sql("PRAGMA busy_timeout = 100")
        blocker.execute("begin exclusive")
        with caplog.at_level(logging.WARNING, "emafusion"):
            started = time.perf_counter()
            for i in range(100):
                store.record(*answered(f"d{i}"))
            assert time.perf_counter() - started < 1.0
            assert not store.flush(timeout=0.5)
        assert "the store cannot be written, trying again" in caplog.text
        blocker.execute("rollback")
        blocker.close()
        assert store.flush()
        assert store.dropped == 0
        assert len(store.decisions()) == 100


def test_a_request_is_answered_though_its_decision_cannot_be_stored(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fusion = Fusion([Candidate(object(), name="only", price=Price(input=1, output=1))], store=path)
    assert fusion.store is not None

    def broken(*_: object) -> bool:
        raise RuntimeError("no memory left")

    monkeypatch.setattr(fusion.store._writer, "put", broken)
    query, result = answered("d1")
    fusion.finish(query, result)
    assert fusion.decision("d1") == result.decision
    assert "could not be recorded: RuntimeError: no memory left" in caplog.text
    monkeypatch.undo()
    fusion.store.close()


def test_a_full_queue_drops_with_a_counted_warning(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Event()
    written: list[int] = []

    def write(batch: Sequence[int], last: int) -> None:
        gate.wait(10)
        written.extend(batch)

    writer = Writer(write, is_outage=lambda error: False, capacity=3)
    assert writer.put(0)
    while writer._queue.qsize():  # until the thread has taken it, and waits at the gate
        time.sleep(0.001)
    with caplog.at_level(logging.WARNING, "emafusion"):
        assert [writer.put(i) for i in range(1, 9)] == [True] * 3 + [False] * 5
    assert writer.dropped == 5
    assert caplog.text.count("dropped") == 3  # at 1, 2 and 4, not five times
    assert "3 records are waiting already" in caplog.text
    gate.set()
    writer.close()
    assert written == [0, 1, 2, 3]


def test_a_record_that_is_refused_goes_alone(caplog: pytest.LogCaptureFixture) -> None:
    written: list[int] = []
    start = threading.Event()

    def write(batch: Sequence[int], last: int) -> None:
        start.wait(10)
        if 2 in batch:
            raise ValueError("two is refused")
        written.extend(batch)

    writer = Writer(write, is_outage=lambda error: False)
    with caplog.at_level(logging.WARNING, "emafusion"):
        for i in range(5):
            writer.put(i)
        start.set()
        assert writer.flush()
    assert written == [0, 1, 3, 4]
    assert writer.dropped == 1
    assert "the database refuses it: ValueError: two is refused" in caplog.text
    writer.close()


def test_closing_while_the_database_is_away_gives_up_and_says_how_many(caplog: pytest.LogCaptureFixture) -> None:
    def write(batch: Sequence[int], last: int) -> None:
        raise OSError("gone")

    writer = Writer(write, is_outage=lambda error: isinstance(error, OSError))
    for i in range(7):
        writer.put(i)
    with caplog.at_level(logging.WARNING, "emafusion"):
        started = time.perf_counter()
        writer.close(timeout=0.2)
        assert time.perf_counter() - started < 2
    assert writer.dropped == 7
    assert "closed, and lost 7 record(s)" in caplog.text
    assert not writer.put(8)


def test_recording_takes_microseconds(path: Path) -> None:
    with Store(path) as store:
        query, result = answered("d0")
        store.record(query, result)
        times = []
        for _ in range(200):
            started = time.perf_counter()
            store.record(query, result)  # the same one again: written once
            times.append(time.perf_counter() - started)
        assert sorted(times)[100] < 1e-3
        assert len(store.decisions()) == 1
