"""Judges beside LLM judges behind the LlamaIndex adapter: samples of the draft, log-probabilities, the user's code."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llama_index.core.llms import ChatMessage

from emafusion import CallableJudge, LLMJudge, LogProbability, Query, Reply, SelfConsistency
from emafusion.judges.panel import Belief
from emafusion.policies.base import Terms
from emafusion.policies.moves import Accept, Ask, Move, Try
from llamaindex_emafusion import EMAFusion
from tests.llamaindex.conftest import Clients
from tests.loopback import LoopbackModel

QUESTION = "What is 17 * 23? Reply with a number."


@dataclass(frozen=True)
class Judged:
    """Has the cheap one draft, and these judges look at it."""

    judges: tuple[str, ...]

    def next_move(self, belief: Belief, terms: Terms) -> Move:
        if "cheap" not in belief.replies:
            return Try(("cheap",))
        if (self.judges[0], "cheap") not in belief.asked:
            return Ask(self.judges, "cheap")
        return Accept("cheap", "the script is over")


async def test_all_kinds_of_judges_serve_behind_an_llm(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", "The answer is 391.", logprob=-0.02))
    clients.server.add(LoopbackModel("judge", '{"correct": true, "confidence": 0.9}'))

    def exists(query: Query, reply: Reply) -> bool:
        return "391" in reply.text and query.text == QUESTION

    judges = [
        SelfConsistency(samples=4),
        LogProbability(),
        CallableJudge(exists),
        LLMJudge(clients.candidate("judge")),
    ]
    llm = EMAFusion([clients.candidate("cheap"), clients.candidate("dear")], judges=judges)
    llm.fusion.engine = replace(llm.fusion.engine, policy=Judged(("self-consistency", "llm")))
    turn = [ChatMessage(role="user", content=QUESTION)]
    for asynchronous in (False, True):
        response = await llm.achat(turn) if asynchronous else llm.chat(turn)
        assert "391" in str(response.message.content)
        assert llm.last_decision is not None
        told = {v.judge: v for v in llm.last_decision.verdicts}
        assert told["self-consistency"].reason == "4 of 4 further samples agree"
        assert told["exists"].score == 0.9
        assert (told["log-probability"].score or 0) > 0.5
        assert told["llm"].score is not None
        assert told["exists"].cost_usd == told["log-probability"].cost_usd == 0
        assert told["self-consistency"].cost_usd > 0
        samples = [b for b in clients.server.requests if b["model"] == "cheap" and b.get("temperature") == 1.0]
        assert len(samples) == 4
        clients.server.clear()
