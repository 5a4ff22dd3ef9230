"""Candidates that come and go, prices that change, learning and the store: told to the model while it serves."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import FakeListChatModel
from langchain_openai import ChatOpenAI

from emafusion import Candidate, ConfigError, Learning, Price
from emafusion.store import Store
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import candidate
from tests.loopback import LoopbackServer

ASK = "What does the dear one say?"


def fake(name: str, answer: str, dollars: float = 1.0) -> Candidate:
    return Candidate(FakeListChatModel(responses=[answer]), name=name, price=Price(dollars, dollars))


def test_candidates_come_and_go() -> None:
    llm = ChatEMAFusion([fake("one", "1")], judges=[])
    llm.add_candidate(fake("two", "2"))
    assert llm.invoke(ASK, model="two").text == "2"
    assert [c.name for c in llm.candidates] == ["one", "two"]
    llm.remove_candidate("one")
    assert llm.invoke(ASK).text == "2"
    assert "'one'" not in repr(llm)
    with pytest.raises(ConfigError, match="no candidate 'one'"):
        llm.remove_candidate("one")
    with pytest.raises(ConfigError, match="two candidates are named 'two'"):
        llm.add_candidate(fake("two", "2"))


def test_a_new_price_is_reckoned_with() -> None:
    llm = ChatEMAFusion([fake("one", "1"), fake("two", "2", 50.0)], judges=[])
    before = llm.invoke(ASK, model="one").response_metadata["emafusion"]["cost"]
    llm.set_price("one", Price(2.0, 2.0))
    assert llm.invoke(ASK, model="one").response_metadata["emafusion"]["cost"] == pytest.approx(2 * before)


@pytest.mark.parametrize("shared", [False, True])
def test_a_cache_serves_no_answers_of_another_pool(shared: bool) -> None:
    llm = ChatEMAFusion([fake("one", "1")], judges=[], cache=InMemoryCache())
    asked = llm.model_copy(update={"tags": ["copy"]}) if shared else llm
    assert asked.invoke(ASK).text == "1"
    llm.add_candidate(fake("two", "2", 0.01))
    llm.remove_candidate("one")
    assert asked.invoke(ASK).text == "2"
    llm.add_candidate(fake("one", "1"))
    llm.remove_candidate("two")
    assert asked.invoke(ASK).response_metadata["emafusion"]["cached"] is True


@pytest.mark.skipif("profile" not in ChatOpenAI.model_fields, reason="this version of langchain-core has no profiles")
def test_the_profile_follows_the_pool_unless_it_was_given(server: LoopbackServer) -> None:
    def profiled(name: str, tokens: int) -> Candidate:
        return candidate(server, name, profile={"max_input_tokens": tokens, "tool_calling": True})

    llm = ChatEMAFusion([profiled("cheap", 500)])
    own = ChatEMAFusion([profiled("cheap", 500)], profile={"max_input_tokens": 7})
    for one in (llm, own):
        one.add_candidate(profiled("dear", 100))
    assert llm.profile is not None
    assert own.profile is not None
    assert (llm.profile["max_input_tokens"], own.profile["max_input_tokens"]) == (100, 7)
    llm.remove_candidate("dear")
    assert llm.profile["max_input_tokens"] == 500


def test_a_store_is_taken_as_an_object_and_appears_in_no_dump(tmp_path: Path) -> None:
    with Store(tmp_path / "emafusion.sqlite", store_text=False) as store:
        llm = ChatEMAFusion([fake("one", "1")], store=store, learning=Learning(exploration=0.0))
        assert llm.fusion.store is store
        llm.invoke(ASK)
        store.flush()
        assert len(store.decisions()) == 1
        assert not {"store", "learning"} & llm.model_dump().keys()
        assert "sqlite" not in llm.model_dump_json() + repr(llm) + str(llm._identifying_params)
    with pytest.raises(ConfigError, match="store must be"):
        ChatEMAFusion([fake("one", "1")], store=7)
    with pytest.raises(ConfigError, match="learning must be"):
        ChatEMAFusion([fake("one", "1")], learning="yes")


def test_feedback_and_signals_reach_what_is_learned() -> None:
    llm = ChatEMAFusion([fake("one", "391")], judges=[], learning=Learning(exploration=0.0, audit=0.0, drift=False))
    learning = llm.fusion.learning
    assert learning is not None
    for said, truth in (({"score": 0.25}, 0.25), ({"thumbs": True}, 1.0), ({"truth": "390"}, 0.0)):
        id = llm.invoke("What is 17 * 23? Reply with a number.").response_metadata["emafusion"]["id"]
        llm.feedback(id, **said)
        assert [o.truth for o in learning.observations(id)] == [truth]
    id = llm.invoke(ASK).response_metadata["emafusion"]["id"]
    llm.signal(id, "retried")
    (known,) = learning.observations(id)
    assert known.judge is not None
    assert known.judge < known.forecast
    with pytest.raises(ConfigError, match="no decision has the id"):
        llm.signal("unknown", "retried")
