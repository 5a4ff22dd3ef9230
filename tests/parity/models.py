"""The scripted models as each framework wants them, and one way to put a task to either adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata, TextBlock, ToolCallBlock
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool

from langchain_emafusion import ChatEMAFusion
from llamaindex_emafusion import EMAFusion
from tests.parity.workload import SCHEMA, TOOL, Said, Task, said_by

__all__ = ["FORMAT", "LangChainModel", "LlamaIndexModel", "OverLangChain", "OverLlamaIndex"]

FORMAT = {"type": "json_schema", "json_schema": {"name": "Count", "schema": SCHEMA}}


class LangChainModel(BaseChatModel):
    """A scripted model for LangChain."""

    model: str

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=list(tools), **kwargs)

    def _message(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        said = _answer(
            self.model,
            [(m.type, str(m.text)) for m in messages],
            tools=bool(kwargs.get("tools")),
            schema="response_format" in kwargs,
        )
        return AIMessage(
            said.text,
            tool_calls=[{"name": c.name, "args": dict(c.arguments), "id": c.id} for c in said.calls],
            response_metadata={"finish_reason": said.finish, "model_name": self.model},
            usage_metadata={
                "input_tokens": said.input_tokens,
                "output_tokens": said.output_tokens,
                "total_tokens": said.input_tokens + said.output_tokens,
            },
        )

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return ChatResult(generations=[ChatGeneration(message=self._message(messages, kwargs))])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Any:
        return self._generate(messages, **kwargs)

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        whole = self._message(messages, kwargs)
        for word in str(whole.text).split(" ")[:-1]:
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} "))
        rest = AIMessageChunk(
            content=str(whole.text).split(" ")[-1],
            tool_calls=whole.tool_calls,
            response_metadata=whole.response_metadata,
            usage_metadata=whole.usage_metadata,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=rest)


class LlamaIndexModel(FunctionCallingLLM):
    """The same for LlamaIndex."""

    model: str

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_chat_model=True, is_function_calling_model=True)

    def _prepare_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, *_: Any, **__: Any
    ) -> Any:
        return {"messages": list(chat_history or ()), "tools": list(tools)}

    def _response(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> ChatResponse:
        said = _answer(
            self.model,
            [(m.role.value, m.content or "") for m in messages],
            tools=bool(kwargs.get("tools")),
            schema="response_format" in kwargs,
        )
        blocks: list[Any] = [TextBlock(text=said.text)] if said.text else []
        blocks += [
            ToolCallBlock(tool_call_id=c.id, tool_name=c.name, tool_kwargs=dict(c.arguments)) for c in said.calls
        ]
        raw = {
            "choices": [{"finish_reason": said.finish}],
            "usage": {"prompt_tokens": said.input_tokens, "completion_tokens": said.output_tokens},
        }
        return ChatResponse(message=ChatMessage(role="assistant", blocks=blocks), raw=raw)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._response(messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._response(messages, kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        return self._chunks(self._response(messages, kwargs))

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        whole = self._response(messages, kwargs)

        async def chunks() -> AsyncIterator[ChatResponse]:
            for chunk in self._chunks(whole):
                yield chunk

        return chunks()

    @staticmethod
    def _chunks(whole: ChatResponse) -> Iterator[ChatResponse]:
        words = (whole.message.content or "").split(" ")
        for i, word in enumerate(words[:-1]):
            so_far = ChatMessage(role="assistant", content=" ".join(words[: i + 1]) + " ")
            yield ChatResponse(message=so_far, delta=f"{word} ", raw={})
        yield whole.model_copy(update={"delta": words[-1]})

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise AssertionError("candidates are asked by chat")

    acomplete = stream_complete = astream_complete = complete


def _answer(model: str, turns: list[tuple[str, str]], *, tools: bool, schema: bool) -> Said:
    """What a model says to a history, by (role, text)."""
    last = max(i for i, (role, _) in enumerate(turns) if role in ("user", "human"))
    system = "\n".join(text for role, text in turns if role == "system")
    results = " ".join(text for role, text in turns[last:] if role == "tool")
    return said_by(model, system, turns[last][1], tools=tools, schema=schema, results=results)


class OverLangChain:
    """Puts tasks to ``ChatEMAFusion``."""

    def __init__(self, llm: ChatEMAFusion) -> None:
        self.llm = llm

    def _asked(self, task: Task) -> tuple[Any, list[BaseMessage], dict[str, Any]]:
        llm: Any = self.llm.bind_tools([TOOL]) if task.tools else self.llm
        given = {"objective": task.objective, "model": task.model, "response_format": FORMAT if task.schema else None}
        return llm, [self._message(m) for m in task.turns], {k: v for k, v in given.items() if v is not None}

    @staticmethod
    def _message(turn: Any) -> BaseMessage:
        if turn.role == "assistant":
            return AIMessage(
                turn.text,
                tool_calls=[{"name": c.name, "args": dict(c.arguments), "id": c.id} for c in turn.tool_calls],
            )
        if turn.role == "tool":
            return ToolMessage(turn.text, tool_call_id="call")
        return (SystemMessage if turn.role == "system" else HumanMessage)(turn.text)

    def ask(self, task: Task) -> None:
        llm, messages, given = self._asked(task)
        llm.invoke(messages, **given)

    async def aask(self, task: Task) -> None:
        llm, messages, given = self._asked(task)
        await llm.ainvoke(messages, **given)

    def stream(self, task: Task) -> None:
        llm, messages, given = self._asked(task)
        for _ in llm.stream(messages, **given):
            pass

    async def astream(self, task: Task) -> None:
        llm, messages, given = self._asked(task)
        async for _ in llm.astream(messages, **given):
            pass


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


class OverLlamaIndex:
    """Puts tasks to ``EMAFusion``."""

    def __init__(self, llm: EMAFusion) -> None:
        self.llm = llm
        self.tool = FunctionTool.from_defaults(add)
        self.tool.metadata.to_openai_tool = lambda **_: TOOL  # type: ignore[method-assign]  # the very same words

    def _asked(self, task: Task) -> tuple[list[ChatMessage], dict[str, Any]]:
        given = {
            "objective": task.objective,
            "model": task.model,
            "response_format": FORMAT if task.schema else None,
            "tools": [self.tool] if task.tools else None,
        }
        return [self._message(m) for m in task.turns], {k: v for k, v in given.items() if v is not None}

    @staticmethod
    def _message(turn: Any) -> ChatMessage:
        blocks: list[Any] = [TextBlock(text=turn.text)] if turn.text else []
        blocks += [
            ToolCallBlock(tool_call_id=c.id, tool_name=c.name, tool_kwargs=dict(c.arguments)) for c in turn.tool_calls
        ]
        extra = {"tool_call_id": "call"} if turn.role == "tool" else {}
        return ChatMessage(role=turn.role, blocks=blocks, additional_kwargs=extra)

    def ask(self, task: Task) -> None:
        messages, given = self._asked(task)
        if task.tools:
            self.llm.chat_with_tools(chat_history=messages, **given)
        else:
            self.llm.chat(messages, **given)

    async def aask(self, task: Task) -> None:
        messages, given = self._asked(task)
        if task.tools:
            await self.llm.achat_with_tools(chat_history=messages, **given)
        else:
            await self.llm.achat(messages, **given)

    def stream(self, task: Task) -> None:
        messages, given = self._asked(task)
        chunks = self.llm.stream_chat_with_tools(chat_history=messages, **given) if task.tools else None
        for _ in chunks or self.llm.stream_chat(messages, **given):
            pass

    async def astream(self, task: Task) -> None:
        messages, given = self._asked(task)
        if task.tools:
            chunks = await self.llm.astream_chat_with_tools(chat_history=messages, **given)
        else:
            chunks = await self.llm.astream_chat(messages, **given)
        async for _ in chunks:
            pass
