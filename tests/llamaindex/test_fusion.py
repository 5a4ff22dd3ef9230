"""With the real core: what the adapter hands over is what routers, judges and stickiness need."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent

from emafusion.config import Objective
from emafusion.judges.llm import LLMJudge
from llamaindex_emafusion import EMAFusion
from llamaindex_emafusion.testing import add, listening
from tests.llamaindex.conftest import LEAKED_MEMORY, Clients
from tests.llamaindex.scripted import DraftJudgeEscalate
from tests.loopback_model import LoopbackModel, last_user_text

pytestmark = [
    pytest.mark.filterwarnings(LEAKED_MEMORY),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.usefixtures("collected"),
]

SURE = '{"correct": true, "confidence": 0.98}'
WRONG = '{"correct": false, "confidence": 0.98}'


def cascade(clients: Clients, verdict: str) -> EMAFusion:
    """The real core, but for the policy, which always has the cheap one judged first."""
    clients.server.add(LoopbackModel("cheap", "The Adige, I think."))
    clients.server.add(LoopbackModel("dear", "The Adige, which rises near the Reschen Pass."))
    clients.server.add(LoopbackModel("judge", verdict))
    pool = [clients.candidate("cheap"), clients.candidate("dear")]
    llm = EMAFusion(pool, judges=[LLMJudge(clients.candidate("judge"))])
    llm.fusion.engine = replace(llm.fusion.engine, policy=DraftJudgeEscalate("cheap", "llm", "dear"))
    return llm


@pytest.mark.parametrize(("verdict", "who"), [(SURE, "cheap"), (WRONG, "dear")])
def test_the_judge_sees_question_and_material_and_decides_on_escalation(
    verdict: str, who: str, clients: Clients, settings: Any
) -> None:
    settings.llm = cascade(clients, verdict)
    index = VectorStoreIndex.from_documents([Document(text="The Adige rises near the Reschen Pass.")])
    response = index.as_query_engine().query("Which river runs through Verona?")
    assert settings.llm.last_decision.answered_by == who
    assert str(response).startswith("The Adige")
    judged = [body for body in clients.server.requests if body["model"] == "judge"]
    asked = last_user_text(judged[0]["messages"])
    assert "Which river runs through Verona?" in asked
    assert "rises near the Reschen Pass." in asked
    assert "Given the context information" not in asked  # the template is neither question nor material
    assert "llm" in {v.judge for v in settings.llm.last_decision.verdicts}


async def test_every_way_to_ask_takes_the_same_path(clients: Clients) -> None:
    llm = cascade(clients, WRONG)
    question = "Which river runs through Verona?"
    paths = []
    for ask in ("complete", "acomplete", "stream", "astream"):
        clients.server.clear()
        if ask == "complete":
            llm.complete(question)
        elif ask == "acomplete":
            await llm.acomplete(question)
        elif ask == "stream":
            list(llm.stream_complete(question))
        else:
            async for _ in await llm.astream_complete(question):
                pass
        paths.append([body["model"] for body in clients.server.requests])
    assert paths[0] == ["cheap", "judge", "dear"]
    assert all(path == paths[0] for path in paths)


async def test_a_tool_loop_stays_with_the_candidate_that_began_it(clients: Clients) -> None:
    pool = [clients.candidate("cheap"), clients.candidate("dear")]
    llm = EMAFusion(pool, judges=[], objective=Objective(quality_floor=1.0))
    clients.server.add(LoopbackModel("dear", error_status=400, fail_times=1))
    answer = await FunctionAgent(tools=[add], llm=llm).run("Use add on 2 and 3")
    assert "5" in str(answer)
    models = [body["model"] for body in clients.server.requests]
    assert models[:2] == ["dear", "cheap"]  # the dear one failed at first...
    assert set(models[2:]) == {"cheap"}  # ...and would be asked again, were the loop not bound
    assert llm.last_decision is not None
    assert llm.last_decision.sticky


def test_feedback_finds_its_decision(clients: Clients) -> None:
    llm = cascade(clients, SURE)
    shown = llm.complete("Which river?").additional_kwargs["emafusion"]
    llm.feedback(shown["id"], 1.0)
    with pytest.raises(ValueError, match="no decision has the id"):
        llm.feedback("nobody", 1.0)


def test_an_explanation_is_in_words_and_about_the_question(clients: Clients) -> None:
    llm = EMAFusion([clients.candidate("cheap"), clients.candidate("dear")])
    text = str(llm.explain("Context:\nThe Adige rises near Reschen.\n\nQuestion: Which river?\nAnswer:"))
    assert "asked: Which river?" in text
    assert "cheap" in text
    assert clients.server.count() == 0


def test_a_cascade_is_observed_whole(clients: Clients) -> None:
    with listening() as events:
        cascade(clients, WRONG).complete("Which river?")
    names = [e.class_name() for e in events]
    assert names.count("LLMChatStartEvent") == names.count("LLMChatEndEvent") == clients.server.count() == 3
    assert names[-1] == "EMAFusionDecisionEvent"


def test_routing_is_cheap_beside_a_call(clients: Clients) -> None:
    """A generous bound for a loaded machine; the benchmarks measure the real figure."""
    llm = EMAFusion([clients.candidate("cheap"), clients.candidate("dear")], judges=[])
    llm.explain("warm up")
    times = []
    for i in range(30):
        start = time.perf_counter()
        llm.explain(f"What is {i} times 7?")
        times.append(time.perf_counter() - start)
    assert sorted(times)[15] < 0.1
