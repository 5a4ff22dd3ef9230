"""Retries that a candidate's client makes by itself, so that the router's do not multiply with them."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel

from langchain_emafusion.portable import provider_of

__all__ = ["client_retries", "without_retries"]

FIELD = "max_retries"
GOOGLE_DEFAULT = 5
"""Google's client counts attempts, not retries, and takes 0 for its own default."""


def client_retries(model: BaseChatModel) -> int:
    """How often ``model`` makes a failed request anew before it raises; 0 where nothing is known of it."""
    # ChatOpenAI leaves None to OpenAI's client, which retries twice.
    for owner in (model, getattr(model, "root_client", None)):
        told = getattr(owner, FIELD, None)
        if isinstance(told, int):
            if provider_of(model) == "google":
                return max(0, told - 1) if told else GOOGLE_DEFAULT
            return max(0, told)
    return 0


def without_retries(model: BaseChatModel) -> dict[str, Any]:
    """What to construct such a model with, that it may leave retries to the router; empty if it knows no such thing."""
    if FIELD not in type(model).model_fields:
        return {}
    return {FIELD: 1 if provider_of(model) == "google" else 0}
