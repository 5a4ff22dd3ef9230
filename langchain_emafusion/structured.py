"""``with_structured_output``: route first, then ask the candidate in its own way, and judge what fits the schema.

A candidate's own structured output is a chain that parses; only that chain knows the provider's method. The judges
read the parsed object as JSON, so that three methods of one schema are judged alike.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import AddableDict, Runnable, RunnableConfig
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel

from emafusion.types import Call, Reply, Result
from langchain_emafusion import runs
from langchain_emafusion.messages import reply_of
from langchain_emafusion.rendering import with_decision
from langchain_emafusion.replay import accepted, call_arguments, limited
from langchain_emafusion.request import Request
from langchain_emafusion.transport import TracedTransport

if TYPE_CHECKING:
    from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = ["StructuredEMAFusion"]


class StructuredEMAFusion(Runnable[LanguageModelInput, Any]):
    """From a prompt to an instance of ``schema``.

    Parameters
    ----------
    llm
        The router.
    schema
        Pydantic class, ``TypedDict`` class, JSON schema, or OpenAI function; None for any object (``json_mode``).
    include_raw
        Return ``{"raw": AIMessage, "parsed": ..., "parsing_error": ...}`` and raise no parsing error.
    options
        ``method``, ``strict`` and whatever else candidates' own ``with_structured_output`` takes.
    """

    def __init__(
        self, llm: ChatEMAFusion, schema: Any, *, include_raw: bool = False, options: Mapping[str, Any] | None = None
    ) -> None:
        self.llm = llm
        self.schema = schema
        self.include_raw = include_raw
        self.options = dict(options or {})
        # JSON mode needs no schema: any object will do.
        self.json_schema = {"type": "object"} if schema is None else convert_to_json_schema(schema)
        self._chains: dict[tuple[str, bool, bool, int | None], Runnable[Any, Any]] = {}
        self._lock = Lock()

    @property
    def OutputType(self) -> Any:  # noqa: N802
        return dict[str, Any] if self.include_raw or not isinstance(self.schema, type) else self.schema

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        request = self._request(input, config, kwargs)
        return runs.answer(self.llm, request, self._transport(request))

    async def ainvoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        request = self._request(input, config, kwargs)
        return await runs.aanswer(self.llm, request, self._transport(request))

    def stream(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        request = self._request(input, config, kwargs)
        yield from runs.stream(self.llm, request, self._transport(request))

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        request = self._request(input, config, kwargs)
        async with aclosing(cast(Any, runs.astream(self.llm, request, self._transport(request)))) as pieces:
            async for piece in pieces:
                yield piece

    def chain_of(
        self, name: str, model: Any, *, include_raw: bool, quiet: bool, limit: int | None = None
    ) -> Runnable[Any, Any]:
        """The candidate's own structured output, made once for each limit of output."""
        key = (name, include_raw, quiet, limit)
        with self._lock:
            if key not in self._chains:
                options = accepted(model.with_structured_output, self.options)
                made = limited(model, limit).with_structured_output(self.schema, include_raw=include_raw, **options)
                self._chains[key] = made
            return self._chains[key]

    def _request(self, input: LanguageModelInput, config: RunnableConfig | None, kwargs: dict[str, Any]) -> Request:
        told = {"kwargs": self.options, "schema": self.json_schema}
        return self.llm.request(
            input, config, schema=self.json_schema, tracing={"ls_structured_output_format": told}, **kwargs
        )

    def _transport(self, request: Request) -> _StructuredTransport:
        return _StructuredTransport(self, request)


class _Overheard(BaseCallbackHandler):
    """The message below a chain that hands over only what it parsed."""

    run_inline = True

    def __init__(self) -> None:
        self.message: AIMessage | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        if isinstance(generation, ChatGeneration):
            self.message = cast(AIMessage, message_chunk_to_message(generation.message))


class _StructuredTransport(TracedTransport):
    """Drafts are candidates' structured chains; outputs are ``{"raw", "parsed", "parsing_error"}``."""

    cacheable = False  # what a cache keeps is a message, and parsing it again is the candidate's business

    def __init__(self, structured: StructuredEMAFusion, request: Request) -> None:
        super().__init__(structured.llm.fusion, request, retries=structured.llm.retries)
        self.structured = structured

    # -- calls -------------------------------------------------------------------------------------------------

    def _bound(self, call: Call, model: Any) -> tuple[Runnable[Any, Any], dict[str, Any]]:
        return self._chain(call, model, include_raw=True)

    def _chain(self, call: Call, model: Any, *, include_raw: bool) -> tuple[Runnable[Any, Any], dict[str, Any]]:
        # Below the chain that keeps the raw message no argument of the call arrives.
        limit = call.max_output_tokens or self.request.limit
        chain = self.structured.chain_of(
            call.candidate, model, include_raw=include_raw, quiet=self._hidden(call), limit=limit
        )
        return chain, call_arguments(self.request, model, call)

    def _reply(self, call: Call, output: Any) -> Reply:
        return super()._reply(call, output) if call.prompt is not None else _reply(output)

    def stream(self, call: Call) -> Iterator[Any]:
        chain, messages, config, arguments, heard = self._prepare_stream(call)
        pieces: list[Any] = []
        with self._windows.noted(call):
            for piece in chain.stream(messages, config, **arguments):
                pieces.append(piece)
                yield piece
        yield self._read(call, self._gathered(pieces, heard))

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        chain, messages, config, arguments, heard = self._prepare_stream(call)
        pieces: list[Any] = []
        with self._windows.noted(call):
            async with aclosing(cast(Any, chain.astream(messages, config, **arguments))) as outputs:
                async for piece in outputs:
                    pieces.append(piece)
                    yield piece
        yield self._read(call, self._gathered(pieces, heard))

    def says(self, chunk: Any) -> bool:
        """What was parsed always does; of the raw message, what it says."""
        raw = chunk.get("raw") if isinstance(chunk, dict) and self.structured.include_raw else None
        return super().says(raw) if isinstance(raw, AIMessageChunk) and len(chunk) == 1 else True

    def _prepare_stream(self, call: Call) -> tuple[Runnable[Any, Any], Any, Any, dict[str, Any], _Overheard]:
        """The chain as the consumer wants it: one that keeps the raw message does not stream what it parses."""
        _, messages, config, _, _ = self._prepare(call)
        chain, arguments = self._chain(
            call, self.fusion.model(call.candidate).model, include_raw=self.structured.include_raw
        )
        heard = _Overheard()
        cast(Any, config["callbacks"]).add_handler(heard)
        return chain, messages, config, arguments, heard

    def _gathered(self, pieces: list[Any], heard: _Overheard) -> dict[str, Any]:
        if not pieces or heard.message is None:
            raise ValueError("the stream ended without an answer")
        if not self.structured.include_raw:
            return {"raw": heard.message, "parsed": pieces[-1], "parsing_error": None}
        whole: dict[str, Any] = {"raw": heard.message, "parsed": None, "parsing_error": None}
        for piece in pieces:
            whole.update({k: v for k, v in piece.items() if k != "raw"})
        return whole

    # -- handing over ------------------------------------------------------------------------------------------

    def output(self, result: Result) -> Any:
        self.accepted(result)
        self._written = result.reply.native["raw"] if result.streamed else None
        native = result.reply.native
        return {**native, "raw": with_decision(native["raw"], result.decision.as_dict())}

    def message(self, output: Any) -> AIMessage:
        return cast(AIMessage, output["raw"])

    def handed_over(self, output: Any) -> Any:
        if self.structured.include_raw:
            return output
        if output["parsing_error"] is not None:
            raise output["parsing_error"]
        return output["parsed"]

    def passed(self, piece: Any) -> Iterator[Any]:
        yield piece

    def ending(self, output: Any) -> Iterator[Any]:
        if self._written is None:
            handed = self.handed_over(output)
            yield AddableDict(handed) if self.structured.include_raw else handed
        elif self.structured.include_raw:
            # Nothing but the decision: consumers add the pieces up.
            decision = {"emafusion": output["raw"].response_metadata["emafusion"]}
            empty: Any = "" if isinstance(self._written.content, str) else []
            yield AddableDict(raw=AIMessageChunk(content=empty, id=self._written.id, response_metadata=decision))


def _reply(output: Mapping[str, Any]) -> Reply:
    """The parsed object as JSON, for the judges; what did not parse as it was written."""
    reply = reply_of(output["raw"], native=output)
    parsed = output["parsed"]
    if output["parsing_error"] is None and parsed is not None:
        return replace(reply, text=_json(parsed), tool_calls=())
    written = [c["args"] for c in output["raw"].invalid_tool_calls]
    return replace(reply, text=reply.text or "\n".join(str(w) for w in written), tool_calls=())


def _json(parsed: Any) -> str:
    if isinstance(parsed, BaseModel):
        return parsed.model_dump_json()
    if callable(getattr(parsed, "json", None)):  # a class of pydantic 1
        return str(parsed.json())
    return json.dumps(parsed, ensure_ascii=False, default=str)
