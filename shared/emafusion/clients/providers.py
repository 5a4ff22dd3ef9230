"""Providers that speak the OpenAI wire format: where they are, and which variable holds their key."""

from __future__ import annotations

import os
from dataclasses import dataclass

from emafusion.errors import ConfigError

__all__ = ["PROVIDERS", "Endpoint", "parse_model_string"]

PROVIDERS: dict[str, tuple[str | None, str | None]] = {
    "openai": (None, "OPENAI_API_KEY"),
    "deepseek": ("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks": ("https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    "google": ("https://generativelanguage.googleapis.com/v1beta/openai/", "GEMINI_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "ollama": ("http://localhost:11434/v1", None),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "x-ai": ("https://api.x.ai/v1", "XAI_API_KEY"),
}
"""Provider (as the price list spells it) to base URL and environment variable."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model and where it is served."""

    model: str
    base_url: str | None = None
    provider: str | None = None

    def api_key(self) -> str | None:
        """The provider's key from the environment; None where there is none."""
        variable = PROVIDERS[self.provider][1] if self.provider else None
        return os.environ.get(variable) if variable else None


def parse_model_string(given: str) -> Endpoint:
    """Read ``"provider:model"``, ``"model"`` (OpenAI's) or ``"model@base_url"``.

    Raises
    ------
    ConfigError
        If the provider is not one of :data:`PROVIDERS`, or a part is missing.

    Examples
    --------
    >>> parse_model_string("ollama:llama3.2:3b")
    Endpoint(model='llama3.2:3b', base_url='http://localhost:11434/v1', provider='ollama')
    >>> parse_model_string("gpt-4o-mini")
    Endpoint(model='gpt-4o-mini', base_url=None, provider='openai')
    """
    model, at, base_url = given.partition("@http")
    if at:
        if not model:
            raise ConfigError(f"{given!r}: write the model's name before the '@'")
        return Endpoint(model, "http" + base_url)
    provider, colon, model = given.partition(":")
    if not colon:
        provider, model = "openai", given
    if provider not in PROVIDERS:
        raise ConfigError(
            f"{given!r}: unknown provider {provider!r}; known are {', '.join(PROVIDERS)}; "
            "for another server write 'model@http://host:port/v1'"
        )
    if not model:
        raise ConfigError(f"{given!r}: no model is named; write 'provider:model'")
    return Endpoint(model, PROVIDERS[provider][0], provider)
