"""How the core's calls reach LangChain models, as runs nested below the request's own run.

A call that the engine marked ``live`` runs in the open, so that its tokens reach whoever streams; all others are
hidden (:mod:`langchain_emafusion.tracing`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, BaseCallbackHandler, CallbackManagerForChainRun
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig

from emafusion.engine.retries import NEVER, Retries
from emafusion.engine.windows import Windows
from emafusion.errors import AllCandidatesFailed
from emafusion.fusion import Fusion
from emafusion.types import Call, Reply, Result
from langchain_emafusion.client_retries import client_retries
from langchain_emafusion.messages import reply_of
from langchain_emafusion.rendering import BlockIndex, LastChunk, added_up, as_chunk, says, with_blocks, with_decision
from langchain_emafusion.replay import bound_model, draft_input, judge_arguments, judge_input, quiet, uncached
from langchain_emafusion.request import Request
from langchain_emafusion.tracing import call_config, muted, streams_to

__all__ = ["TracedTransport"]


class _TokenWatch(BaseCallbackHandler):
    """Notes whether a call began to stream to a consumer."""

    run_inline = True

    def __init__(self) -> None:
        self.began = False

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        message = getattr(chunk, "message", None)
        self.began = self.began or bool(token) or (message is not None and says(message))

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self.began = self.began or event.get("event") not in ("message-start", "error")


class TracedTransport:
    """One request's calls, and how its answer is handed over.

    Parameters
    ----------
    silent
        Hide every call, live or not (``disable_streaming``).
    blocks
        Hand content over as standard blocks (``output_version="v1"``).
    """

    cacheable = True
    run: CallbackManagerForChainRun | AsyncCallbackManagerForChainRun
    """The request's chain run; set when it is opened."""

    def __init__(
        self,
        fusion: Fusion,
        request: Request,
        *,
        retries: Retries = NEVER,
        silent: bool = False,
        blocks: bool = False,
    ) -> None:
        self.fusion = fusion
        self.request = request
        self.retries = retries
        self.silent = silent
        self._windows = Windows(fusion.model)
        self.blocks = BlockIndex() if blocks else None
        self.seen = False
        """Consumers have seen the accepted answer as it was written."""
        self._open: set[str] = set()
        """Candidates whose answers were written in the open."""
        self.broken: Exception | None = None
        """What ended a call after its first tokens had reached a consumer: from there on there is no fallback."""
        self._last = LastChunk()
        self._written: AIMessage | None = None
        """The answer as the candidate's stream wrote it."""

    # -- calls -------------------------------------------------------------------------------------------------

    def retries_of(self, call: Call) -> Retries:
        return self.retries.beside(client_retries(self.fusion.model(call.candidate).model))

    def call(self, call: Call) -> Reply:
        runnable, messages, config, arguments, watch = self._prepare(call)
        try:
            with muted(self._hidden(call)):
                output = runnable.invoke(messages, config, **arguments)
        except Exception as error:
            self._note(call, error, watch)
            raise
        return self._told(self._read(call, output), watch)

    async def acall(self, call: Call) -> Reply:
        runnable, messages, config, arguments, watch = self._prepare(call)
        try:
            with muted(self._hidden(call)):
                output = await runnable.ainvoke(messages, config, **arguments)
        except Exception as error:
            self._note(call, error, watch)
            raise
        return self._told(self._read(call, output), watch)

    def stream(self, call: Call) -> Iterator[Any]:
        runnable, messages, config, arguments, _ = self._prepare(call)
        chunks: list[AIMessageChunk] = []
        with self._windows.noted(call):
            for output in runnable.stream(messages, config, **arguments):
                chunks.append(as_chunk(output))
                yield chunks[-1]
        yield self._read(call, added_up(chunks))

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        runnable, messages, config, arguments, _ = self._prepare(call)
        chunks: list[AIMessageChunk] = []
        with self._windows.noted(call):
            async with aclosing(cast(Any, runnable.astream(messages, config, **arguments))) as outputs:
                async for output in outputs:
                    chunks.append(as_chunk(output))
                    yield chunks[-1]
        yield self._read(call, added_up(chunks))

    def says(self, chunk: Any) -> bool:
        """Whether a chunk tells a consumer anything, so that there is no way back after it."""
        return says(chunk)

    def _prepare(
        self, call: Call
    ) -> tuple[Runnable[Any, Any], Any, RunnableConfig, dict[str, Any], _TokenWatch | None]:
        if self.broken is not None:
            raise self.broken
        self._windows.check(call)
        model = self.fusion.model(call.candidate).model
        hidden = self._hidden(call)
        if hidden:
            model = quiet(model)
        if call.purpose == "judge" and call.temperature:
            model = uncached(model)
        watch = _TokenWatch() if not hidden and streams_to(self.run) else None
        config = call_config(self.run, call, hidden=hidden, run_name=self.request.run_name, watch=watch)
        if call.prompt is not None:
            return model, judge_input(call), config, judge_arguments(model, call), watch
        runnable, arguments = self._bound(call, model)
        return runnable, draft_input(self.request, model), config, arguments, watch

    def _bound(self, call: Call, model: Any) -> tuple[Runnable[Any, Any], dict[str, Any]]:
        return bound_model(self.request, model, call)

    def _hidden(self, call: Call) -> bool:
        return self.silent or not call.live

    def _note(self, call: Call, error: Exception, watch: _TokenWatch | None) -> None:
        self._windows.note(call, error)
        if watch is not None and watch.began:
            self.broken = error

    def _read(self, call: Call, output: Any) -> Reply:
        if not self._hidden(call):
            self._open.add(call.candidate)
        return self._reply(call, output)

    def _reply(self, call: Call, output: Any) -> Reply:
        return reply_of(output)

    def _told(self, reply: Reply, watch: _TokenWatch | None) -> Reply:
        """An answer whose tokens went to a listener while ``invoke`` was waiting has been streamed all the same."""
        return replace(reply, streamed=True) if watch is not None and watch.began else reply

    def explained(self, error: BaseException) -> BaseException:
        """The error that says most: the cause where one candidate failed, the one that broke a stream."""
        if isinstance(error, AllCandidatesFailed):
            if self.broken is not None:
                return self.broken
            if len(error.errors) == 1:
                error.__cause__ = next(iter(error.errors.values()))
        return error

    # -- handing over ------------------------------------------------------------------------------------------

    def output(self, result: Result) -> AIMessage:
        """The answer with its decision."""
        self.accepted(result)
        self._written = result.reply.native if result.streamed else None
        answer = with_decision(cast(AIMessage, result.reply.native), result.decision.as_dict())
        return with_blocks(answer) if self.blocks is not None else answer

    def accepted(self, result: Result) -> None:
        self.seen = result.decision.answered_by in self._open

    def message(self, output: Any) -> AIMessage:
        """The message in ``output``."""
        return cast(AIMessage, output)

    def author(self, output: Any) -> tuple[AIMessage, Any]:
        """The message in ``output``, and the model that wrote it."""
        message = self.message(output)
        return message, self.fusion.model(message.response_metadata["emafusion"]["answered_by"]).model

    def handed_over(self, output: Any) -> Any:
        """What the caller gets of ``output``."""
        return output

    def passed(self, chunk: AIMessageChunk) -> Iterator[Any]:
        """A chunk of the live call, on its way to the consumer. The last waits for the decision."""
        if self.blocks is not None:
            chunk = self.blocks.number(chunk)
        yield from self._last.passed(chunk)

    def ending(self, output: AIMessage) -> Iterator[Any]:
        """What ends the stream."""
        if self._written is not None:
            yield self._last.ending(self._written, output)
        else:
            yield as_chunk(output)
