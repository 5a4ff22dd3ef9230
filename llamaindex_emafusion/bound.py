"""The candidates' models as one request needs them: with our callback manager handed on, or with a judge's sampling.

A model is copied, never changed: it belongs to the user. Copies are kept, because each would open an HTTP client of
its own, and renewed when the user changes a field of the original.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.llm import LLM

from emafusion.types import Call

__all__ = ["BoundModels"]

_LIMITS = ("max_tokens", "max_output_tokens", "max_new_tokens")
"""What integrations call the limit of output tokens."""


class BoundModels:
    """Copies of models, by what was changed in them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], _Kept] = {}

    def bind(self, model: LLM, manager: CallbackManager, call: Call) -> LLM:
        """``model`` for one call: itself where nothing has to change."""
        changes = _sampling(model, call)
        key = (id(model), *changes.items())
        heard_by = _manager_for(model, manager)
        if heard_by is not None:
            changes["callback_manager"] = heard_by
        if not changes:
            return model
        handlers = list(heard_by.handlers) if heard_by else []
        kept = self._kept.get(key)
        if kept is None or kept.manager is not manager or kept.handlers != handlers or not _same(kept.fields, model):
            kept = _Kept(dict(model.__dict__), manager, handlers, model.model_copy(update=changes))
            self._kept[key] = kept
        return kept.copy


class _Kept(NamedTuple):
    """A copy, and what it was made from."""

    fields: dict[str, Any]
    manager: CallbackManager
    handlers: list[Any]
    copy: LLM


def _same(before: dict[str, Any], model: LLM) -> bool:
    """Whether every field still holds the very object it held."""
    now = model.__dict__
    return before.keys() == now.keys() and all(now[name] is value for name, value in before.items())


def _manager_for(model: LLM, outer: CallbackManager) -> CallbackManager | None:
    """The manager that a model's events go to; None to leave it with its own."""
    if outer is model.callback_manager or not outer.handlers:
        return None
    own = [h for h in model.callback_manager.handlers if not any(h is o for o in outer.handlers)]
    if not own:
        return outer
    both = CallbackManager([])
    both.set_handlers([*outer.handlers, *own])
    return both


def _sampling(model: LLM, call: Call) -> dict[str, Any]:
    """Fields to change so that the model is asked as the core wants; only those that the integration has."""
    fields = type(model).model_fields
    wanted: dict[str, Any] = {}
    if call.purpose == "draft" and call.max_output_tokens is not None:  # a budget's; a lower one of the model's stays
        for name in _LIMITS:
            own = getattr(model, name, None)
            if name in fields and not (isinstance(own, int) and 0 < own <= call.max_output_tokens):
                wanted[name] = call.max_output_tokens
    if _reasons(model):
        return wanted  # refuses a temperature, and spends a judge's output limit on thinking
    if call.temperature is not None and "temperature" in fields:
        wanted["temperature"] = call.temperature
    if call.purpose != "draft" and call.max_output_tokens is not None:
        wanted.update({name: call.max_output_tokens for name in _LIMITS if name in fields})
    if call.logprobs and "logprobs" in fields:
        wanted["logprobs"] = True
    return wanted


def _reasons(model: LLM) -> bool:
    """Whether OpenAI's integration (if it was imported) lists the model as a reasoning model."""
    listed = getattr(sys.modules.get("llama_index.llms.openai.utils"), "O1_MODELS", ())
    return getattr(model, "model", None) in listed
