"""A model behind any server that speaks the OpenAI wire format, over the ``openai`` package (2.x and 3.x).

:class:`OpenAIModel` asks, :class:`OpenAITransport` carries one request's calls for the engine, :func:`resolve` makes
candidates from strings. Nothing is imported or connected before the first call.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from emafusion.clients.providers import parse_model_string
from emafusion.clients.wire import StreamedReply, WireMessage, reply_of, to_wire
from emafusion.config import Candidate
from emafusion.errors import ConfigError
from emafusion.pricing import list_price
from emafusion.types import Call, Message, Reply

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["OpenAIModel", "OpenAITransport", "resolve"]


class OpenAIModel:
    """One model of one server.

    Parameters
    ----------
    model
        Name as the server spells it.
    base_url
        Ends in ``/v1`` for most servers; None is OpenAI's own (or the environment's ``OPENAI_BASE_URL``).
    api_key
        None takes ``OPENAI_API_KEY`` from the environment only where ``base_url`` is None too, so that no key is sent
        to a server that it was not made for; other servers then get a placeholder.
    timeout
        Seconds for one request.
    max_retries
        How often the client itself tries again after 408, 409, 429, 5xx and lost connections.
    provider
        For the price list, e.g. ``"openai"``.
    **defaults
        Parameters of every request: ``temperature``, ``seed``, ``max_tokens``, ``extra_body``, ...

    Raises
    ------
    ImportError
        If the ``openai`` package is not installed.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 120.0,
        max_retries: int = 2,
        provider: str | None = None,
        **defaults: Any,
    ) -> None:
        if importlib.util.find_spec("openai") is None:
            raise ImportError("OpenAIModel needs the openai package: pip install 'emafusion[openai]'")
        if not model:
            raise ConfigError("OpenAIModel: model must be a name, got ''")
        self.model = model
        self.base_url = base_url
        self.provider = provider
        self.defaults = defaults
        self._api_key = api_key if api_key is not None or base_url is None else "none"
        self._timeout = timeout
        self._max_retries = max_retries
        self._refused: set[str] = set()
        self._client: Any = None
        # An asynchronous client's connections belong to the event loop that opened them.
        self._async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.model

    def __repr__(self) -> str:
        return f"OpenAIModel({self.model!r}{'' if self.base_url is None else f', base_url={self.base_url!r}'})"

    # -- asking ------------------------------------------------------------------------------------------------

    def chat(
        self,
        messages: Iterable[Message | WireMessage],
        tools: Iterable[Mapping[str, Any]] = (),
        *,
        logprobs: bool = False,
        **params: Any,
    ) -> Reply:
        """Ask and wait for the whole answer; ``Reply.native`` is the assistant's message as a dict."""
        request = self._request(messages, tools, logprobs, params)
        completion = self._create(request)
        return reply_of(completion.model_dump(), request["messages"], request.get("tools", ()))

    async def achat(
        self,
        messages: Iterable[Message | WireMessage],
        tools: Iterable[Mapping[str, Any]] = (),
        *,
        logprobs: bool = False,
        **params: Any,
    ) -> Reply:
        """:meth:`chat` for asyncio."""
        request = self._request(messages, tools, logprobs, params)
        completion = await self._acreate(request)
        return reply_of(completion.model_dump(), request["messages"], request.get("tools", ()))

    def stream(
        self,
        messages: Iterable[Message | WireMessage],
        tools: Iterable[Mapping[str, Any]] = (),
        *,
        logprobs: bool = False,
        **params: Any,
    ) -> Iterator[dict[str, Any] | Reply]:
        """Yield deltas (``{"content": ...}`` or ``{"tool_calls": [...]}``) and, last, the whole :class:`Reply`."""
        request = self._request(messages, tools, logprobs, params | _STREAMED)
        whole = StreamedReply()
        with self._create(request) as chunks:
            for chunk in chunks:
                if delta := whole.add(chunk.model_dump()):
                    yield delta
        yield reply_of(whole.completion(), request["messages"], request.get("tools", ()))

    async def astream(
        self,
        messages: Iterable[Message | WireMessage],
        tools: Iterable[Mapping[str, Any]] = (),
        *,
        logprobs: bool = False,
        **params: Any,
    ) -> AsyncIterator[dict[str, Any] | Reply]:
        """:meth:`stream` for asyncio."""
        request = self._request(messages, tools, logprobs, params | _STREAMED)
        whole = StreamedReply()
        async with await self._acreate(request) as chunks:
            async for chunk in chunks:
                if delta := whole.add(chunk.model_dump()):
                    yield delta
        yield reply_of(whole.completion(), request["messages"], request.get("tools", ()))

    # -- closing -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections of the blocking methods."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, and those of the blocking methods."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
        self.close()

    def __enter__(self) -> OpenAIModel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> OpenAIModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- requests ----------------------------------------------------------------------------------------------

    def _request(
        self,
        messages: Iterable[Message | WireMessage],
        tools: Iterable[Mapping[str, Any]],
        logprobs: bool,
        params: Mapping[str, Any],
    ) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.model, "messages": [to_wire(m) for m in messages]}
        if tools := [dict(t) for t in tools]:
            request["tools"] = tools
        if logprobs:
            request["logprobs"] = True
        request |= {k: v for k, v in (self.defaults | dict(params)).items() if v is not None}
        for name in self._refused:
            _without(request, name)
        return request

    def _create(self, request: dict[str, Any]) -> Any:
        """Send the request; a parameter that this model refuses is left out, now and from now on."""
        from openai import BadRequestError

        while True:
            try:
                return self._sync().chat.completions.create(**request)
            except BadRequestError as error:
                self._leave_out(error, request)

    async def _acreate(self, request: dict[str, Any]) -> Any:
        from openai import BadRequestError

        while True:
            try:
                return await self._async().chat.completions.create(**request)
            except BadRequestError as error:
                self._leave_out(error, request)

    def _leave_out(self, error: Exception, request: dict[str, Any]) -> None:
        """Drop the parameter that ``error`` complains about, or raise it again where that is not ours to drop."""
        name = getattr(error, "param", None)
        if name not in _OPTIONAL or name not in request:
            raise error
        self._refused.add(name)
        _without(request, name)

    # -- clients -----------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "api_key": self._api_key,
            "timeout": self._timeout,
            "max_retries": self._max_retries,
        }

    def _sync(self) -> Any:
        with self._lock:
            if self._client is None:
                from openai import OpenAI

                self._client = OpenAI(**self._settings())
            return self._client

    def _async(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            from openai import AsyncOpenAI

            self._async_clients[loop] = AsyncOpenAI(**self._settings())
        return self._async_clients[loop]


_STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
_OPTIONAL = frozenset({"temperature", "logprobs", "max_tokens", "stream_options"})
"""Parameters that some models refuse (reasoning models take no temperature) and that an answer can do without."""


def _without(request: dict[str, Any], name: str) -> None:
    value = request.pop(name, None)
    if name == "max_tokens" and value is not None:  # OpenAI's newer name for the same limit
        request["max_completion_tokens"] = value


class HasModels(Protocol):
    """What a transport asks of a :class:`~emafusion.fusion.Fusion`."""

    def model(self, name: str) -> Candidate: ...


class OpenAITransport:
    """Carries the engine's calls for one request to :class:`OpenAIModel` candidates.

    Parameters
    ----------
    models
        A fusion, or a mapping from name to :class:`OpenAIModel` or :class:`~emafusion.config.Candidate`.
    messages, tools, **params
        The caller's own request, replayed on whichever candidate drafts.
    """

    def __init__(
        self,
        models: HasModels | Mapping[str, OpenAIModel | Candidate],
        messages: Iterable[Message | WireMessage],
        tools: Iterable[Mapping[str, Any]] = (),
        **params: Any,
    ) -> None:
        self._models = models
        self._messages = tuple(messages)
        self._tools = tuple(tools)
        self._params = params

    def call(self, call: Call) -> Reply:
        messages, tools, params = self._wanted(call)
        return self._model(call.candidate).chat(messages, tools, logprobs=call.logprobs, **params)

    async def acall(self, call: Call) -> Reply:
        messages, tools, params = self._wanted(call)
        return await self._model(call.candidate).achat(messages, tools, logprobs=call.logprobs, **params)

    def stream(self, call: Call) -> Iterator[Any]:
        messages, tools, params = self._wanted(call)
        yield from self._model(call.candidate).stream(messages, tools, logprobs=call.logprobs, **params)

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        messages, tools, params = self._wanted(call)
        async for item in self._model(call.candidate).astream(messages, tools, logprobs=call.logprobs, **params):
            yield item

    def _wanted(self, call: Call) -> tuple[tuple[Any, ...], tuple[Any, ...], dict[str, Any]]:
        own = {"temperature": call.temperature, "max_tokens": call.max_output_tokens}
        own = {k: v for k, v in own.items() if v is not None}
        if call.prompt is None:
            return self._messages, self._tools, self._params | own
        return call.prompt, (), own

    def _model(self, name: str) -> OpenAIModel:
        found = self._models[name] if isinstance(self._models, Mapping) else self._models.model(name)
        model = found.model if isinstance(found, Candidate) else found
        if not isinstance(model, OpenAIModel):
            raise ConfigError(f"candidate {name!r}: expected an OpenAIModel, got {type(model).__name__}; use resolve()")
        return model


def resolve(candidate: Candidate) -> Candidate:
    """Fill in what a candidate lacks: the model of a string, its name, its list price.

    Strings are ``"provider:model"`` (``"openai:gpt-4o-mini"``, ``"ollama:llama3.2:3b"``), ``"model"`` alone for OpenAI,
    or ``"model@base_url"`` for any other server.

    Raises
    ------
    ConfigError
        If the provider is unknown or the model is no :class:`OpenAIModel`.

    Examples
    --------
    >>> found = resolve(Candidate("llama-3@http://localhost:8000/v1"))
    >>> found.name, found.model.base_url
    ('llama-3', 'http://localhost:8000/v1')
    """
    model = candidate.model
    if isinstance(model, str):
        where = parse_model_string(model)
        model = OpenAIModel(where.model, where.base_url, where.api_key(), provider=where.provider)
    if not isinstance(model, OpenAIModel):
        raise ConfigError(
            f"candidate {candidate.name or candidate.model!r}: {type(model).__name__} is no OpenAI-wire model; give an "
            "OpenAIModel or a string, or use the LangChain or LlamaIndex adapter for that framework's models"
        )
    price = candidate.price
    # What runs on the user's own machine has no list price, even where a cloud sells a model of that name.
    if price is None and model.provider != "ollama":
        price = list_price(model.model, model.provider)
    return candidate.named(model=model, name=candidate.name or model.model, price=price)
