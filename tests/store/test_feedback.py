"""Feedback of every kind: all of it is kept, once each, and one score counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emafusion.errors import ConfigError
from emafusion.log import read_log
from emafusion.store import Store
from emafusion.store.database import now
from tests.store.decisions import answered


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "emafusion.sqlite"


def test_all_feedback_on_a_decision_comes_back_with_it(url: str) -> None:
    with Store(url) as store:
        store.record(*answered("d1"))
        assert store.feedback("d1", 1.0, kind="thumbs")
        assert store.feedback("d1", kind="truth", text="42")
        assert store.feedback("d1", kind="preference", candidate="small", against="other")
        assert store.feedback("d1", kind="preference", candidate="small", against="large")
        assert store.feedback("d1", 0.5, candidate="other")
        (decision,) = store.decisions()
    said = {f["key"]: (f["kind"], f["candidate"], f["against"], f["score"], f["text"]) for f in decision["feedbacks"]}
    assert said == {
        "d1:thumbs": ("thumbs", None, None, 1.0, None),
        "d1:truth": ("truth", None, None, None, "42"),
        "d1:preference:small:other": ("preference", "small", "other", None, None),
        "d1:preference:small:large": ("preference", "small", "large", None, None),
        "d1:score:other": ("score", "other", None, 0.5, None),
    }


def test_the_same_key_is_the_same_feedback_whichever_process_it_comes_through(url: str) -> None:
    with Store(url) as one, Store(url) as two:
        one.record(*answered("d1"))
        assert one.flush()
        for score in (0.1, 0.2):
            assert one.feedback("d1", score, key="click 7", kind="implicit")
        assert one.flush()
        assert two.feedback("d1", 0.9, key="click 7", kind="implicit")
        assert two.feedback("d1", 0.3, key="click 8", kind="implicit")
        assert two.flush()
        assert [(f["key"], f["score"]) for f in one.decisions()[0]["feedbacks"]] == [("click 7", 0.9), ("click 8", 0.3)]


def test_an_earlier_word_that_arrives_late_does_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from emafusion.store import store as module

    with Store(path) as store:
        store.record(*answered("d1"))
        assert store.feedback("d1", 1.0)
        at = now()
        monkeypatch.setattr(module, "now", lambda: at.replace(year=at.year - 1))
        assert store.feedback("d1", 0.0)
        assert store.decisions()[0]["feedback"] == 1.0


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ([("implicit", 0.1)], 0.1),
        ([("thumbs", 1.0), ("implicit", 0.1)], 1.0),
        ([("score", 0.6), ("thumbs", 1.0), ("implicit", 0.1)], 0.6),
        ([("truth", 0.0), ("score", 0.6), ("thumbs", 1.0)], 0.0),
    ],
)
def test_the_weightiest_kind_of_feedback_counts(path: Path, said: list[Any], counts: float) -> None:
    with Store(path) as store:
        store.record(*answered("d1"))
        for kind, score in said:
            assert store.feedback("d1", score, kind=kind)
        assert store.decisions()[0]["feedback"] == counts


def test_feedback_that_names_another_candidate_is_about_that_one(path: Path, tmp_path: Path) -> None:
    with Store(path) as store:
        store.record(*answered("d1"))  # large answered, small agreed with it, other did not
        assert store.feedback("d1", 1.0)
        assert store.feedback("d1", 0.25, candidate="other", kind="truth")
        assert store.decisions()[0]["feedback"] == 1.0
        store.export(tmp_path / "log.jsonl")
    (entry,) = read_log(tmp_path / "log.jsonl")
    assert {name: o.score for name, o in entry.outcomes.items()} == {"small": 1.0, "large": 1.0, "other": 0.25}


def test_a_true_answer_is_text_and_not_kept_where_none_is(path: Path) -> None:
    with Store(path, store_text=False) as store:
        store.record(*answered("d1"))
        assert store.feedback("d1", 1.0, kind="truth", text="the password is swordfish")
        assert store.decisions()[0]["feedbacks"][0]["text"] is None
    assert all(b"swordfish" not in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"kind": "opinion", "score": 1.0}, "kind must be one of score, thumbs"),
        ({}, "'score' needs a score"),
        ({"kind": "truth"}, r"'truth' needs a score in \[0, 1\] or a text"),
        ({"kind": "preference", "candidate": "small"}, "needs two candidates"),
        ({"kind": "preference", "candidate": "small", "against": "small"}, "needs two candidates"),
        ({"score": 1.0, "against": "small"}, "belongs to feedback of kind 'preference'"),
        ({"score": 1.0, "key": "x" * 513}, "1 to 512 characters, got 513"),
    ],
)
def test_feedback_that_makes_no_sense_is_an_error(path: Path, arguments: dict[str, Any], why: str) -> None:
    with Store(path) as store, pytest.raises(ConfigError, match=why):
        store.feedback("d1", **arguments)
