"""What is written down of an LLM holds no secret, and what cannot be written down says so."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.evaluation import FaithfulnessEvaluator
from llama_index.core.llms.structured_llm import StructuredLLM

from emafusion.config import Objective, Price
from llamaindex_emafusion import EMAFusion, EvaluatorJudge
from llamaindex_emafusion.testing import Person, add, listening
from tests.llamaindex.conftest import API_KEY, Clients
from tests.llamaindex.scripted import Direct, ScriptedEMAFusion


def test_no_dump_shows_a_key(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap",)), objective=Objective(usd_value=0.1), router="router.json")
    structured: StructuredLLM = llm.as_structured_llm(Person)
    for dump in (
        llm.to_json(),
        json.dumps(llm.to_dict()),
        repr(llm),
        str(llm),
        llm.model_dump_json(),
        str(llm.to_payload() if hasattr(llm, "to_payload") else ""),  # newer versions send this to hosted services
    ):
        assert API_KEY not in dump
    assert API_KEY not in json.dumps(structured.to_dict())
    assert "'cheap', 'dear', 'judge'" in repr(llm)
    assert json.loads(llm.to_json())["router"] == "router.json"


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
def test_what_holds_the_llm_shows_no_key_either(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap",)))
    judge = EvaluatorJudge(FaithfulnessEvaluator(llm=clients.model("judge")), price=Price(1, 1))
    agent = FunctionAgent(tools=[add], llm=llm)
    twin = EMAFusion([clients.candidate("cheap")], judges=[judge], slow_classifier="cheap", store=None)
    for dump in (repr(agent), str(agent.model_dump()), repr(judge), repr(twin), twin.to_json(), str(twin.to_dict())):
        assert API_KEY not in dump


def test_a_pickle_of_what_holds_the_llm_leaves_it_out(clients: Clients) -> None:
    structured: StructuredLLM = clients.scripted(Direct(("cheap",))).as_structured_llm(Person)
    pickled = pickle.dumps(structured)  # LlamaIndex drops what refuses, with a warning in its log
    assert API_KEY.encode() not in pickled
    assert b"OpenAILike" not in pickled


def test_no_event_shows_a_key(clients: Clients) -> None:
    with listening() as events:
        clients.scripted(Direct(("cheap",))).complete("hi")
    assert events
    assert all(API_KEY not in str(e.model_dump()) for e in events)


def test_settings_come_back_from_a_dump_with_candidates_given_again(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap",)), objective=Objective(usd_value=0.1), stream_mode="buffered")
    dumped = {k: v for k, v in llm.to_dict().items() if k != "script"}
    again = ScriptedEMAFusion.from_dict(dumped, candidates=llm.candidates, script=llm.script)
    assert again.objective == Objective(usd_value=0.1)
    assert again.stream_mode == "buffered"
    assert again.complete("hi").text == "hi"


def test_pickling_is_refused_with_a_reason(clients: Clients) -> None:
    with pytest.raises(TypeError, match="clients and API keys"):
        pickle.dumps(clients.scripted(Direct(("cheap",))))


def test_a_deep_copy_shares_the_core(clients: Clients) -> None:
    llm = clients.scripted(Direct(("cheap",)))
    for twin in (copy.deepcopy(llm), copy.copy(llm), llm.model_copy(deep=True)):
        assert twin.fusion is llm.fusion
        assert twin.complete("hi").text == "hi"
