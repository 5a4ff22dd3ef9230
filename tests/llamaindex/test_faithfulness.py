"""An answer that the retrieved context does not support escalates, whichever judge looks at it.

The judge's model reads what it is sent and compares: it says yes where each name in the answer stands in the context.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.evaluation import (
    BaseEvaluator,
    CorrectnessEvaluator,
    EvaluationResult,
    FaithfulnessEvaluator,
    RelevancyEvaluator,
)
from llama_index.core.llms import ChatMessage, MockLLM

from emafusion import ConfigError, LLMJudge, Objective, Price, Query, Reply
from emafusion.encoders import default_encoder
from llamaindex_emafusion import EMAFusion, EvaluatorJudge
from llamaindex_emafusion.testing import listening
from tests.llamaindex.conftest import LEAKED_MEMORY, PRICES, Clients
from tests.llamaindex.scripted import DraftJudgeEscalate
from tests.loopback_model import Json, LoopbackModel, text_of

pytestmark = [pytest.mark.filterwarnings(LEAKED_MEMORY), pytest.mark.usefixtures("collected")]

QUESTION = "Which river runs through Verona, and where does it rise?"
SOURCE = "Verona lies on the Adige. The Adige rises near the Reschen Pass and is 410 km long."
SUPPORTED = "The Adige, which rises near the Reschen Pass."
INVENTED = "The Adige, which rises at Lake Como."


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Z][a-z]+", text)) - {"The"}


def compares(messages: list[Json], body: Json) -> str:
    """A judge that knows nothing but what it is shown."""
    shown = "\n".join(text_of(m) for m in messages)
    said = next(text for text in (SUPPORTED, INVENTED) if text in shown)
    faithful = names_in(said) <= names_in(shown.replace(said, " "))
    if "correct" in shown and '"mark"' in shown:
        return json.dumps({"correct": faithful, "confidence": 0.97})
    return "YES" if faithful else "NO"


JUDGES: dict[str, Any] = {
    "llm": lambda clients: LLMJudge(clients.candidate("judge")),
    "faithfulness": lambda clients: evaluated(FaithfulnessEvaluator, clients),
    "relevancy": lambda clients: evaluated(RelevancyEvaluator, clients),
}


def evaluated(kind: Any, clients: Clients, **given: Any) -> EvaluatorJudge:
    return EvaluatorJudge(kind(llm=clients.model("judge")), price=Price(PRICES["judge"], PRICES["judge"]), **given)


def fused(clients: Clients, judge: Any, cheap: str, **fields: Any) -> EMAFusion:
    """The real core; by a policy of the tests the cheap one is judged first, and the dear one asked if that fails."""
    clients.server.add(LoopbackModel("cheap", cheap))
    clients.server.add(LoopbackModel("dear", SUPPORTED))
    clients.server.add(LoopbackModel("judge", compares))
    llm = EMAFusion([clients.candidate("cheap"), clients.candidate("dear")], judges=[judge], **fields)
    llm.fusion.engine = replace(llm.fusion.engine, policy=DraftJudgeEscalate("cheap", judge.name, "dear"))
    return llm


async def ask(llm: EMAFusion, way: str) -> str:
    index = VectorStoreIndex.from_documents([Document(text=SOURCE)])
    if way == "query":
        return str(index.as_query_engine(llm=llm).query(QUESTION))
    if way == "aquery":
        return str(await index.as_query_engine(llm=llm).aquery(QUESTION))
    streamed: Any = index.as_query_engine(llm=llm, streaming=True).query(QUESTION)
    return "".join(streamed.response_gen)


@pytest.mark.parametrize("way", ["query", "aquery", "stream"])
@pytest.mark.parametrize("kind", JUDGES)
@pytest.mark.parametrize(("cheap", "who"), [(SUPPORTED, "cheap"), (INVENTED, "dear")])
async def test_what_the_context_does_not_support_escalates(
    cheap: str, who: str, kind: str, way: str, clients: Clients, settings: Any
) -> None:
    llm = fused(clients, JUDGES[kind](clients), cheap)
    assert await ask(llm, way) == SUPPORTED
    decision = llm.last_decision
    assert decision is not None
    assert decision.answered_by == who
    (verdict,) = (v for v in decision.verdicts if v.judge == kind)
    assert verdict.score is not None
    assert (verdict.score > 0.5) == (who == "cheap")
    assert clients.server.count("judge") == 1
    assert verdict.cost_usd > 0
    assert decision.judge_cost_usd == verdict.cost_usd
    assert decision.warnings == ()


async def test_the_shipped_policy_escalates_what_a_faithfulness_judge_rejects(clients: Clients, settings: Any) -> None:
    answers = {}
    for cheap in (SUPPORTED, INVENTED):
        judge = evaluated(FaithfulnessEvaluator, clients, weight=3.0)
        clients.server.add(LoopbackModel("cheap", cheap))
        clients.server.add(LoopbackModel("dear", SUPPORTED))
        clients.server.add(LoopbackModel("judge", compares))
        pool = [clients.candidate("cheap"), clients.candidate("dear")]
        llm = EMAFusion(pool, judges=[judge], objective=Objective(usd_value=0.02))
        assert await ask(llm, "aquery") == SUPPORTED
        assert llm.last_decision is not None
        answers[cheap] = llm.last_decision.answered_by
    assert answers == {SUPPORTED: "cheap", INVENTED: "dear"}


class _Recording:
    """The shipped encoder, with what it was given."""

    def __init__(self) -> None:
        self.inner = default_encoder()
        self.identity, self.dim = self.inner.identity, self.inner.dim
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> Any:
        self.texts.extend(texts)
        return np.asarray(self.inner.encode(texts))


@pytest.mark.parametrize("way", ["query", "aquery", "stream"])
async def test_the_router_encodes_the_question_alone(way: str, clients: Clients, settings: Any) -> None:
    encoder = _Recording()
    llm = fused(clients, JUDGES["llm"](clients), SUPPORTED, encoder=encoder)
    await ask(llm, way)
    assert encoder.texts == [QUESTION]


# -- what the wrapper makes of an evaluator ----------------------------------------------------------------------


def draft(text: str = SUPPORTED) -> tuple[Query, Reply]:
    return Query(QUESTION, context=SOURCE), Reply(text)


async def verdict_of(judge: EvaluatorJudge, text: str = SUPPORTED) -> Any:
    (call,) = judge.calls(*draft(text), "cheap", "judge")
    assert call.function is not None
    return judge.read([Reply("", native=await call.function())], "cheap", 0.0)


@pytest.mark.parametrize(("said", "score"), [("5.0", 0.9), ("4", 0.7), ("3", 0.5), ("1.0", 0.1)])
async def test_a_scale_of_five_becomes_a_probability(said: str, score: float, clients: Clients) -> None:
    clients.server.add(LoopbackModel("judge", f"{said}\nfor a reason"))
    verdict = await verdict_of(evaluated(CorrectnessEvaluator, clients))
    assert verdict.score == pytest.approx(score)
    assert verdict.reason == f"{float(said):g} in [1, 5]: for a reason"


@pytest.mark.parametrize("said", ["", "excellent\nindeed", "9\nout of ten"])
async def test_a_score_that_cannot_be_read_abstains(said: str, clients: Clients) -> None:
    clients.server.add(LoopbackModel("judge", lambda messages, body: said))
    verdict = await verdict_of(evaluated(CorrectnessEvaluator, clients))
    assert verdict.score is None
    assert verdict.reason.startswith("abstains")
    assert verdict.cost_usd > 0


async def test_the_cost_is_what_the_provider_counted(clients: Clients) -> None:
    clients.server.add(LoopbackModel("judge", "YES"))
    with listening() as events:
        verdict = await verdict_of(evaluated(FaithfulnessEvaluator, clients))
    ends: list[Any] = [e for e in events if e.class_name() == "LLMChatEndEvent"]
    (usage,) = (e.response.raw.usage for e in ends)
    assert verdict.cost_usd == pytest.approx((usage.prompt_tokens + usage.completion_tokens) * PRICES["judge"] / 1e6)


def test_no_context_and_no_text_are_not_judged(clients: Clients) -> None:
    faithful, correct = evaluated(FaithfulnessEvaluator, clients), evaluated(CorrectnessEvaluator, clients)
    assert faithful.calls(Query(QUESTION), Reply(SUPPORTED), "cheap", "judge") == ()
    assert correct.calls(Query(QUESTION), Reply(""), "cheap", "judge") == ()
    assert len(correct.calls(Query(QUESTION), Reply(SUPPORTED), "cheap", "judge")) == 1
    assert faithful.read([], "cheap", 0.0).score is None


class _Short(BaseEvaluator):
    """One's own evaluator, without an LLM."""

    async def aevaluate(self, query: Any = None, response: Any = None, contexts: Any = None, **_: Any) -> Any:
        return EvaluationResult(passing=len(response or "") < 60, feedback="counted")

    def _get_prompts(self) -> Any:
        return {}

    def _update_prompts(self, prompts: Any) -> None:
        return None


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_evaluator_without_a_model_sees_every_draft_for_nothing(asynchronous: bool, clients: Clients) -> None:
    judge = EvaluatorJudge(_Short())
    assert (judge.name, judge.free, judge.model) == ("_short", True, None)
    llm = EMAFusion([clients.candidate("cheap"), clients.candidate("dear")], judges=[judge])
    turn = [ChatMessage(role="user", content="Say violet")]
    _ = await llm.achat(turn) if asynchronous else llm.chat(turn)
    assert llm.last_decision is not None
    (verdict,) = (v for v in llm.last_decision.verdicts if v.judge == "_short")
    assert (verdict.score, verdict.reason, verdict.cost_usd) == (0.9, "counted", 0.0)


async def test_an_evaluator_that_breaks_abstains_and_the_answer_stands(clients: Clients) -> None:
    llm = fused(clients, evaluated(CorrectnessEvaluator, clients), SUPPORTED)
    clients.server.add(LoopbackModel("judge", error_status=500))
    assert (await llm.acomplete(QUESTION)).text == SUPPORTED
    assert llm.last_decision is not None
    assert any("judge 'correctness' failed and abstains" in w for w in llm.last_decision.warnings)


def test_what_cannot_judge_is_refused_with_advice(clients: Clients) -> None:
    with pytest.raises(ConfigError, match="expected an evaluator"):
        EvaluatorJudge(FaithfulnessEvaluator)
    with pytest.raises(ConfigError, match="no price is known"):
        EvaluatorJudge(FaithfulnessEvaluator(llm=MockLLM()))
    llm = EMAFusion([clients.candidate("cheap")])
    with pytest.raises(ConfigError, match="is an EMAFusion"):
        EvaluatorJudge(FaithfulnessEvaluator(llm=llm))
    with pytest.raises(ConfigError, match="least, greatest"):
        evaluated(CorrectnessEvaluator, clients, scale=(5.0, 1.0))


async def test_the_users_evaluator_is_left_as_it_was(clients: Clients) -> None:
    model = clients.model("judge")
    evaluator = FaithfulnessEvaluator(llm=model)
    before = dict(vars(evaluator))
    clients.server.add(LoopbackModel("judge", "YES"))
    judge = EvaluatorJudge(evaluator, price=Price(1, 1))
    assert (await verdict_of(judge)).score == 0.9
    assert vars(evaluator) == before
    assert evaluator._llm is model
