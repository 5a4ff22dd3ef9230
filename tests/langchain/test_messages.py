"""Messages across the border, and histories that any provider takes."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata

from emafusion.config import Candidate, Price
from emafusion.ratings import known_rating
from emafusion.types import Message, ToolCall, Usage
from langchain_emafusion import ChatEMAFusion, resolve
from langchain_emafusion.messages import core_messages, langchain_messages, reply_of
from langchain_emafusion.portable import portable, provider_of
from langchain_emafusion.rendering import LastChunk, as_chunk
from langchain_emafusion.tools import tool_specs
from tests.langchain.conftest import client
from tests.loopback import LoopbackServer

CALL: Any = {"name": "f", "args": {"x": 1}, "id": "1", "type": "tool_call"}


def test_turns_keep_their_roles_texts_calls_and_media() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    history: list[BaseMessage] = [
        SystemMessage("Be terse."),
        HumanMessage([{"type": "text", "text": "What is this?"}, picture]),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("a cat", tool_call_id="1"),
        ChatMessage(content="hm", role="assistant"),
    ]
    assert core_messages(history) == (
        Message("system", "Be terse."),
        Message("user", "What is this?", media=frozenset({"image"})),
        Message("assistant", "", (ToolCall("f", {"x": 1}, "1"),)),
        Message("tool", "a cat"),
        Message("assistant", "hm"),
    )


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "image", "base64": "aGk=", "mime_type": "image/png"}, "image"),
        ({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}, "audio"),
        ({"type": "video", "url": "https://example.com/a.mp4"}, "video"),
        ({"type": "file", "base64": "aGk=", "mime_type": "application/pdf"}, "document"),
    ],
)
def test_media_become_needs(block: dict[str, Any], kind: str, server: LoopbackServer) -> None:
    llm = ChatEMAFusion([Candidate(client(server, "m"), price=Price(input=1, output=1))])
    assert llm.request([HumanMessage([block])]).query().needs == {kind}


def test_a_prompt_of_the_core_becomes_messages() -> None:
    made = langchain_messages([Message("system", "s"), Message("user", "u"), Message("assistant", "a")])
    assert [(m.type, m.text) for m in made] == [("system", "s"), ("human", "u"), ("ai", "a")]


def test_a_reply_tells_calls_usage_reason_and_logprobs() -> None:
    message = AIMessage(
        "hi",
        tool_calls=[CALL],
        invalid_tool_calls=[{"name": "g", "args": "{", "id": "2", "error": None, "type": "invalid_tool_call"}],
        usage_metadata=UsageMetadata(
            input_tokens=9,
            output_tokens=3,
            total_tokens=12,
            input_token_details={"cache_read": 4},
            output_token_details={},
        ),
        response_metadata={
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "hi", "logprob": -0.5}, {"token": "!", "logprob": -1}]},
        },
    )
    reply = reply_of(message)
    assert reply.tool_calls == (ToolCall("f", {"x": 1}, "1"), ToolCall("g", {}, "2", valid=False))
    assert reply.usage == Usage(9, 3, 4)
    assert (reply.text, reply.finish_reason, reply.logprobs) == ("hi", "stop", (-0.5, -1.0))
    assert reply.native is message
    assert reply_of(AIMessage("x", response_metadata={"stop_reason": "end_turn"})).finish_reason == "end_turn"
    assert reply_of(AIMessage("x")).usage is None


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("text", id="1", response_metadata={"a": "b"}),
        AIMessage("", id="1", tool_calls=[CALL, {**CALL, "id": "2"}]),
        AIMessage([{"type": "text", "text": "blocks", "index": 0}], id="1"),
    ],
    ids=["text", "calls", "blocks"],
)
def test_a_whole_message_as_a_chunk_says_the_same(message: AIMessage) -> None:
    chunk = as_chunk(message)
    assert chunk.chunk_position == "last"
    assert (chunk.text, chunk.tool_calls, chunk.id) == (message.text, message.tool_calls, message.id)
    assert as_chunk(chunk) is chunk


def test_a_chunk_that_was_not_the_last_goes_on_without_the_mark() -> None:
    early = AIMessageChunk(content="", chunk_position="last", response_metadata={"model_name": "m"})
    usage = AIMessageChunk(content="", chunk_position="last")
    last = LastChunk()
    passed = [c for chunk in (AIMessageChunk(content="hi"), early, usage) for c in last.passed(chunk)]
    ending = last.ending(AIMessage("hi"), AIMessage("hi", response_metadata={"emafusion": {}}))
    assert [c.chunk_position for c in (*passed, ending)] == [None, None, "last"]
    whole = passed[0] + [*passed[1:], ending]
    assert whole.response_metadata == {"model_name": "m", "emafusion": {}}


THOUGHT: Any = {"type": "thinking", "thinking": "hm", "signature": "s"}
SAID: Any = {"type": "text", "text": "Hello"}


def by(provider: str, content: Any, **fields: Any) -> AIMessage:
    return AIMessage(content, response_metadata={"model_provider": provider}, **fields)


def test_reasoning_of_another_provider_is_left_out() -> None:
    for author, block in (
        ("anthropic", THOUGHT),
        ("anthropic", {"type": "redacted_thinking", "data": "x"}),
        ("openai", {"type": "reasoning", "id": "rs_1", "summary": []}),
        ("google_genai", {"type": "non_standard", "value": {"type": "thinking", "thinking": "x"}}),
    ):
        (sent,) = portable([by(author, [block, SAID])], "mistralai")
        assert sent.content == [SAID]


def test_a_provider_gets_its_own_reasoning_back() -> None:
    for author, provider in (("anthropic", "anthropic"), ("openai", "openai"), ("google_genai", "google")):
        message = by(author, [THOUGHT, SAID])
        assert portable([message], provider) == [message]
        assert portable([message], provider)[0] is message


def test_reasoning_of_unknown_authors_is_left_out_and_all_else_untouched() -> None:
    plain = AIMessage([SAID])
    thought = AIMessage([THOUGHT, SAID], additional_kwargs={"reasoning_content": "hm", "x": 1})
    human = HumanMessage([SAID])
    sent = portable([plain, thought, human], "openai")
    assert sent[0] is plain
    assert sent[2] is human
    assert sent[1].content == [SAID]
    assert sent[1].additional_kwargs == {"x": 1}
    assert thought.content == [THOUGHT, SAID]


def test_a_turn_of_reasoning_and_calls_keeps_its_calls() -> None:
    (sent,) = portable([by("anthropic", [THOUGHT], tool_calls=[CALL])], "openai")
    assert isinstance(sent, AIMessage)
    assert (sent.content, sent.tool_calls) == ("", [CALL])


def test_what_is_sent_to_a_candidate_is_portable(server: LoopbackServer) -> None:
    model = client(server, "m")
    assert provider_of(model) == "openai"
    llm = ChatEMAFusion([Candidate(model, price=Price(input=1, output=1))])
    llm.invoke([HumanMessage("Hello"), by("anthropic", [THOUGHT, SAID]), HumanMessage("And?")])
    assert "thinking" not in str(server.requests[0])


def test_what_a_model_cannot_is_known_without_a_profile(server: LoopbackServer) -> None:
    price = Price(input=1, output=1)
    assert resolve(Candidate(FakeListChatModel(responses=["x"]), name="f", price=price)).abilities == frozenset()
    assert resolve(Candidate(client(server, "m"), price=price)).abilities is None


def test_a_providers_built_in_tool_passes_as_it_is() -> None:
    built_in = {"type": "computer_20990101", "name": "computer", "display_width_px": 1}
    assert tool_specs([built_in]) == [built_in]
    with pytest.raises(ValueError, match="Unsupported"):
        tool_specs([{"no": "tool"}])


def test_a_candidate_is_rated_by_its_model_and_not_by_what_it_is_called(server: LoopbackServer) -> None:
    price = Price(input=1, output=1)
    known = resolve(Candidate(client(server, "gpt-4o-mini"), name="small", price=price))
    assert known.rating == known_rating("gpt-4o-mini") is not None
    assert resolve(Candidate(client(server, "m"), price=price)).rating is None
    assert resolve(known.named(rating=1000.0)).rating == 1000.0
