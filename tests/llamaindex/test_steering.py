"""Candidates that come and go, prices that change, learning and the store: told to the LLM while it serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from emafusion import Candidate, ConfigError, Learning, Price
from emafusion.store import Store
from llamaindex_emafusion import EMAFusion
from tests.llamaindex.conftest import Clients

QUIET = Learning(exploration=0.0, audit=0.0, drift=False)


def llm_over(clients: Clients, *names: str, **fields: object) -> EMAFusion:
    return EMAFusion([clients.candidate(n) for n in names], judges=[], **fields)


def test_candidates_come_and_go_and_the_metadata_follows(clients: Clients) -> None:
    llm = llm_over(clients, "cheap")
    small = Candidate(clients.model("dear", context_window=2_000), price=Price(10, 10))
    llm.add_candidate(small)
    assert llm.metadata.context_window == 2_000
    assert llm.complete("hi", model="dear").additional_kwargs["emafusion"]["answered_by"] == "dear"
    llm.remove_candidate("dear")
    assert llm.metadata.context_window == 32_000
    assert [c.name for c in llm.candidates] == ["cheap"]
    with pytest.raises(ConfigError, match="'dear' is not a candidate"):
        llm.complete("hi", model="dear")


def test_a_new_price_is_reckoned_with(clients: Clients) -> None:
    llm = llm_over(clients, "cheap", "dear")
    before = llm.complete("hi", model="cheap").additional_kwargs["emafusion"]["cost"]
    llm.set_price("cheap", Price(0.2, 0.2))
    assert llm.complete("hi", model="cheap").additional_kwargs["emafusion"]["cost"] == pytest.approx(2 * before)


def test_a_copy_with_a_core_of_its_own_has_the_candidates_as_they_are_now(clients: Clients) -> None:
    llm = llm_over(clients, "cheap", "dear")
    earlier = llm.model_copy(update={"max_retries": 0})
    llm.remove_candidate("dear")
    llm.set_price("cheap", Price(0.3, 0.3))
    for one in (llm, earlier):
        twin = one.model_copy(update={"stream_mode": "buffered"})
        assert twin.fusion is not llm.fusion
        assert twin.fusion.pool.names == ("cheap",)
        assert twin.fusion.pool.price("cheap") == Price(0.3, 0.3)
        twin.add_candidate(clients.candidate("middle"))
    assert llm.fusion.pool.names == ("cheap",)


def test_a_copy_goes_on_learning_where_the_original_does(clients: Clients) -> None:
    llm = llm_over(clients, "cheap", "dear", learning=QUIET)
    twin = llm.model_copy(update={"stream_mode": "buffered"})
    assert twin.fusion.learning is llm.fusion.learning is not None
    id = twin.complete("hi", model="cheap").additional_kwargs["emafusion"]["id"]
    before = llm.explain("hi").forecast.p_good
    twin.feedback(id, thumbs=False)
    assert llm.explain("hi").forecast.p_good[0] < before[0]
    assert llm.model_copy(update={"learning": True}).fusion.learning is not llm.fusion.learning
    assert llm.model_copy(update={"learning": None}).fusion.learning is None
    with pytest.raises(ConfigError, match="learning is fixed once"):
        llm.learning = None


def test_a_store_is_taken_as_an_object_and_appears_in_no_dump(clients: Clients, tmp_path: Path) -> None:
    with Store(tmp_path / "emafusion.sqlite", store_text=False) as store:
        llm = llm_over(clients, "cheap", store=store, learning=QUIET)
        twin = llm.model_copy(update={"stream_mode": "buffered"})
        assert twin.fusion.store is llm.fusion.store is store
        id = llm.complete("hi").additional_kwargs["emafusion"]["id"]
        twin.feedback(id, score=0.5)  # known through the store
        store.flush()
        assert len(store.decisions()) == 1
        for dump in (llm.to_json(), str(llm.to_dict()), repr(llm)):
            assert "sqlite" not in dump
            assert "learning" not in dump
    with pytest.raises(ConfigError, match="store must be"):
        llm_over(clients, "cheap", store=7)
