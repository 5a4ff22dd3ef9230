"""A candidate that fails is passed over; when all fail the caller learns why."""

from __future__ import annotations

import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock

from emafusion.config import Candidate, Objective
from emafusion.errors import AllCandidatesFailed, ConfigError, NoCandidateFits
from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Direct, ScriptedEMAFusion
from tests.loopback_model import LoopbackModel


async def test_a_failing_candidate_gives_way_to_the_next(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", error_status=500))
    llm = clients.scripted(Direct(("cheap", "dear"), live=False))
    for response in (llm.complete("violet"), await llm.acomplete("violet")):
        assert response.text == "violet"
        assert response.additional_kwargs["emafusion"]["answered_by"] == "dear"


def test_when_the_only_candidate_fails_its_error_is_the_cause(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", error_status=500))
    llm = clients.scripted(Direct(("cheap",)), "cheap")
    with pytest.raises(AllCandidatesFailed, match="cheap: InternalServerError") as caught:
        llm.complete("x")
    assert isinstance(caught.value.__cause__, openai.InternalServerError)
    with pytest.raises(AllCandidatesFailed) as caught:
        list(llm.stream_complete("x"))
    assert isinstance(caught.value.__cause__, openai.InternalServerError)


async def test_when_several_fail_each_error_is_there(clients: Clients) -> None:
    for name in ("cheap", "dear"):
        clients.server.add(LoopbackModel(name, error_status=400))
    llm = clients.scripted(Direct(("cheap", "dear")))
    with pytest.raises(AllCandidatesFailed) as caught:
        await llm.acomplete("x")
    assert set(caught.value.errors) == {"cheap", "dear"}
    assert caught.value.__cause__ is None


def test_an_image_goes_to_a_candidate_that_sees(clients: Clients) -> None:
    blind, sees = frozenset({"tools", "schema"}), frozenset({"tools", "schema", "image"})
    picture = [ChatMessage(blocks=[TextBlock(text="What is this?"), ImageBlock(url="https://example.com/a.png")])]
    pool = [clients.candidate("cheap").named(abilities=blind), clients.candidate("dear").named(abilities=sees)]
    llm = ScriptedEMAFusion(pool, script=Direct(("cheap", "dear")))
    assert llm.chat(picture).additional_kwargs["emafusion"]["answered_by"] == "dear"
    assert clients.server.requests[-1]["messages"][0]["content"][1]["type"] == "image_url"
    with pytest.raises(NoCandidateFits, match="does not take image"):
        ScriptedEMAFusion(pool[:1], script=Direct(("cheap",))).chat(picture)


def test_arguments_of_a_request_reach_the_candidate_and_ours_do_not(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap",)), objective=Objective(quality_floor=0.9))
    wanted = Objective(usd_per_query=0.01)
    llm.complete("x", stop=["z"], objective=wanted, thread="t1")
    sent = clients.server.requests[-1]
    assert sent["stop"] == ["z"]
    assert not {"objective", "thread", "emafusion_offer"} & set(sent)
    llm.complete("x")
    fusion = llm.fusion
    assert fusion.objectives == [wanted, Objective(quality_floor=0.9)]  # type: ignore[attr-defined]
    first, second = fusion.queries  # type: ignore[attr-defined]
    assert first.session != second.session


def test_a_request_can_name_its_candidate(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap", "dear")))
    assert llm.complete("x", model="dear").additional_kwargs["emafusion"]["answered_by"] == "dear"
    with pytest.raises(ConfigError, match="'gpt' is not a candidate"):
        llm.complete("x", model="gpt")


def test_a_json_schema_in_the_arguments_is_a_need(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap",)))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "A", "schema": schema}}
    assert llm.complete("give 7", response_format=wanted).text == '{"a": 7}'
    (query,) = llm.fusion.queries  # type: ignore[attr-defined]
    assert query.schema == schema
    assert "schema" in query.needs


def test_feedback_explanation_and_the_last_decision_are_at_hand(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap",)))
    shown = llm.complete("x").additional_kwargs["emafusion"]
    assert llm.last_decision is not None
    assert llm.last_decision.id == shown["id"]
    llm.feedback(shown["id"], 1.0)
    assert llm.fusion.scores == {shown["id"]: 1.0}  # type: ignore[attr-defined]
    llm.explain([ChatMessage(content="why?")])
    assert clients.server.count() == 1  # an explanation asks nobody


def test_two_candidates_of_one_name_are_refused(clients: Clients) -> None:
    model = clients.model("cheap")
    with pytest.raises(ConfigError, match="two candidates are named 'cheap'"):
        ScriptedEMAFusion([Candidate(model, price=clients.candidate("cheap").price)] * 2)
