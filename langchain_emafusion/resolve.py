"""From what a user gives as a candidate to a resolved one: model object, name, price, limits, abilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

from emafusion.config import Candidate, Price
from emafusion.errors import ConfigError
from emafusion.pricing import list_price
from emafusion.ratings import rating_of
from langchain_emafusion.client_retries import without_retries
from langchain_emafusion.profile import abilities_of, profile_of

__all__ = ["model_name", "resolve"]

NAME_FIELDS = ("model_name", "model", "model_id", "deployment_name", "repo_id")
PRICE_PROVIDERS = {"google_genai": "google", "google_vertexai": "google", "mistralai": "mistral"}


def resolve(candidate: Candidate) -> Candidate:
    """Fill in what the candidate's model knows of itself; what the user gave wins.

    Raises
    ------
    ConfigError
        If the model is no chat model, or a string that cannot be turned into one.
    """
    model = _from_string(candidate.model) if isinstance(candidate.model, str) else candidate.model
    if not isinstance(model, BaseChatModel):
        raise ConfigError(
            f"candidate {candidate.name or model!r} is a {type(model).__name__}: give a LangChain chat model, "
            "a string 'provider:model', or Candidate(model, ...) around one of these (bind tools and arguments to "
            "ChatEMAFusion, not to its candidates)"
        )
    profile = profile_of(model)
    return candidate.named(
        model=model,
        name=candidate.name or model_name(model),
        price=candidate.price or _price(model),
        context_window=candidate.context_window or _tokens(profile, "max_input_tokens"),
        max_output_tokens=candidate.max_output_tokens or _tokens(profile, "max_output_tokens"),
        abilities=candidate.abilities if candidate.abilities is not None else abilities_of(model),
        rating=rating_of(candidate.rating, model_name(model)),
    )


def _from_string(spelled: str) -> Any:
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise ConfigError(
            f"candidate {spelled!r} is a string, which needs the langchain package: "
            "pip install 'emafusion[langchain]', or give a chat model object"
        ) from error
    try:
        model = init_chat_model(spelled)
        bare = without_retries(model)  # the router retries: it knows when another candidate is the better wait
        return init_chat_model(spelled, **bare) if bare else model
    except Exception as error:  # a missing package, key or provider: each client raises its own
        raise ConfigError(f"candidate {spelled!r} could not be made into a chat model: {error}") from error


def model_name(model: BaseChatModel) -> str:
    """The model's name as its provider spells it."""
    for field in NAME_FIELDS:
        value = getattr(model, field, None)
        if isinstance(value, str) and value:
            return value.removeprefix("models/")  # as Google's client spells it
    return str(model._get_ls_params().get("ls_model_name") or type(model).__name__)


def _price(model: BaseChatModel) -> Price | None:
    provider = str(model._get_ls_params().get("ls_provider") or "")
    return list_price(model_name(model), PRICE_PROVIDERS.get(provider, provider) or None)


def _tokens(profile: Mapping[str, Any], key: str) -> int | None:
    value = profile.get(key)
    return value if isinstance(value, int) and value > 0 else None
