"""Observers see every real call once, one decision a request, and all of it under the caller's span."""

from __future__ import annotations

import time
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.instrumentation.span import active_span_id

from emafusion.config import Candidate
from llamaindex_emafusion import EMAFusionDecisionEvent
from llamaindex_emafusion.testing import listening
from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Cascade, Direct, ScriptedEMAFusion
from tests.loopback_model import LoopbackModel

CASCADE = Cascade((("cheap",), ("dear",)), "judge", escalations=1)


@pytest.fixture(autouse=True)
def _judge(clients: Clients) -> None:
    clients.server.add(LoopbackModel("judge", "0.9"))


def decisions(events: list[Any]) -> list[EMAFusionDecisionEvent]:
    return [e for e in events if isinstance(e, EMAFusionDecisionEvent)]


def test_one_decision_event_tells_forecast_verdicts_cost_and_saving(clients: Clients) -> None:
    llm = clients.scripted(CASCADE)
    with listening() as events:
        shown = llm.complete("Say violet").additional_kwargs["emafusion"]
    (event,) = decisions(events)
    assert event.decision_id == shown["id"]
    assert event.answered_by == "dear"
    assert event.cost_usd == shown["cost"] > event.judge_cost_usd > 0
    assert event.saved_usd == shown["saved"]
    assert set(event.forecast) == {"cheap", "dear", "judge"}
    assert [a["candidate"] for a in event.attempts] == ["cheap", "dear"]
    assert [v["score"] for v in event.verdicts] == [0.9, 0.9]
    assert event.model_dump()["class_name"] == "EMAFusionDecisionEvent"


async def test_streams_announce_their_decision_too(clients: Clients) -> None:
    with listening() as events:
        list(clients.scripted(Direct(("cheap",))).stream_complete("hi"))
        async for _ in await clients.scripted(CASCADE).astream_complete("hi"):
            pass
    assert [e.answered_by for e in decisions(events)] == ["cheap", "dear"]


def test_calls_and_decision_belong_to_the_callers_span(clients: Clients) -> None:
    with listening() as events:
        clients.scripted(CASCADE).chat([ChatMessage(content="hi")])
        list(clients.scripted(Direct(("cheap",))).stream_chat([ChatMessage(content="hi")]))
    chat, stream = decisions(events)
    assert chat.span_id is not None
    assert chat.span_id.startswith("ScriptedEMAFusion.chat-")
    assert stream.span_id is not None
    assert stream.span_id.startswith("ScriptedEMAFusion.stream_chat-")
    assert active_span_id.get() is None


def test_the_callback_manager_reaches_drafts_and_judges(clients: Clients) -> None:
    llm = clients.scripted(CASCADE)
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm.callback_manager = CallbackManager([debug])
    llm.complete("hi")
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 4  # two drafts, two judgements
    assert not clients.model("cheap").callback_manager.handlers


def test_a_models_own_listeners_keep_listening(clients: Clients) -> None:
    own, outer = TokenCountingHandler(tokenizer=str.split), TokenCountingHandler(tokenizer=str.split)
    candidate = clients.candidate("cheap", callback_manager=CallbackManager([own]))
    llm = ScriptedEMAFusion([candidate], script=Direct(("cheap",)))
    llm.complete("hi")
    assert own.total_llm_token_count > 0
    alone = own.total_llm_token_count
    llm.callback_manager = CallbackManager([outer])
    llm.complete("hi")
    assert own.total_llm_token_count == 2 * alone
    assert outer.total_llm_token_count == alone


def test_the_users_model_is_copied_once_and_never_changed(clients: Clients) -> None:
    candidate = clients.candidate("cheap")
    model = candidate.model
    before = dict(model.__dict__)
    llm = ScriptedEMAFusion([candidate], script=Direct(("cheap",)))
    llm.callback_manager = CallbackManager([TokenCountingHandler(tokenizer=str.split)])
    for _ in range(3):
        llm.complete("hi")
    assert model.__dict__ == before
    assert len(llm._bound._kept) == 1
    model.temperature = 0.7  # the user's change reaches the next request
    llm.complete("hi")
    assert clients.server.requests[-1]["temperature"] == 0.7


def test_a_judge_is_asked_with_the_sampling_that_the_core_wants(clients: Clients) -> None:
    clients.scripted(CASCADE).complete("hi", temperature=0.9)
    draft, judge = clients.server.requests[0], clients.server.requests[1]
    assert (draft["model"], draft["temperature"], draft["max_tokens"]) == ("cheap", 0.9, 512)
    assert (judge["model"], judge["temperature"], judge["max_tokens"]) == ("judge", 0.0, 5)
    assert [m["role"] for m in judge["messages"]] == ["system", "user"]


@pytest.fixture
def rate_limiter() -> Any:
    """The framework's module of that name; older versions limit no rates."""
    return pytest.importorskip("llama_index.core.rate_limiter")


async def test_the_rate_limiter_holds_for_every_real_call(clients: Clients, rate_limiter: Any) -> None:
    class Counting(rate_limiter.TokenBucketRateLimiter):  # type: ignore[misc]
        acquired: int = 0

        def acquire(self, num_tokens: int = 0) -> None:
            self.acquired += 1

        async def async_acquire(self, num_tokens: int = 0) -> None:
            self.acquired += 1

    limiter = Counting(requests_per_minute=60)
    llm = clients.scripted(CASCADE, rate_limiter=limiter)
    llm.complete("hi")
    assert limiter.acquired == 4
    await llm.acomplete("hi")
    assert limiter.acquired == 8
    live = clients.scripted(Direct(("cheap",)), rate_limiter=limiter)
    list(live.stream_complete("hi"))
    async for _ in await live.astream_complete("hi"):
        pass
    assert limiter.acquired == clients.server.count() == 10


def test_a_rate_limiter_slows_a_cascade_down(clients: Clients, rate_limiter: Any) -> None:
    llm = clients.scripted(CASCADE, rate_limiter=rate_limiter.TokenBucketRateLimiter(requests_per_minute=3))
    start = time.perf_counter()
    limiter: Any = llm.rate_limiter
    limiter._request_refill_rate = 5.0  # tokens a second, so that the fourth call waits 0.2 s rather than 20
    llm.complete("hi")
    assert time.perf_counter() - start > 0.1


def test_observing_costs_the_price_of_nothing_when_nobody_observes(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate: Candidate = clients.candidate("cheap")
    llm = ScriptedEMAFusion([candidate], script=Direct(("cheap",)))
    with monkeypatch.context() as patched:
        patched.setattr(EMAFusionDecisionEvent, "of", None)  # would raise, were an event made
        llm.complete("hi")
    assert llm._bound._kept == {}  # the user's own model object made the call
