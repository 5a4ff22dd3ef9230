"""Candidates: from what a user gave (an LLM, a string, a Candidate) to one whose name, price and limits are known."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM

from emafusion.config import Candidate, Price
from emafusion.errors import ConfigError
from emafusion.pricing import list_price
from emafusion.ratings import rating_of

__all__ = ["calls_functions", "metadata_of", "resolve"]

_CLASSES = {
    "anthropic": "Anthropic",
    "azure_openai": "AzureOpenAI",
    "bedrock_converse": "BedrockConverse",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "fireworks": "Fireworks",
    "google_genai": "GoogleGenAI",
    "groq": "Groq",
    "mistralai": "MistralAI",
    "ollama": "Ollama",
    "openai": "OpenAI",
    "openrouter": "OpenRouter",
    "together": "TogetherLLM",
}
"""Providers that ``"provider:model"`` may name: module under ``llama_index.llms`` and its class."""

_PRICE_LISTS = {
    "anthropic": "anthropic",
    "azure_openai": "azure",
    "bedrock_converse": "aws",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "google_genai": "google",
    "groq": "groq",
    "mistralai": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "together": "together",
}
_OWN_MACHINE = frozenset({"huggingface", "llama_cpp", "llamafile", "lmstudio", "ollama", "vllm", "xinference"})
"""Integrations that run a model on the user's machine: a list price would be another machine's."""

_ALL_BUT_TOOLS = frozenset({"schema", "image", "audio", "video", "document"})


def resolve(candidate: Candidate) -> Candidate:
    """Fill in what is not given: the model behind a string, its name, price, limits and abilities. What is given stays.

    Raises
    ------
    ConfigError
        If the model is not a LlamaIndex LLM, or a string names one that cannot be made.
    """
    model = candidate.model
    if isinstance(model, str):
        model = _from_string(model)
    if not isinstance(model, LLM):
        raise ConfigError(
            f"candidate {candidate.name or type(model).__name__!r}: a {type(model).__module__}.{type(model).__name__} "
            "is not a LlamaIndex LLM; give an LLM object, a string 'provider:model', or a Candidate around either"
        )
    metadata = metadata_of(model)
    own = _name_of(model, metadata)
    name = candidate.name or own
    return candidate.named(
        model=model,
        name=name,
        price=candidate.price or _price_of(model, own or name),
        context_window=candidate.context_window or _context_window(metadata),
        max_output_tokens=candidate.max_output_tokens or _output_limit(model, metadata),
        abilities=candidate.abilities if candidate.abilities is not None else _abilities(model),
        rating=rating_of(candidate.rating, own),
    )


def metadata_of(model: LLM) -> LLMMetadata | None:
    """A model's metadata; None where its integration does not know the model (some raise)."""
    try:
        return model.metadata
    except Exception:
        return None


def calls_functions(model: Any) -> bool:
    """Whether the model's client can be handed tools."""
    metadata = metadata_of(model)
    return isinstance(model, FunctionCallingLLM) and (metadata is None or metadata.is_function_calling_model)


def _from_string(text: str) -> Any:
    provider, _, name = text.partition(":")
    provider = provider.replace("-", "_")
    if not name or provider not in _CLASSES:
        raise ConfigError(
            f"candidate {text!r}: write 'provider:model' with one of {', '.join(sorted(_CLASSES))}, "
            "or give an LLM object"
        )
    try:
        cls = getattr(import_module(f"llama_index.llms.{provider}"), _CLASSES[provider])
    except ImportError:
        package = f"llama-index-llms-{provider.replace('_', '-')}"
        raise ConfigError(f"candidate {text!r}: needs {package} (pip install {package})") from None
    try:
        return cls(model=name)
    except Exception as error:
        raise ConfigError(
            f"candidate {text!r}: {_CLASSES[provider]}(model={name!r}) failed ({error}); give the LLM object instead"
        ) from error


def _name_of(model: LLM, metadata: LLMMetadata | None) -> str | None:
    """The model's name as its provider spells it."""
    for name in (
        getattr(model, "model", None),
        getattr(model, "model_name", None),
        getattr(model, "model_id", None),
        metadata.model_name if metadata else None,
    ):
        if isinstance(name, str) and name and name != "unknown":
            return name
    return None


def _price_of(model: LLM, name: str | None) -> Price | None:
    package = type(model).__module__.split(".")
    integration = package[2] if package[:2] == ["llama_index", "llms"] else None
    if name is None or integration in _OWN_MACHINE:
        return None
    return list_price(name, _PRICE_LISTS.get(integration or ""))


def _context_window(metadata: LLMMetadata | None) -> int | None:
    """None where it is only LlamaIndex's default: then it says nothing of the model, and must exclude nothing."""
    if metadata is None or metadata.context_window == DEFAULT_CONTEXT_WINDOW:
        return None
    return metadata.context_window


def _output_limit(model: LLM, metadata: LLMMetadata | None) -> int | None:
    if metadata is None or metadata.num_output <= 0:
        return None
    if metadata.num_output == DEFAULT_NUM_OUTPUTS and getattr(model, "max_tokens", None) != DEFAULT_NUM_OUTPUTS:
        return None
    return metadata.num_output


def _abilities(model: LLM) -> frozenset[str] | None:
    """Only the lack of function calling is known of a LlamaIndex LLM; what media it takes is not."""
    return None if calls_functions(model) else _ALL_BUT_TOOLS
