"""How the calls of one request reach the candidates' models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation.span import active_span_id
from llama_index.core.llms.llm import LLM

from emafusion.config import Candidate
from emafusion.engine.retries import NEVER, Retries
from emafusion.engine.windows import Windows
from emafusion.types import Call, Reply, Usage
from llamaindex_emafusion.bound import BoundModels
from llamaindex_emafusion.messages import from_turns
from llamaindex_emafusion.portable import Reader, portable
from llamaindex_emafusion.replies import finish_reason_of, reply_from, says, stamped, usage_of
from llamaindex_emafusion.resolve import metadata_of
from llamaindex_emafusion.tools import ToolOffer

__all__ = ["ModelTransport"]


@dataclass(frozen=True, slots=True)
class ModelTransport:
    """Replays the caller's request on a candidate, or puts a judge's question to one.

    Every call goes through a public method of the model, so that the model itself reports it (one start and one end
    event a call), under the span of the caller's request.
    """

    model: Callable[[str], Candidate]
    messages: Sequence[ChatMessage]
    arguments: dict[str, Any]
    offer: ToolOffer | None
    callback_manager: CallbackManager
    bound: BoundModels
    limiter: Any = None
    retries: Retries = NEVER
    windows: Windows = field(init=False)
    span_id: str | None = field(default_factory=active_span_id.get)

    def __post_init__(self) -> None:
        object.__setattr__(self, "windows", Windows(self.model))

    def retries_of(self, call: Call) -> Retries:
        """The router's retries, less those that the candidate's client makes by itself."""
        own = getattr(self.model(call.candidate).model, "max_retries", None)
        return self.retries.beside(max(0, own)) if isinstance(own, int) else self.retries

    def call(self, call: Call) -> Reply:
        model = self._model(call)
        if self.limiter is not None:
            self.limiter.acquire()
        with self._span(), self.windows.noted(call):
            if call.prompt is None and self.offer is not None:
                response = model.chat_with_tools(**self._offered(call, model))  # type: ignore[attr-defined]
            else:
                response = model.chat(self._messages(call, model), **self._arguments(call))
        return reply_from(response, model)

    async def acall(self, call: Call) -> Reply:
        model = self._model(call)
        if self.limiter is not None:
            await self.limiter.async_acquire()
        with self._span(), self.windows.noted(call):
            if call.prompt is None and self.offer is not None:
                response = await model.achat_with_tools(**self._offered(call, model))  # type: ignore[attr-defined]
            else:
                response = await model.achat(self._messages(call, model), **self._arguments(call))
        return reply_from(response, model)

    def stream(self, call: Call) -> Iterator[ChatResponse | Reply]:
        model = self._model(call)
        if self.limiter is not None:
            self.limiter.acquire()
        with self._span(), self.windows.noted(call):
            if self.offer is not None:
                chunks = model.stream_chat_with_tools(**self._offered(call, model))  # type: ignore[attr-defined]
            else:
                chunks = model.stream_chat(self._messages(call, model), **self._arguments(call))
        heard = _Heard()
        with self.windows.noted(call), closing(chunks):
            for chunk in chunks:
                heard.add(chunk)
                yield stamped(chunk, call.candidate)
        yield heard.reply(call.candidate, model)

    async def astream(self, call: Call) -> AsyncIterator[ChatResponse | Reply]:
        model = self._model(call)
        if self.limiter is not None:
            await self.limiter.async_acquire()
        with self._span(), self.windows.noted(call):
            if self.offer is not None:
                chunks = await model.astream_chat_with_tools(  # type: ignore[attr-defined]
                    **self._offered(call, model)
                )
            else:
                chunks = await model.astream_chat(self._messages(call, model), **self._arguments(call))
        heard = _Heard()
        with self.windows.noted(call):
            async with aclosing(chunks):
                async for chunk in chunks:
                    heard.add(chunk)
                    yield stamped(chunk, call.candidate)
        yield heard.reply(call.candidate, model)

    def says(self, chunk: ChatResponse) -> bool:
        """Whether a chunk tells a consumer anything, so that there is no way back after it."""
        return says(chunk)

    # -- what a call is made of ------------------------------------------------------------------------------

    def _model(self, call: Call) -> LLM:
        self.windows.check(call)
        model: LLM = self.model(call.candidate).model
        return self.bound.bind(model, self.callback_manager, call)

    def _messages(self, call: Call, model: LLM) -> list[ChatMessage]:
        metadata = metadata_of(model)
        system = metadata.system_role if metadata else MessageRole.SYSTEM
        if call.prompt is not None:
            return from_turns(call.prompt, system)
        return portable(self.messages, Reader.of(call.candidate, model, system))

    def _arguments(self, call: Call) -> dict[str, Any]:
        return dict(self.arguments) if call.prompt is None else {}

    def _offered(self, call: Call, model: LLM) -> dict[str, Any]:
        assert self.offer is not None
        return {**self.offer.as_arguments(), "chat_history": self._messages(call, model), **self.arguments}

    @contextmanager
    def _span(self) -> Iterator[None]:
        """The caller's span around a call: a stream's body runs after the caller's method has returned."""
        token = active_span_id.set(self.span_id)
        try:
            yield
        finally:
            active_span_id.reset(token)


@dataclass(slots=True)
class _Heard:
    """What a stream has told so far."""

    last: ChatResponse | None = None
    usage: Usage | None = None
    finish: str | None = None

    def add(self, chunk: ChatResponse) -> None:
        self.last = chunk
        self.usage = usage_of(chunk) or self.usage
        self.finish = finish_reason_of(chunk.raw) or self.finish

    def reply(self, candidate: str, model: LLM) -> Reply:
        if self.last is None:
            raise RuntimeError(f"the stream of {candidate!r} ended before it began")
        return reply_from(self.last, model, usage=self.usage, finish=self.finish)
