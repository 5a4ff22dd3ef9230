"""A contract that any chat LLM of LlamaIndex should keep, as a class of tests to subclass (needs pytest-asyncio).

    class TestMyLLM(LLMContract):
        @pytest.fixture
        def llm(self) -> FunctionCallingLLM:
            return MyLLM(...)

The model behind ``llm`` should repeat what it is told and call the tools that the prompt names, with the numbers and
the words in single quotes that the prompt holds as arguments; a small server that does is enough. Override
``slow_llm``, ``real_calls`` and ``reported_tokens`` to have more checked.

``pytest.register_assert_rewrite("llamaindex_emafusion.testing")`` in ``conftest.py`` makes failures tell what they saw.
LlamaIndex reads a streamed instance of a class from ``message.additional_kwargs["tool_calls"]``, not from blocks alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.base import BaseEvent
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel, PrivateAttr

__all__ = ["LLMContract", "Person", "listening"]


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two integers."""
    return a * b


class _Listener(BaseEventHandler):
    _events: list[BaseEvent] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "ContractListener"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self._events.append(event)

    @property
    def events(self) -> list[BaseEvent]:
        return self._events


@contextmanager
def listening() -> Iterator[list[BaseEvent]]:
    """Every event of the instrumentation dispatcher while the block runs."""
    listener, root = _Listener(), get_dispatcher()
    root.add_event_handler(listener)
    try:
        yield listener.events
    finally:
        root.event_handlers.remove(listener)


def user(text: str) -> ChatMessage:
    return ChatMessage(role=MessageRole.USER, content=text)


def joined(chunks: list[Any]) -> str:
    return "".join(c.delta or "" for c in chunks)


class LLMContract:
    """What every chat LLM owes its callers."""

    keeps_tool_history = True
    """False where ``chat_with_tools`` is known to append to the caller's ``chat_history``."""

    @pytest.fixture
    def llm(self) -> FunctionCallingLLM:
        raise NotImplementedError("subclasses give the LLM under test")

    @pytest.fixture
    def slow_llm(self) -> FunctionCallingLLM:
        """An LLM that takes a second or more to answer."""
        pytest.skip("no slow LLM was given")

    def real_calls(self) -> int | None:
        """How many calls reached a model so far; None where nobody counts."""
        return None

    def reported_tokens(self) -> tuple[int, int] | None:
        """Input and output tokens that the provider reported so far; None where nobody counts."""
        return None

    @pytest.fixture
    def tools(self) -> list[Any]:
        return [FunctionTool.from_defaults(add), FunctionTool.from_defaults(multiply)]

    # -- the eight methods -----------------------------------------------------------------------------------

    def test_chat_answers(self, llm: FunctionCallingLLM) -> None:
        response = llm.chat([ChatMessage(role=MessageRole.SYSTEM, content="Be brief."), user("Say violet")])
        assert response.message.role == MessageRole.ASSISTANT
        assert "violet" in (response.message.content or "")
        assert response.raw is not None

    def test_complete_answers(self, llm: FunctionCallingLLM) -> None:
        response = llm.complete("Say violet")
        assert "violet" in response.text
        assert response.raw is not None

    def test_stream_chat_gives_deltas_and_the_text_so_far(self, llm: FunctionCallingLLM) -> None:
        self._check_chat_chunks(list(llm.stream_chat([user("Say violet twice")])))

    def test_stream_complete_gives_deltas_and_the_text_so_far(self, llm: FunctionCallingLLM) -> None:
        chunks = list(llm.stream_complete("Say violet twice"))
        assert "violet" in chunks[-1].text
        assert joined(chunks) == chunks[-1].text

    @pytest.mark.asyncio
    async def test_achat_answers(self, llm: FunctionCallingLLM) -> None:
        assert "violet" in ((await llm.achat([user("Say violet")])).message.content or "")

    @pytest.mark.asyncio
    async def test_acomplete_answers(self, llm: FunctionCallingLLM) -> None:
        assert "violet" in (await llm.acomplete("Say violet")).text

    @pytest.mark.asyncio
    async def test_astream_chat_gives_deltas_and_the_text_so_far(self, llm: FunctionCallingLLM) -> None:
        self._check_chat_chunks([c async for c in await llm.astream_chat([user("Say violet twice")])])

    @pytest.mark.asyncio
    async def test_astream_complete_gives_deltas_and_the_text_so_far(self, llm: FunctionCallingLLM) -> None:
        chunks = [c async for c in await llm.astream_complete("Say violet twice")]
        assert "violet" in chunks[-1].text
        assert joined(chunks) == chunks[-1].text

    @staticmethod
    def _check_chat_chunks(chunks: list[ChatResponse]) -> None:
        so_far = ""
        for chunk in chunks:
            so_far += chunk.delta or ""
            assert (chunk.message.content or "") == so_far
        assert "violet" in so_far

    # -- tools -----------------------------------------------------------------------------------------------

    def test_a_tool_that_the_prompt_needs_is_called(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        response = llm.chat_with_tools(tools, "Use add on 2 and 3")
        (call,) = llm.get_tool_calls_from_response(response)
        assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 2, "b": 3})

    @pytest.mark.asyncio
    async def test_a_tool_is_called_when_asked_asynchronously(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        response = await llm.achat_with_tools(tools, "Use multiply on 4 and 5")
        (call,) = llm.get_tool_calls_from_response(response)
        assert (call.tool_name, call.tool_kwargs) == ("multiply", {"a": 4, "b": 5})

    def test_streamed_tool_arguments_are_whole_at_the_end(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        for chunk in llm.stream_chat_with_tools(tools, "Use add on 2 and 3"):
            calls = llm.get_tool_calls_from_response(chunk, error_on_no_tool_call=False)
        assert [c.tool_kwargs for c in calls] == [{"a": 2, "b": 3}]

    @pytest.mark.asyncio
    async def test_asynchronously_streamed_tool_arguments_are_whole_at_the_end(
        self, llm: FunctionCallingLLM, tools: list[Any]
    ) -> None:
        async for chunk in await llm.astream_chat_with_tools(tools, "Use add on 2 and 3"):
            calls = llm.get_tool_calls_from_response(chunk, error_on_no_tool_call=False)
        assert [c.tool_kwargs for c in calls] == [{"a": 2, "b": 3}]

    def test_parallel_calls_come_together_where_they_are_allowed(
        self, llm: FunctionCallingLLM, tools: list[Any]
    ) -> None:
        asked = "Use add and multiply on 2 and 3"
        several = llm.chat_with_tools(tools, asked, allow_parallel_tool_calls=True)
        assert [c.tool_name for c in llm.get_tool_calls_from_response(several)] == ["add", "multiply"]
        single = llm.chat_with_tools(tools, asked, allow_parallel_tool_calls=False)
        assert len(llm.get_tool_calls_from_response(single)) == 1

    @pytest.mark.asyncio
    async def test_parallel_calls_come_together_in_streams_too(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        asked = "Use add and multiply on 2 and 3"
        allowed: dict[str, Any] = {"allow_parallel_tool_calls": True}
        streamed = list(llm.stream_chat_with_tools(tools, asked, **allowed))
        astreamed = [c async for c in await llm.astream_chat_with_tools(tools, asked, **allowed)]
        whole = await llm.achat_with_tools(tools, asked, **allowed)
        for last in (streamed[-1], astreamed[-1], whole):
            assert [c.tool_name for c in llm.get_tool_calls_from_response(last)] == ["add", "multiply"]

    def test_a_call_can_be_forced_and_forbidden(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        forced = llm.chat_with_tools(tools, "Good morning", tool_required=True)
        assert llm.get_tool_calls_from_response(forced)
        named = llm.chat_with_tools(tools, "Good morning", tool_choice="multiply")
        assert llm.get_tool_calls_from_response(named)[0].tool_name == "multiply"
        forbidden = llm.chat_with_tools(tools, "Use add on 2 and 3", tool_choice="none")
        assert llm.get_tool_calls_from_response(forbidden, error_on_no_tool_call=False) == []
        with pytest.raises(ValueError, match="tool call"):
            llm.get_tool_calls_from_response(forbidden)

    @pytest.mark.asyncio
    async def test_a_call_can_be_forced_and_forbidden_asynchronously(
        self, llm: FunctionCallingLLM, tools: list[Any]
    ) -> None:
        for choice, called in (("required", True), ("none", False)):
            given: dict[str, Any] = {"tool_choice": choice}
            whole = await llm.achat_with_tools(tools, "Use add on 2 and 3", **given)
            chunks = [c async for c in await llm.astream_chat_with_tools(tools, "Use add on 2 and 3", **given)]
            for response in (whole, chunks[-1]):
                assert bool(llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)) is called

    def test_without_tools_it_simply_answers(self, llm: FunctionCallingLLM) -> None:
        response = llm.chat_with_tools([], "Say violet")
        assert "violet" in (response.message.content or "")
        assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []

    def test_a_tool_loop_can_go_on_from_its_own_message(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        history = [user("Use add on 2 and 3")]
        response = llm.chat_with_tools(tools, chat_history=list(history))
        (call,) = llm.get_tool_calls_from_response(response)
        result = ChatMessage(role=MessageRole.TOOL, content="five", additional_kwargs={"tool_call_id": call.tool_id})
        last = llm.chat_with_tools(tools, chat_history=[*history, response.message, result])
        assert "five" in (last.message.content or "")

    def test_predict_and_call_runs_the_tool(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        assert str(llm.predict_and_call(tools, "Use multiply on 6 and 7")) == "42"

    @pytest.mark.asyncio
    async def test_apredict_and_call_runs_the_tool(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        assert str(await llm.apredict_and_call(tools, "Use multiply on 6 and 7")) == "42"

    # -- structured output -----------------------------------------------------------------------------------

    def test_structured_predict_gives_an_instance(self, llm: FunctionCallingLLM) -> None:
        made = llm.structured_predict(Person, PromptTemplate("Who is {who}?"), who="'Ada', 36")
        assert made == Person(name="Ada", age=36)

    @pytest.mark.asyncio
    async def test_astructured_predict_gives_an_instance(self, llm: FunctionCallingLLM) -> None:
        made = await llm.astructured_predict(Person, PromptTemplate("Who is {who}?"), who="'Ada', 36")
        assert made == Person(name="Ada", age=36)

    def test_stream_structured_predict_ends_in_an_instance(self, llm: FunctionCallingLLM) -> None:
        made = list(llm.stream_structured_predict(Person, PromptTemplate("Use Person. Who is {who}?"), who="'Ada', 36"))
        assert made[-1].model_dump() == {"name": "Ada", "age": 36}

    @pytest.mark.asyncio
    async def test_astream_structured_predict_ends_in_an_instance(self, llm: FunctionCallingLLM) -> None:
        prompt = PromptTemplate("Use Person. Who is {who}?")
        made = [p async for p in await llm.astream_structured_predict(Person, prompt, who="'Ada', 36")]
        assert made[-1].model_dump() == {"name": "Ada", "age": 36}

    def test_as_structured_llm_answers_in_the_class(self, llm: FunctionCallingLLM) -> None:
        assert llm.as_structured_llm(Person).complete("Who is 'Ada', 36?").raw == Person(name="Ada", age=36)

    @pytest.mark.asyncio
    @pytest.mark.filterwarnings("ignore:The `json` method is deprecated")  # LlamaIndex calls it on each partial object
    async def test_as_structured_llm_answers_in_the_class_asynchronously_and_in_streams(
        self, llm: FunctionCallingLLM
    ) -> None:
        structured, asked = llm.as_structured_llm(Person), [user("Use Person. Who is 'Ada', 36?")]
        ada = {"name": "Ada", "age": 36}
        assert (await structured.achat(asked)).raw == Person(**ada)  # type: ignore[arg-type]
        assert list(structured.stream_chat(asked))[-1].raw.model_dump() == ada
        last = [c async for c in await structured.astream_chat(asked)][-1]
        assert last.raw.model_dump() == ada

    # -- manners ---------------------------------------------------------------------------------------------

    def test_the_callers_messages_stay_as_they_were(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        asked = llm.chat_with_tools(tools, "Use add on 1 and 2")
        (call,) = llm.get_tool_calls_from_response(asked)
        result = ChatMessage(role=MessageRole.TOOL, content="3", additional_kwargs={"tool_call_id": call.tool_id})
        history = [user("Use add on 1 and 2"), asked.message, result]
        before = [m.model_dump() for m in history]
        llm.chat(history)
        list(llm.stream_chat(history))
        if self.keeps_tool_history:
            llm.chat_with_tools(tools, "Use add on 3 and 4", chat_history=history)
            list(llm.stream_chat_with_tools(tools, "Use add on 3 and 4", chat_history=history))
        assert [m.model_dump() for m in history] == before

    @pytest.mark.asyncio
    async def test_the_callers_messages_stay_as_they_were_asynchronously(
        self, llm: FunctionCallingLLM, tools: list[Any]
    ) -> None:
        history = [ChatMessage(role=MessageRole.SYSTEM, content="Be brief."), user("Say violet")]
        before = [m.model_dump() for m in history]
        await llm.achat(history)
        async for _ in await llm.astream_chat(history):
            pass
        if self.keeps_tool_history:
            await llm.achat_with_tools(tools, "Use add on 3 and 4", chat_history=history)
        assert [m.model_dump() for m in history] == before

    def test_every_real_call_is_reported_once(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        already = self.real_calls()
        with listening() as events:
            llm.chat([user("Say violet")])
            list(llm.stream_chat([user("Say violet")]))
            llm.chat_with_tools(tools, "Use add on 2 and 3")
            list(llm.stream_chat_with_tools(tools, "Use add on 2 and 3"))
            llm.complete("Say violet")
            list(llm.stream_complete("Say violet"))
            llm.structured_predict(Person, PromptTemplate("Who is {who}?"), who="'Ada', 36")
        self._check_events(events, already, 7)

    @pytest.mark.asyncio
    async def test_every_real_asynchronous_call_is_reported_once(
        self, llm: FunctionCallingLLM, tools: list[Any]
    ) -> None:
        already = self.real_calls()
        with listening() as events:
            await llm.achat([user("Say violet")])
            async for _ in await llm.astream_chat([user("Say violet")]):
                pass
            await llm.achat_with_tools(tools, "Use add on 2 and 3")
            async for _ in await llm.astream_chat_with_tools(tools, "Use add on 2 and 3"):
                pass
            await llm.acomplete("Say violet")
            async for _ in await llm.astream_complete("Say violet"):
                pass
            await llm.astructured_predict(Person, PromptTemplate("Who is {who}?"), who="'Ada', 36")
        self._check_events(events, already, 7)

    def _check_events(self, events: list[BaseEvent], already: int | None, requests: int) -> None:
        seen = Counter(e.class_name() for e in events)
        starts = seen["LLMChatStartEvent"] + seen["LLMCompletionStartEvent"]
        ends = seen["LLMChatEndEvent"] + seen["LLMCompletionEndEvent"]
        assert starts == ends >= requests
        if already is not None:
            assert starts == (self.real_calls() or 0) - already

    def test_tokens_are_counted_once(self, llm: FunctionCallingLLM) -> None:
        counter, already = self._counting(llm)
        llm.chat([user("Say violet")])
        list(llm.stream_chat([user("Say violet twice")]))
        self._check_tokens(counter, already)

    @pytest.mark.asyncio
    async def test_tokens_are_counted_once_asynchronously(self, llm: FunctionCallingLLM, tools: list[Any]) -> None:
        counter, already = self._counting(llm)
        await llm.achat([user("Say violet")])
        async for _ in await llm.astream_chat([user("Say violet twice")]):
            pass
        await llm.achat_with_tools(tools, "Use add on 2 and 3")
        self._check_tokens(counter, already)

    def _counting(self, llm: FunctionCallingLLM) -> tuple[TokenCountingHandler, tuple[int, int] | None]:
        counter = TokenCountingHandler(tokenizer=str.split)
        llm.callback_manager = CallbackManager([counter])
        return counter, self.reported_tokens()

    def _check_tokens(self, counter: TokenCountingHandler, already: tuple[int, int] | None) -> None:
        assert counter.prompt_llm_token_count > 0
        assert counter.completion_llm_token_count > 0
        if already is not None:
            now = self.reported_tokens() or (0, 0)
            counted = (counter.prompt_llm_token_count, counter.completion_llm_token_count)
            assert counted == (now[0] - already[0], now[1] - already[1])

    @pytest.mark.asyncio
    async def test_thirty_requests_at_once_each_get_their_own_answer(self, llm: FunctionCallingLLM) -> None:
        responses = await asyncio.gather(*(llm.achat([user(f"Say colour-{i}-")]) for i in range(30)))
        assert all(f"colour-{i}-" in (r.message.content or "") for i, r in enumerate(responses))

    @pytest.mark.asyncio
    async def test_twelve_streams_at_once_each_get_their_own_answer(self, llm: FunctionCallingLLM) -> None:
        async def streamed(i: int) -> str:
            return joined([c async for c in await llm.astream_chat([user(f"Say colour-{i}-")])])

        texts = await asyncio.gather(*(streamed(i) for i in range(12)))
        assert all(f"colour-{i}-" in text for i, text in enumerate(texts))

    def test_twelve_threads_each_get_their_own_answer(self, llm: FunctionCallingLLM) -> None:
        with ThreadPoolExecutor(max_workers=12) as threads:
            texts = list(threads.map(lambda i: llm.complete(f"Say colour-{i}-").text, range(12)))
        assert all(f"colour-{i}-" in text for i, text in enumerate(texts))

    @pytest.mark.asyncio
    async def test_a_cancelled_request_stops_and_leaves_the_llm_usable(self, slow_llm: FunctionCallingLLM) -> None:
        task = asyncio.create_task(slow_llm.achat([user("Say violet")]))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "violet" in ((await slow_llm.achat([user("Say violet")])).message.content or "")

    @pytest.mark.asyncio
    async def test_a_cancelled_stream_stops_and_leaves_the_llm_usable(self, slow_llm: FunctionCallingLLM) -> None:
        async def streamed() -> str:
            return joined([c async for c in await slow_llm.astream_chat([user("Say violet")])])

        task = asyncio.create_task(streamed())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "violet" in await streamed()

    @pytest.mark.asyncio
    async def test_an_abandoned_stream_leaves_the_llm_usable(self, llm: FunctionCallingLLM) -> None:
        chunks = await llm.astream_chat([user("Say violet and many other colours")])
        await chunks.__anext__()
        await chunks.aclose()
        for chunk in llm.stream_chat([user("Say violet and many other colours")]):
            assert chunk.message
            break
        assert "violet" in (await llm.acomplete("Say violet")).text
