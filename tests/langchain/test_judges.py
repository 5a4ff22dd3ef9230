"""Judges beside LLM judges behind the LangChain adapter: samples of the draft, log-probabilities, the user's code."""

from __future__ import annotations

from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache

from emafusion import CallableJudge, LLMJudge, LogProbability, PairwiseJudge, Query, Reply, SelfConsistency
from emafusion.policies.moves import Accept, Ask, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import candidate
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer

QUESTION = "What is 17 * 23? Reply with a number."


async def test_all_kinds_of_judges_serve_behind_a_chat_model(server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", "The answer is 391.", logprob=-0.02))
    server.add(LoopbackModel("dear", '{"correct": true, "confidence": 0.9}'))

    async def exists(query: Query, reply: Reply) -> bool:
        return "391" in reply.text and query.text.startswith(QUESTION)

    judges = [
        SelfConsistency(samples=4),
        LogProbability(),
        CallableJudge(exists),
        LLMJudge("dear"),
        PairwiseJudge(),
    ]
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], judges=judges)
    scripted(llm, Try(("cheap",)), Ask(("self-consistency", "llm"), "cheap"), Accept("cheap", "so be it"))
    set_llm_cache(InMemoryCache())
    try:
        for asynchronous in (False, True):
            question = QUESTION + " Please." * asynchronous  # or the whole answer would come from the cache
            answer = await llm.ainvoke(question) if asynchronous else llm.invoke(question)
            told = {v["judge"]: v for v in answer.response_metadata["emafusion"]["verdicts"]}
            assert told["self-consistency"]["reason"] == "4 of 4 further samples agree"
            assert told["exists"]["score"] == 0.9
            assert told["log-probability"]["score"] > 0.5
            assert told["llm"]["score"] is not None
            assert told["exists"]["cost_usd"] == told["log-probability"]["cost_usd"] == 0
            assert told["self-consistency"]["cost_usd"] > 0
            samples = [b for b in server.requests if b["model"] == "cheap" and b.get("temperature") == 1.0]
            assert len(samples) == 4  # no cache repeats a sample
            assert all(b["messages"][-1]["content"] == question for b in samples)
            server.clear()
    finally:
        set_llm_cache(None)
