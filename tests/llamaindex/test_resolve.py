"""Candidates are completed from what the framework knows, and refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

from emafusion.config import Candidate, Price
from emafusion.errors import ConfigError, NoCandidateFits, PriceError
from emafusion.ratings import known_rating
from llamaindex_emafusion.resolve import calls_functions, resolve
from llamaindex_emafusion.testing import add
from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Direct, ScriptedEMAFusion

FREE = Price(0, 0)


def test_a_known_models_name_price_and_limits_are_filled_in() -> None:
    made = resolve(Candidate(OpenAI(model="gpt-4o-mini", api_key="none", max_tokens=300)))
    assert (made.name, made.context_window, made.max_output_tokens) == ("gpt-4o-mini", 128_000, 300)
    assert made.price is not None
    assert (made.price.input, made.price.output) == (0.15, 0.6)
    assert made.rating == known_rating("gpt-4o-mini") is not None
    assert made.abilities is None  # what it cannot do is not known


def test_what_the_user_gave_stays() -> None:
    model = OpenAI(model="gpt-4o-mini", api_key="none")
    given = Candidate(model, "mini", FREE, context_window=10, max_output_tokens=5, abilities=frozenset(), rating=1000.0)
    assert resolve(given) == given


def test_a_string_names_provider_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    made = resolve(Candidate("openai:gpt-4o-mini"))
    assert isinstance(made.model, OpenAI)
    assert made.name == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("gpt-4o-mini", "'gpt-4o-mini': write 'provider:model'"),
        ("nobody:model", "one of anthropic"),
        ("fireworks:x", "pip install llama-index-llms-fireworks"),
        ("openai:gpt-5.4-pro", "give the LLM object instead"),
        (42, "a builtins.int is not a LlamaIndex LLM"),
    ],
)
def test_what_cannot_be_made_a_model_is_refused_with_a_remedy(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve(Candidate(given))


def test_a_default_context_window_excludes_nothing(clients: Clients) -> None:
    assert resolve(clients.candidate("cheap", context_window=3900)).context_window is None
    assert resolve(clients.candidate("cheap", context_window=8000)).context_window == 8000


def test_a_model_on_the_users_own_machine_gets_no_list_price() -> None:
    class Ollama(MockLLM):
        model: str = "gpt-4o-mini"

    Ollama.__module__ = "llama_index.llms.ollama.base"
    assert resolve(Candidate(Ollama(max_tokens=None))).price is None


def test_a_model_without_function_calling_is_passed_over_for_tools_only(clients: Clients) -> None:
    plain = clients.candidate("cheap", is_function_calling_model=False)
    assert not calls_functions(plain.model)
    llm = ScriptedEMAFusion([plain, clients.candidate("dear")], script=Direct(("cheap", "dear")))
    assert llm.metadata.is_function_calling_model
    answered = llm.chat_with_tools([FunctionTool.from_defaults(add)], "Use add on 1 and 2")
    assert answered.additional_kwargs["emafusion"]["answered_by"] == "dear"
    assert llm.complete("hi").additional_kwargs["emafusion"]["answered_by"] == "cheap"
    assert not ScriptedEMAFusion([plain], script=Direct(("cheap",))).metadata.is_function_calling_model


def test_metadata_are_the_smallest_of_the_pool(clients: Clients) -> None:
    pool = [
        clients.candidate("cheap", context_window=8000, max_tokens=700),
        clients.candidate("dear", context_window=64_000, max_tokens=200),
    ]
    metadata = ScriptedEMAFusion(pool, script=None).metadata
    assert (metadata.context_window, metadata.num_output) == (8000, 200)
    assert metadata.is_chat_model
    assert metadata.model_name == "emafusion"


def test_no_candidates_and_no_price_are_refused_at_construction() -> None:
    for single in ("openai:gpt-4o-mini", MockLLM()):
        with pytest.raises(ConfigError, match="must be a list of models"):
            ScriptedEMAFusion(single)
    with pytest.raises(ConfigError, match="candidates is empty"):
        ScriptedEMAFusion([])
    with pytest.raises(PriceError, match="'mock' has no known price"):
        ScriptedEMAFusion([Candidate(MockLLM(), name="mock")])


def test_a_prompt_beyond_every_context_window_is_refused_before_any_call(clients: Clients) -> None:
    llm = ScriptedEMAFusion([clients.candidate("cheap", context_window=50)], script=Direct(("cheap",)))
    with pytest.raises(NoCandidateFits, match="context window of 50"):
        llm.complete("word " * 500)
    assert clients.server.count() == 0
