"""What is old goes, and words can be taken out; what was learned stays."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from emafusion.errors import ConfigError
from emafusion.store import Store
from emafusion.store import store as module
from emafusion.store.database import now
from emafusion.store.tables import table
from emafusion.types import Query, Result
from tests.store.decisions import answered
from tests.store.observed import observed

SECRET = "the password is swordfish"


def with_embedding(query: Query, result: Result, session: str | None = None) -> tuple[Query, Result]:
    forecast = replace(result.decision.forecast, embedding=np.array([0.1, -0.25, 1e-3], np.float32))
    decision = replace(
        result.decision,
        forecast=forecast,
        first=("small", "other"),
        propensities={"small": 0.9, "other": 0.2},
        explored=True,
        audited="other",
        policy="p7",
        tick=41.0,
    )
    return replace(query, session=session), replace(result, decision=decision)


def count(store: Store, name: str) -> int:
    with store._engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table(name))).scalar_one())


@pytest.fixture
def days_ago(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the store's clock."""
    clock = now

    def set_clock(days: float) -> None:
        monkeypatch.setattr(module, "now", lambda: clock() - timedelta(days=days))

    return set_clock


def test_how_a_decision_was_drawn_is_kept(url: str) -> None:
    with Store(url) as store:
        store.record(*with_embedding(*answered("d1")))
        store.record(*answered("d2"))
        kept = {d["id"]: d for d in store.decisions()}
    drawn = ("first", "propensities", "explored", "audited", "policy", "tick")
    expected = [["small", "other"], {"small": 0.9, "other": 0.2}, True, "other", "p7", 41.0]
    assert [kept["d1"][name] for name in drawn] == expected
    np.testing.assert_array_equal(kept["d1"]["embedding"], np.array([0.1, -0.25, 1e-3], np.float16))
    assert [kept["d2"][name] for name in drawn] == [[], {}, False, None, "", 0.0]
    assert kept["d2"]["embedding"] is None


def test_without_texts_an_export_has_embeddings_in_their_place(tmp_path: Path) -> None:
    with Store(tmp_path / "x.sqlite", store_text=False) as store:
        store.record(*with_embedding(*answered("d1")))
        store.record(*answered("d2"))
        store.export(tmp_path / "log.jsonl")
    first, second = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert first["embedding"] == [0.1, -0.25, 0.001]
    np.testing.assert_array_equal(np.array(first["embedding"], np.float16), np.array([0.1, -0.25, 1e-3], np.float16))
    assert "embedding" not in second
    assert "embedding" not in _exported_with_text(tmp_path)


def _exported_with_text(folder: Path) -> str:
    with Store(folder / "y.sqlite") as store:
        store.record(*with_embedding(*answered("d1")))
        store.export(folder / "y.jsonl")
    return (folder / "y.jsonl").read_text()


def test_old_decisions_go_with_all_that_belongs_to_them_and_learned_sums_stay(
    url: str, days_ago: Callable[[float], None]
) -> None:
    with Store(url, retention_days=30) as store:
        for id, days in (("d0", 31.0), ("d1", 29.0)):
            days_ago(days)
            store.record(*answered(id))
            assert store.feedback(id, 1.0)
        days_ago(31.0)
        store.learn([observed(i, judge=0.5) for i in range(6)])  # of the decisions d0 and d1
        assert store.flush()
        sums = store.statistics()
        days_ago(0.0)
        assert store.prune() == 1
        assert [d["id"] for d in store.decisions()] == ["d1"]
        assert [count(store, name) for name in ("attempts", "verdicts", "feedback", "credits")] == [3, 2, 1, 3]
        assert store.statistics().keys() == sums.keys()
        assert all((store.statistics()[key] == values).all() for key, values in sums.items())
        assert store.prune() == 0


def test_more_than_one_transactions_worth_of_old_decisions_goes(
    tmp_path: Path, days_ago: Callable[[float], None]
) -> None:
    with Store(tmp_path / "x.sqlite", retention_days=1) as store:
        days_ago(2.0)
        for i in range(1001):
            store.record(*answered(f"d{i}"))
        days_ago(0.0)
        assert store.prune() == 1001
        assert count(store, "attempts") == 0


def test_opening_a_store_with_a_retention_prunes_it(tmp_path: Path, days_ago: Callable[[float], None]) -> None:
    with Store(tmp_path / "x.sqlite") as store:
        days_ago(2.0)
        store.record(*answered("d0"))
        days_ago(0.0)
        store.record(*answered("d1"))
    with Store(tmp_path / "x.sqlite", retention_days=1) as store:
        deadline = time.monotonic() + 10
        while count(store, "decisions") > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [d["id"] for d in store.decisions()] == ["d1"]


@pytest.mark.parametrize("days", [0, -1, float("nan")])
def test_a_retention_that_keeps_nothing_is_an_error(tmp_path: Path, days: float) -> None:
    with pytest.raises(ConfigError, match="positive number of days"):
        Store(tmp_path / "x.sqlite", retention_days=days)


def test_pruning_without_a_retention_is_an_error(tmp_path: Path) -> None:
    with Store(tmp_path / "x.sqlite") as store, pytest.raises(ConfigError, match="give it to the store"):
        store.prune()


def test_redaction_leaves_no_word_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with Store(path) as store:
        # Both clusters -9: the failed attempt's error quotes the question, as the warning does.
        store.record(*with_embedding(*answered("d1", question=SECRET, clusters=(-9, 0, 1), calls=True)))
        assert store.feedback("d1", 1.0, kind="truth", text=SECRET)
        (before,) = store.decisions()
        assert SECRET in before["attempts"][0]["error"]
        assert store.redact() == 1
        (after,) = store.decisions()
        for file in tmp_path.iterdir():
            kept = file.read_bytes()
            assert b"swordfish" not in kept
            assert b"It is 42" not in kept
            assert b"multiply" not in kept
    assert after["text"] is None
    assert after["warnings"] == ["candidate 'small' failed"]
    assert after["attempts"][0]["error"] == "RuntimeError"
    assert after["text_hash"] == before["text_hash"]
    assert [a["response_hash"] for a in after["attempts"]] == [a["response_hash"] for a in before["attempts"]]
    assert after["feedback"] == 1.0
    np.testing.assert_array_equal(after["embedding"], before["embedding"])


def test_redaction_keeps_to_the_session_and_the_time_that_are_named(
    url: str, days_ago: Callable[[float], None]
) -> None:
    with Store(url) as store:
        for id, session, days in (("d0", "a", 3.0), ("d1", "b", 3.0), ("d2", "a", 1.0), ("d3", "b", 1.0)):
            days_ago(days)
            store.record(*with_embedding(*answered(id, question=SECRET), session))
        days_ago(0.0)

        def silent() -> set[str]:
            return {d["id"] for d in store.decisions() if d["text"] is None}

        two_days_ago = datetime.now(timezone(timedelta(hours=9))) - timedelta(days=2)
        assert store.redact(before=two_days_ago, session="a") == 1
        assert silent() == {"d0"}
        assert store.redact(session="a") == 2
        assert silent() == {"d0", "d2"}
        assert store.redact(before=two_days_ago) == 2
        assert silent() == {"d0", "d1", "d2"}
        assert store.redact(session="nobody's") == 0
