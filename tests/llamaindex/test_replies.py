"""Token counts, finish reasons and log-probabilities are read wherever a provider puts them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LogProb
from llama_index.core.llms import MockLLM

from emafusion.types import Usage
from llamaindex_emafusion.replies import finish_reason_of, reply_from, usage_of


def response(raw: Any = None, **fields: Any) -> ChatResponse:
    return ChatResponse(message=ChatMessage(role="assistant", content="hi"), raw=raw, **fields)


OPENAI = SimpleNamespace(
    choices=[SimpleNamespace(finish_reason="length", logprobs=None)],
    usage=SimpleNamespace(
        prompt_tokens=10, completion_tokens=5, prompt_tokens_details=SimpleNamespace(cached_tokens=4)
    ),
)
ANTHROPIC = {
    "stop_reason": "max_tokens",
    "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 7},
}
GOOGLE = {
    "finish_reason": SimpleNamespace(name="MAX_TOKENS"),
    "usage_metadata": {"prompt_token_count": 10, "candidates_token_count": 5, "cached_content_token_count": 3},
}
OLLAMA = {"done_reason": "length", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (OPENAI, Usage(10, 5, 4)),
        (ANTHROPIC, Usage(107, 5, 90)),
        (GOOGLE, Usage(10, 5, 3)),
        (OLLAMA, Usage(10, 5)),
        ({}, None),
        (None, None),
        ({"usage": None}, None),
    ],
)
def test_usage_is_read(raw: Any, usage: Usage | None) -> None:
    assert usage_of(response(raw)) == usage


def test_usage_is_read_beside_the_answer_where_the_raw_one_has_none() -> None:
    assert usage_of(response(additional_kwargs={"prompt_tokens": 3, "completion_tokens": 1})) == Usage(3, 1)


@pytest.mark.parametrize("raw", [OPENAI, ANTHROPIC, GOOGLE, OLLAMA])
def test_a_cut_answer_is_known_as_such(raw: Any) -> None:
    assert finish_reason_of(raw) == "length"


def test_an_unknown_word_stays_and_silence_is_none() -> None:
    assert finish_reason_of({"finish_reason": "recitation"}) == "recitation"
    assert finish_reason_of({"choices": []}) is None
    assert finish_reason_of(None) is None


def test_log_probabilities_are_those_of_the_tokens_written() -> None:
    openai = {"choices": [{"logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1}]}}]}
    assert reply_from(response(openai), MockLLM()).logprobs == (-0.5, -1.0)
    generic = response(logprobs=[[LogProb(token="a", logprob=-0.1), LogProb(token="b", logprob=-3)]])
    assert reply_from(generic, MockLLM()).logprobs == (-0.1,)
    assert reply_from(response(), MockLLM()).logprobs is None
