"""The policy in shadow is asked beside the requests, where no words will be kept to ask it by later."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from emafusion import Fusion, Objective
from emafusion.learning import shadow_watch
from emafusion.learning.shadow_watch import ShadowWatch
from emafusion.store import Store
from emafusion.types import Query
from tests.learning.online.test_loop import fusion, serve


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Every question that a shadow was asked: its artefact, the text, and on which thread. It would ask "mid"."""
    noted: list[tuple[str, str, str]] = []

    def first_of(model: Any) -> Any:
        def first(query: Query, objective: Objective) -> str:
            noted.append((model, query.text, threading.current_thread().name))
            return "mid"

        return first

    def begin(store: Store, _: Any) -> ShadowWatch:
        return ShadowWatch(store, first_of, every_s=0.001)

    monkeypatch.setattr(shadow_watch, "parse_router", lambda content, name: content.decode())
    monkeypatch.setattr(Fusion, "_watched_shadow", lambda self: begin(self.store, None))
    return noted


def test_the_newest_policy_in_shadow_is_asked_and_noted_on_the_writing_thread(
    tmp_path: Path, asked: list[tuple[str, str, str]]
) -> None:
    with Store(tmp_path / "x.sqlite", store_text=False) as store:
        one = fusion(None, store=store)
        serve(one)
        assert store.flush()
        store.add_policy("p1", b"first")
        store.add_policy("p2", b"second")
        ids = [serve(one).id for _ in range(3)]
        kept = {d["id"]: d["shadows"] for d in store.decisions()}
    assert [kept[id] for id in ids] == [{"p2": "mid"}] * 3
    assert list(kept.values()).count(None) == 1
    assert {(model, thread) for model, _, thread in asked} == {("second", "emafusion-store")}
    assert len(asked) == 3


def test_a_shadow_that_fails_costs_no_decision_and_is_told_once(
    tmp_path: Path, asked: list[tuple[str, str, str]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(content: bytes, name: str) -> Any:
        raise RuntimeError("no such router")

    monkeypatch.setattr(shadow_watch, "parse_router", broken)
    with Store(tmp_path / "x.sqlite", store_text=False) as store:
        store.add_policy("p1", b"first")
        one = fusion(None, store=store)
        for _ in range(3):
            serve(one)
        assert [d["shadows"] for d in store.decisions()] == [None] * 3
    assert caplog.text.count("policies in shadow cannot be looked up: RuntimeError: no such router") == 1


def test_where_texts_are_kept_nothing_is_asked_beside(tmp_path: Path) -> None:
    with Store(tmp_path / "x.sqlite") as store:
        assert fusion(None, store=store)._shadow is None
    with Store(tmp_path / "y.sqlite", store_text=False) as store:
        assert fusion(None, store=store)._shadow is not None
