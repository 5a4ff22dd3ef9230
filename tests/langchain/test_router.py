"""Choosing with no model called: ``explain`` and ``EMAFusionRouter``."""

from __future__ import annotations

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from emafusion.explanation import Explanation
from emafusion.policies.moves import Try
from langchain_emafusion import ChatEMAFusion, EMAFusionRouter
from tests.langchain.conftest import candidate
from tests.langchain.paths import ASK
from tests.langchain.scripted import scripted
from tests.langchain.test_traces import Recorder
from tests.loopback import LoopbackServer


def test_explain_says_whom_and_why_and_calls_nobody(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    told = scripted(llm, Try(("cheap",), commit=True, reason="it is cheap")).explain(ASK)
    assert told.as_dict()["first"] == ["cheap"]
    assert "it is cheap" in str(told)
    assert server.count() == 0


async def test_the_router_names_the_candidate(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    router = EMAFusionRouter(scripted(llm, Try(("dear",), commit=True)))
    assert router.invoke(ASK) == "dear"
    assert await router.ainvoke(ASK) == "dear"
    assert router.batch([ASK, ASK]) == ["dear", "dear"]
    assert server.count() == 0


def test_the_router_gives_the_whole_decision(server: LoopbackServer) -> None:
    router = EMAFusionRouter([candidate(server, "cheap"), candidate(server, "dear")], output="decision")
    decision = router.invoke(ASK)
    assert isinstance(decision, Explanation)
    assert set(decision.forecast.candidates) == {"cheap", "dear"}


def test_a_chain_can_branch_on_the_name(llm: ChatEMAFusion) -> None:
    router = EMAFusionRouter(scripted(llm, Try(("dear",), commit=True)))
    branches = {"cheap": "a short way", "dear": "a long way"}
    chain = ChatPromptTemplate.from_template("{q}") | router | RunnableLambda(branches.__getitem__, name="branch")
    recorder = Recorder()
    assert chain.invoke({"q": ASK}, {"callbacks": [recorder]}) == "a long way"
    assert [r.name for r in recorder.roots[0].child_runs] == ["ChatPromptTemplate", "EMAFusionRouter", "branch"]
