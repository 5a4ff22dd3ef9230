"""A behaviour suite for routing chat models: what LangChain's own suites do not look at. Needs pytest-asyncio.

Subclass :class:`RoutingBehaviour`, say how routers over your candidates are made, and let pytest collect it::

    class TestMine(RoutingBehaviour):
        answer, draft = "The final answer.", "A rejected draft."

        def answering(self, **fields):
            return ChatEMAFusion([cheap, dear], **fields)
        ...
"""

from __future__ import annotations

import asyncio
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from pydantic import BaseModel

__all__ = ["Booking", "RoutingBehaviour", "read"]

STREAMS = ("stream", "astream", "astream_events v2", "stream_events v3", "astream_events v3", "langgraph messages")
CALLS = ("invoke", "ainvoke", "stream", "astream", "generate")


class Booking(BaseModel):
    """A booking."""

    city: str
    people: int


class _Turnstile(BaseRateLimiter):
    def __init__(self) -> None:
        self.passed = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.passed += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


class _Ends(BaseCallbackHandler):
    run_inline = True

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.texts.append(response.generations[0][0].text)


class _Roots(BaseTracer):
    run_inline = True

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


async def read(llm: Any, question: str, mode: str) -> str:
    """All text that a consumer of this streaming mode reads, put together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # v3 events are in beta
        return "".join([piece async for piece in _pieces(llm, question, mode)])


async def _pieces(llm: Any, question: str, mode: str) -> AsyncIterator[str]:
    if mode == "stream":
        for chunk in llm.stream(question):
            yield str(chunk.text)
    elif mode == "astream":
        async for chunk in llm.astream(question):
            yield str(chunk.text)
    elif mode == "astream_events v2":
        async for event in llm.astream_events(question, version="v2"):
            if event["event"] == "on_chat_model_stream":
                yield str(event["data"]["chunk"].text)
    elif mode == "stream_events v3":
        for event in llm.stream_events(question, version="v3"):
            yield _delta(event)
    elif mode == "astream_events v3":
        async for event in await llm.astream_events(question, version="v3"):
            yield _delta(event)
    else:
        async for message, _ in _graph(llm).astream({"messages": [HumanMessage(question)]}, stream_mode="messages"):
            if isinstance(message, AIMessage):
                yield str(message.text)


def _delta(event: Any) -> str:
    return str(event["delta"].get("text", "")) if event["event"] == "content-block-delta" else ""


def _graph(llm: Any) -> Any:
    from langgraph.graph import END, START, MessagesState, StateGraph

    async def say(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await llm.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("say", say)
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    return graph.compile()


async def _call(llm: Any, asked: Any, way: str, config: Any = None) -> Any:
    if way == "invoke":
        return llm.invoke(asked, config)
    if way == "ainvoke":
        return await llm.ainvoke(asked, config)
    if way == "generate":
        return (
            llm.generate([[HumanMessage(asked)]], callbacks=(config or {}).get("callbacks")).generations[0][0].message
        )
    pieces = list(llm.stream(asked, config)) if way == "stream" else [p async for p in llm.astream(asked, config)]
    if not isinstance(pieces[0], AIMessage):  # structured output: the last piece is the whole
        return pieces[-1]
    return pieces[0] + pieces[1:] if len(pieces) > 1 else pieces[0]


class RoutingBehaviour(ABC):
    """What a person who puts a router in the place of a model may rely on.

    Four methods make routers (``**fields`` go to the constructor); all else is tested over them.
    """

    question = "What do you say?"
    answer: str
    """What the accepted candidate says to ``question``."""
    draft: str | None = None
    """What a rejected candidate says to it, which nobody may see."""

    @abstractmethod
    def answering(self, **fields: Any) -> Any:
        """A router that says ``answer``."""

    @abstractmethod
    def echoing(self) -> Any:
        """A router whose candidates repeat what they are asked."""

    @abstractmethod
    def booking(self) -> Any:
        """A router whose candidates book Rome for 3 people, however :class:`Booking` is asked for."""

    @abstractmethod
    def calling(self) -> Any:
        """A router whose candidates call the first tool that they are offered."""

    def slow(self) -> Any:
        """A router whose answer takes a second or more; by default, that is not tested."""
        pytest.skip("no slow router was given")

    @pytest.mark.parametrize("mode", STREAMS)
    async def test_a_consumer_reads_the_answer_once_and_no_draft(self, mode: str) -> None:
        if "v3" in mode and not hasattr(BaseChatModel, "_chat_model_stream_v3"):
            pytest.skip("this version of langchain-core has no v3 events")
        text = await read(self.answering(), self.question, mode)
        assert text == self.answer
        assert self.draft is None or self.draft not in text

    @pytest.mark.parametrize("way", CALLS)
    async def test_usage_is_counted_once(self, way: str) -> None:
        with get_usage_metadata_callback() as counted:
            message = await _call(self.answering(), self.question, way)
        (total,) = counted.usage_metadata.values()
        for key in ("input_tokens", "output_tokens"):
            assert total[key] == message.usage_metadata[key] > 0

    @pytest.mark.parametrize("way", [w for w in CALLS if w != "generate"])
    async def test_a_request_is_one_run_with_a_model_run_for_each_call(self, way: str) -> None:
        roots = _Roots()
        message = await _call(self.answering(), self.question, way, {"callbacks": [roots]})
        (root,) = roots.runs
        told = message.response_metadata["emafusion"]
        assert root.run_type == "chain"
        assert {run.run_type for run in root.child_runs} == {"llm"}
        names = [run.name for run in root.child_runs]
        for attempt in told["attempts"]:
            assert sum(name.endswith(f": {attempt['candidate']}") for name in names) >= 1
        assert len(names) >= len(told["attempts"])

    @pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
    @pytest.mark.parametrize("way", [w for w in CALLS if w != "generate"])
    async def test_structured_output_is_an_instance_of_its_schema(self, method: str, way: str) -> None:
        runnable = self.booking().with_structured_output(Booking, method=method)
        assert await _call(runnable, "Book 'Rome' for 3 people, as JSON.", way) == Booking(city="Rome", people=3)

    def test_a_tool_loop_stays_with_its_candidate(self) -> None:
        tool = {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}}
        bound = self.calling().bind_tools([tool])
        history: list[Any] = [HumanMessage("Use look.")]
        first = bound.invoke(history)
        (call,) = first.tool_calls
        told = bound.invoke([*history, first, ToolMessage("seen", tool_call_id=call["id"])]).response_metadata
        assert told["emafusion"]["sticky"] is True
        assert told["emafusion"]["answered_by"] == first.response_metadata["emafusion"]["answered_by"]

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
    async def test_constructor_callbacks_hear_the_answer_once(self, way: str) -> None:
        heard = _Ends()
        await _call(self.answering(callbacks=[heard]), self.question, way)
        assert heard.texts == [self.answer]

    async def test_the_rate_limiter_counts_requests(self) -> None:
        limiter = _Turnstile()
        llm = self.answering(rate_limiter=limiter)
        for way in CALLS:
            await _call(llm, self.question, way)
        assert limiter.passed == len(CALLS)

    async def test_a_cached_answer_costs_nothing(self) -> None:
        llm = self.answering(cache=InMemoryCache())
        first = llm.invoke(self.question)
        for again in (llm.invoke(self.question), await llm.ainvoke(self.question)):
            assert again.text == first.text
            assert again.response_metadata["emafusion"]["cached"] is True
            assert again.response_metadata["emafusion"]["cost"] == 0.0

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
    async def test_v1_content_is_one_block_of_text(self, way: str) -> None:
        message = await _call(self.answering(output_version="v1"), self.question, way)
        blocks = [(b["type"], b["text"]) for b in message.content]
        assert blocks == [("text", self.answer)]

    async def test_a_cancelled_stream_ends_at_once(self) -> None:
        llm, began, pieces = self.slow(), asyncio.Event(), []

        async def consume() -> None:
            async for piece in llm.astream(self.question):
                pieces.append(piece)
                began.set()

        task = asyncio.create_task(consume())
        await asyncio.wait({asyncio.ensure_future(began.wait()), task}, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
        read = len(pieces)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5.0)
        assert len(pieces) == read

    async def test_two_hundred_requests_at_once_get_each_its_own_answer(self) -> None:
        llm = self.echoing()
        asked = [f"Say number {i}, please, and nothing else at all." for i in range(200)]
        answers = await asyncio.gather(*(llm.ainvoke(text) for text in asked))
        assert [a.text for a in answers] == asked
        assert len({a.response_metadata["emafusion"]["id"] for a in answers}) == len(asked)

    def test_threads_share_one_object(self) -> None:
        llm = self.echoing()
        asked = [f"Say number {i}, please, and nothing else at all." for i in range(16)]
        with ThreadPoolExecutor(8) as threads:
            assert [a.text for a in threads.map(llm.invoke, asked)] == asked
