"""One model behind a server that speaks the OpenAI wire format, over the ``openai`` package (2.x and 3.x).

Nothing is imported or connected before the first call.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from emafusion.clients.wire import StreamedReply, WireMessage, reply_of, to_wire
from emafusion.errors import ConfigError
from emafusion.types import Message, Reply

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["OpenAIModel"]


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
