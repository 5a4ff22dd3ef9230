"""Any author's turns for any reader: message shapes of four providers, put through the clients' own converters.

The shapes are those that the integrations' classes hand over. A converter whose package is not installed is passed
over; OpenAI's, chat completions and responses, are always there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.llms.openai import OpenAI
from llama_index.llms.openai.utils import to_openai_message_dicts

from llamaindex_emafusion.messages import to_turns
from llamaindex_emafusion.portable import Reader, portable
from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Direct
from tests.loopback_model import LoopbackModel

OPENAI_ID, ANTHROPIC_ID, RESPONSES_ID = "call_9pw4x8S0bQm7LrZ2tEaYkWcV", "toolu_01A09q90qw90lq917835lq9", "c" * 64
ARGUMENTS = {"city": "Rome"}


def turn(id: str | None, *blocks: ContentBlock, role: str = "assistant", raw: Any = None, **extra: Any) -> Any:
    """A conversation with one call of a tool, and a question after its result."""
    if raw is not None:
        extra["tool_calls"] = raw
    else:
        blocks = (*blocks, ToolCallBlock(tool_call_id=id, tool_name="weather", tool_kwargs=ARGUMENTS))
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    result = {} if id is None else {"tool_call_id": id}
    return [
        ChatMessage(role="system", blocks=[TextBlock(text="Be terse."), point]),
        ChatMessage(role="user", blocks=[TextBlock(text="How is Rome?"), point]),
        ChatMessage(role=role, blocks=list(blocks), additional_kwargs=extra),
        ChatMessage(role="tool", content="sunny", additional_kwargs=result),
        ChatMessage(role=role, content="Sunny."),
        ChatMessage(role="user", content="And tomorrow?"),
    ]


def thought(**told: Any) -> ThinkingBlock:
    return ThinkingBlock(content="THOUGHT", additional_information=told)


WIRE = {"id": OPENAI_ID, "type": "function", "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)}}
ITEM = {"type": "function_call", "call_id": RESPONSES_ID, "name": "weather", "arguments": json.dumps(ARGUMENTS)}
USE = {"type": "tool_use", "id": ANTHROPIC_ID, "name": "weather", "input": ARGUMENTS}
CITED = CitableBlock(title="T", source="S", content=[TextBlock(text="Rome has weather.")])
CITATION = CitationBlock(cited_content=TextBlock(text="CITED"), source="S", title="T", additional_location_info={})

AUTHORS: dict[str, Any] = {
    "openai": turn(OPENAI_ID, TextBlock(text="Let me see."), refusal=None),
    "openai, raw": turn(OPENAI_ID, raw=[WIRE]),
    "openai responses": turn(RESPONSES_ID, thought(id="rs_1"), built_in_tool_calls=[]),
    "openai responses, raw": turn(RESPONSES_ID, raw=[ITEM]),
    "anthropic": turn(ANTHROPIC_ID, thought(signature="SECRET"), TextBlock(text="So."), CITATION, citations=["x"]),
    "anthropic, raw": turn(ANTHROPIC_ID, TextBlock(text="So."), raw=[USE]),
    "google": turn("weather", thought(), role="model", thought_signatures=[b"SECRET", None]),
    "ollama": turn(None),
    "citing": [ChatMessage(role="user", blocks=[CITED, TextBlock(text="How is Rome?")]), *turn(OPENAI_ID)[2:]],
}


class Responses(OpenAI):
    """Reads by the Responses API."""


def of_openai(messages: Sequence[ChatMessage]) -> Any:
    return to_openai_message_dicts(messages, model="gpt-4.1")


def of_responses(messages: Sequence[ChatMessage]) -> Any:
    return to_openai_message_dicts(messages, model="gpt-4.1", is_responses_api=True)


def of_anthropic(messages: Sequence[ChatMessage]) -> Any:
    utils = pytest.importorskip("llama_index.llms.anthropic.utils")
    return list(utils.messages_to_anthropic_messages(messages))


def of_bedrock(messages: Sequence[ChatMessage]) -> Any:
    utils = pytest.importorskip("llama_index.llms.bedrock_converse.utils")
    return list(utils.messages_to_converse_messages(messages, model="anthropic.claude-3-7-sonnet-20250219-v1:0"))


def of_mistral(messages: Sequence[ChatMessage]) -> Any:
    base = pytest.importorskip("llama_index.llms.mistralai.base")
    return [m.model_dump() for m in base.to_mistral_chatmessage(messages)]


def of_google(messages: Sequence[ChatMessage]) -> Any:
    utils = pytest.importorskip("llama_index.llms.google_genai.utils")

    async def contents() -> Any:
        return [(await utils.chat_message_to_gemini(m))[0].model_dump() for m in messages if m.role.value != "system"]

    return asyncio.run(contents())


def of_ollama(messages: Sequence[ChatMessage]) -> Any:
    base = pytest.importorskip("llama_index.llms.ollama.base")
    return base.Ollama(model="m")._convert_to_ollama_messages(messages)


READERS: dict[str, tuple[str | None, Callable[[Sequence[ChatMessage]], Any]]] = {
    "openai": ("openai", of_openai),
    "openai responses": ("openai", of_responses),
    "anthropic": ("anthropic", of_anthropic),
    "bedrock": ("bedrock", of_bedrock),
    "mistral": ("mistral", of_mistral),
    "google": (None, of_google),
    "ollama": (None, of_ollama),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("author", AUTHORS)
def test_any_clients_converter_takes_what_any_other_wrote(author: str, reader: str) -> None:
    provider, convert = READERS[reader]
    history = AUTHORS[author]
    before = [m.model_dump() for m in history]
    sent = str(convert(portable(history, Reader("other", provider=provider))))
    assert [m.model_dump() for m in history] == before
    for word in ("How is Rome?", "weather", "'Rome'" if "'Rome'" in sent else '"Rome"', "sunny", "And tomorrow?"):
        assert word in sent
    for private in ("THOUGHT", "SECRET", "rs_1", "CITED"):
        assert private not in sent
    assert sent.count("city") == 1  # the call is there once, not once in each form


@pytest.mark.parametrize("author", AUTHORS)
@pytest.mark.parametrize(("provider", "length"), [("openai", 40), ("anthropic", 1000), ("bedrock", 64), ("mistral", 9)])
def test_a_call_and_its_result_agree_on_an_id_that_the_provider_takes(author: str, provider: str, length: int) -> None:
    sent = portable(AUTHORS[author], Reader("other", provider=provider))
    (call,) = [b for m in sent for b in m.blocks if isinstance(b, ToolCallBlock)]
    (result,) = [m.additional_kwargs["tool_call_id"] for m in sent if m.role.value == "tool"]
    assert result == call.tool_call_id
    assert result.replace("_", "").isalnum()
    assert len(result) <= length


def test_cache_points_reach_the_clients_that_read_them_in_the_kind_that_they_know() -> None:
    def points(provider: str | None) -> list[str]:
        sent = portable(AUTHORS["openai"], Reader("other", provider=provider))
        return [b.cache_control.type for m in sent for b in m.blocks if isinstance(b, CachePoint)]

    assert points("anthropic") == ["ephemeral", "ephemeral"]
    assert points("bedrock") == ["default", "default"]
    assert points("openai") == points(None) == []


def test_a_thought_and_nothing_else_is_left_out() -> None:
    history = [ChatMessage(role="assistant", blocks=[thought()]), ChatMessage(role="user", content="Well?")]
    assert [m.content for m in portable(history, Reader("other"))] == ["Well?"]
    assert len(portable(history[1:], Reader("other"))) == 1


def test_a_developers_word_is_the_systems_for_whoever_knows_no_developer() -> None:
    said = [ChatMessage(role="developer", content="Be terse.")]
    assert [m.role.value for p in ("openai", "anthropic") for m in portable(said, Reader("c", provider=p))] == [
        "developer",
        "system",
    ]


def test_calls_kept_beside_a_message_are_read_in_every_form() -> None:
    google = {"name": "weather", "args": ARGUMENTS}
    bedrock = {"toolUseId": "t", "name": "weather", "input": ARGUMENTS}
    for raw in (WIRE, ITEM, USE, google, bedrock):
        (read,) = to_turns([ChatMessage(role="assistant", content="", additional_kwargs={"tool_calls": [raw]})])
        assert [(c.name, c.arguments) for c in read.tool_calls] == [("weather", ARGUMENTS)]
    (read,) = to_turns([ChatMessage(role="assistant", content="x", additional_kwargs={"tool_calls": ["?", {}]})])
    assert read.tool_calls == ()


def test_a_client_is_known_by_the_integration_that_it_extends(clients: Clients) -> None:
    for model in (clients.model("cheap"), OpenAI(model="gpt-4.1", api_key="none"), Responses(api_key="none")):
        assert Reader.of("c", model, model.metadata.system_role).provider == "openai"


def test_a_history_with_cache_points_and_thoughts_is_answered_over_a_real_client(clients: Clients) -> None:
    clients.server.add(LoopbackModel("cheap", "cloudy"))
    llm = clients.scripted(Direct(("cheap",)))
    for history in AUTHORS.values():
        assert llm.chat(history).message.content == "cloudy"
        roles = [m["role"] for m in clients.server.requests[-1]["messages"]]
        assert set(roles) <= {"system", "user", "assistant", "tool"}
