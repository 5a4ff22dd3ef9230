"""The caller's request, replayed on one candidate: its tools bound, its history portable, its schema asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableBinding

from emafusion.types import Call
from langchain_emafusion.messages import langchain_messages
from langchain_emafusion.portable import portable, provider_of
from langchain_emafusion.profile import profile_of
from langchain_emafusion.request import Request
from langchain_emafusion.tools import strict_spec

__all__ = [
    "accepted",
    "bound_model",
    "call_arguments",
    "draft_input",
    "flattened",
    "judge_arguments",
    "judge_input",
    "limited",
    "quiet",
    "uncached",
]

TOOL_ARGUMENTS = ("tool_choice", "strict", "parallel_tool_calls", "response_format")
LIMIT_FIELDS = ("max_tokens", "max_output_tokens", "max_completion_tokens", "num_predict")


def draft_input(request: Request, model: BaseChatModel) -> list[BaseMessage]:
    """The request's messages as ``model``'s provider may be sent them."""
    return portable(request.messages, provider_of(model))


def bound_model(request: Request, model: BaseChatModel, call: Call) -> tuple[Runnable[Any, Any], dict[str, Any]]:
    """``model`` with the request's tools bound, and the arguments that are left to pass when it is called."""
    arguments = call_arguments(request, model, call)
    if call.logprobs and _tells_logprobs(model):
        arguments.setdefault("logprobs", True)
    if call.temperature is not None:  # a further sample of the same request
        arguments |= {k: v for k, v in judge_arguments(model, call).items() if k == "temperature"}
    if "tools" not in arguments:
        arguments.pop("tool_choice", None)
        return model, arguments
    tools = arguments.pop("tools")
    given = {k: arguments.pop(k) for k in TOOL_ARGUMENTS if k in arguments}
    if given.get("response_format") and given.get("strict") is None and _wants_strict_tools(model):
        tools = [strict_spec(tool) for tool in tools]
    return model.bind_tools(tools, **accepted(model.bind_tools, given)), arguments


def _wants_strict_tools(model: BaseChatModel) -> bool:
    """OpenAI's clients refuse tools beside a response format unless they are strict; they make only tools that they
    convert themselves so, and agents tell only models that they know to be OpenAI's."""
    openai = any(kind.__name__ == "BaseChatOpenAI" for kind in type(model).__mro__)
    return openai and not getattr(model, "use_responses_api", False)


def call_arguments(request: Request, model: BaseChatModel, call: Call) -> dict[str, Any]:
    """The request's arguments as ``model``'s client spells them, with the router's defaults where it knows them, and
    the limit of output that a budget puts on the call."""
    fields = type(model).model_fields
    arguments = {**{k: v for k, v in request.defaults.items() if k in fields}, **request.arguments}
    if request.stop is not None:
        arguments["stop"] = request.stop
    limit = _limit_field(model)
    for name in LIMIT_FIELDS:
        if name in arguments and name not in fields and limit is not None:
            arguments[limit] = arguments.pop(name)
    if "max_tokens" in request.defaults and limit is not None:
        arguments.setdefault(limit, request.defaults["max_tokens"])
    if call.max_output_tokens is not None and limit is not None and not _keeps(model, limit, call.max_output_tokens):
        arguments[limit] = call.max_output_tokens
    return arguments


def limited(model: BaseChatModel, most: int | None) -> BaseChatModel:
    """``model`` with a limit of output, for chains that take no arguments; itself where it has a lower one."""
    limit = _limit_field(model)
    if most is None or limit is None or _keeps(model, limit, most):
        return model
    return model.model_copy(update={limit: most})


def _keeps(model: BaseChatModel, limit: str, most: int) -> bool:
    own = getattr(model, limit)
    return isinstance(own, int) and 0 < own <= most


def _limit_field(model: BaseChatModel) -> str | None:
    return next((f for f in LIMIT_FIELDS if f in type(model).model_fields), None)


def accepted(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``arguments`` that ``function`` takes: not every client knows every option."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return dict(arguments)
    return {k: v for k, v in arguments.items() if k in parameters}


def flattened(runnable: Runnable[Any, Any], arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The chat model below a binding, and all arguments that its calls need."""
    merged = dict(arguments)
    while isinstance(runnable, RunnableBinding):
        merged = {**runnable.kwargs, **merged}
        runnable = runnable.bound
    return runnable, merged


def judge_input(call: Call) -> list[BaseMessage]:
    """A prompt that the core wrote."""
    assert call.prompt is not None
    return langchain_messages(call.prompt)


def judge_arguments(model: BaseChatModel, call: Call) -> dict[str, Any]:
    """Temperature and output limit, in the terms of ``model``'s client; what it has no field for is left out."""
    fields = type(model).model_fields
    arguments: dict[str, Any] = {}
    if call.temperature is not None and "temperature" in fields and profile_of(model).get("temperature") is not False:
        arguments["temperature"] = call.temperature
    if call.max_output_tokens is not None:
        limit = _limit_field(model)
        if limit is not None:
            arguments[limit] = call.max_output_tokens
    if call.logprobs and _tells_logprobs(model):
        arguments["logprobs"] = True
    return arguments


def _tells_logprobs(model: BaseChatModel) -> bool:
    """Whether log-probabilities may be asked for: models that take no temperature refuse that too."""
    return "logprobs" in type(model).model_fields and profile_of(model).get("temperature") is not False


def quiet(model: BaseChatModel) -> BaseChatModel:
    """``model``, sure not to stream: one built with ``streaming=True`` would fire token callbacks for a draft."""
    return model.model_copy(update={"streaming": False}) if getattr(model, "streaming", False) else model


def uncached(model: BaseChatModel) -> BaseChatModel:
    """``model``, sure to answer anew: samples that a cache repeats are no samples."""
    return model.model_copy(update={"cache": False}) if "cache" in type(model).model_fields else model
