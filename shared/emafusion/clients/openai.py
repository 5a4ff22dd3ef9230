"""Asking OpenAI-wire models through the engine, with no framework.

:class:`OpenAIModel` asks one model, :class:`OpenAITransport` carries one request's calls for the engine, and
:func:`resolve` makes candidates from strings.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Protocol

from emafusion.clients.model import OpenAIModel
from emafusion.clients.providers import parse_model_string
from emafusion.clients.wire import WireMessage
from emafusion.config import Candidate
from emafusion.errors import ConfigError
from emafusion.pricing import list_price
from emafusion.ratings import rating_of
from emafusion.types import Call, Message, Reply

__all__ = ["OpenAIModel", "OpenAITransport", "resolve"]


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
    rating = rating_of(candidate.rating, model.model)
    return candidate.named(model=model, name=candidate.name or model.model, price=price, rating=rating)
