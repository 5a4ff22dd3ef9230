"""Alarms outlive the process that raised them, are shown, and go with the store's retention."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from emafusion import Learning
from emafusion.learning.online.drift import Alarm
from emafusion.store import Store
from emafusion.store.alarms import alarms
from emafusion.store.existing import ExistingStore
from emafusion.store.status import status_of
from tests.cli.conftest import run, succeeded
from tests.learning.online.test_loop import fusion, serve
from tests.store.test_retention import days_ago

__all__ = ["days_ago"]

FELL = Alarm("quality", "small", 0.8, 0.3, 100.0, 140.0, 17)
OTHERS = Alarm("traffic", "", 0.4, 0.7, 300.0, 360.0, 60)


def test_alarms_of_all_processes_are_there_when_they_have_ended(url: str) -> None:
    for alarm in (FELL, OTHERS):
        with Store(url) as store:
            store.notice(alarm)
    with ExistingStore(url) as store:
        newest, first = status_of(store).alarms
    assert (newest.kind, newest.candidate, newest.what) == ("traffic", "", str(OTHERS))
    assert (first.candidate, first.before, first.after, first.what) == ("small", 0.8, 0.3, str(FELL))
    assert first.raised_at <= newest.raised_at


def test_a_candidate_that_collapses_is_shown_in_the_status(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sqlite")
    with Store(path) as store:
        one = fusion(Learning(exploration=0.0, audit=0.0), store=store)
        for i in range(60):
            one.feedback(serve(one, only=("small",)).id, float(i < 35))
        assert one.learning is not None
        (raised,) = one.learning.alarms
    (shown,) = succeeded("status", path)["alarms"]
    assert (shown["kind"], shown["candidate"], shown["what"]) == ("quality", "small", str(raised))
    assert shown["raised_at"].endswith("Z")
    said = run("status", path).stdout
    assert "Changes noticed while serving" in said
    assert "the quality of 'small' fell" in " ".join(said.replace("│", " ").split())


def test_alarms_go_with_the_retention(url: str, days_ago: Callable[[float], None]) -> None:
    with Store(url, retention_days=30) as store:
        days_ago(31)
        store.notice(FELL)
        days_ago(29)
        store.notice(OTHERS)
        days_ago(0)
        store.prune()
        with store.engine.connect() as connection:
            assert [a.kind for a in alarms(connection)] == ["traffic"]


def test_an_alarm_is_taken_while_the_database_is_away_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.sqlite"
    with Store(path) as store:
        moved = tmp_path / "moved.sqlite"
        store.flush()
        store._writer.pause()
        store.engine.dispose()
        path.rename(moved)
        path.mkdir()  # nothing can be opened there
        store._writer.resume()
        store.notice(FELL)
        assert not store.flush(0.3)
        path.rmdir()
        moved.rename(path)
        assert store.flush(20.0)
        with store.engine.connect() as connection:
            (kept,) = alarms(connection)
    assert kept.what == str(FELL)
