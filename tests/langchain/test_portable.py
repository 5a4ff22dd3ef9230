"""Any author's turns for any reader: a matrix of message shapes and providers.

The shapes are written by hand, as the client classes of the four APIs hand them over.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_emafusion.portable import portable

ARGS = {"city": "Rome"}


def _turn(provider: str, content: Any, id: str, **fields: Any) -> list[BaseMessage]:
    calls = [{"name": "weather", "args": ARGS, "id": id, "type": "tool_call"}]
    told = {"model_provider": provider, **fields.pop("told", {})}
    return [
        SystemMessage([{"type": "text", "text": "Be terse.", "cache_control": {"type": "ephemeral"}}]),
        HumanMessage("How is Rome?"),
        AIMessage(content, tool_calls=calls, response_metadata=told, **fields),
        ToolMessage("sunny", tool_call_id=id),
        AIMessage("Sunny.", response_metadata={"model_provider": provider}),
        HumanMessage("And tomorrow?"),
    ]


OPENAI_ID, ANTHROPIC_ID = "call_9pw4x8S0bQm7LrZ2tEaYkWcV", "toolu_01A09q90qw90lq917835lq9"
GEMINI_ID, RESPONSES_ID = "3d5e7d3c-6a2b-4c64-9a0f-0f6a2f8f2c11", "call_" + "x" * 59
WIRE = {"id": OPENAI_ID, "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}

AUTHORS: dict[str, list[BaseMessage]] = {
    "openai": _turn("openai", "", OPENAI_ID, additional_kwargs={"tool_calls": [WIRE], "refusal": None}),
    "openai responses": _turn(
        "openai",
        [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "SECRET"},
            {"type": "text", "text": "Let me see.", "id": "msg_1", "annotations": []},
            {"type": "function_call", "id": "fc_1", "call_id": RESPONSES_ID, "name": "weather", "arguments": "{}"},
        ],
        RESPONSES_ID,
    ),
    "anthropic": _turn(
        "anthropic",
        [
            {"type": "thinking", "thinking": "THOUGHT", "signature": "SECRET"},
            {"type": "redacted_thinking", "data": "SECRET"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": ANTHROPIC_ID, "name": "weather", "input": ARGS},
        ],
        ANTHROPIC_ID,
        told={"stop_reason": "tool_use"},
    ),
    "google": _turn(
        "google_genai",
        [
            {"type": "thinking", "thinking": "THOUGHT", "signature": "SECRET"},
            {"type": "text", "text": "Let me see.", "extras": {"signature": "SECRET"}},
        ],
        GEMINI_ID,
        additional_kwargs={
            "function_call": {"name": "weather", "arguments": "{}"},
            "__gemini_function_call_thought_signatures__": {GEMINI_ID: "SECRET"},
        },
    ),
    "odd ids": _turn("other", "", "functions.weather:0"),
}
FAMILY = {"openai": "openai", "openai responses": "openai", "anthropic": "anthropic", "google": "google", "odd ids": ""}
ACCEPTED = {
    "openai": r".{1,40}",
    "anthropic": r"[a-zA-Z0-9_-]+",
    "mistral": r"[a-zA-Z0-9]{9}",
    "bedrock": r"[a-zA-Z0-9_-]{1,64}",
    "google": r".+",
    "groq": r".+",
}
authors = pytest.mark.parametrize("author", list(AUTHORS))
readers = pytest.mark.parametrize("reader", list(ACCEPTED))


@authors
@readers
def test_a_call_and_its_result_have_one_id_that_the_reader_accepts(author: str, reader: str) -> None:
    _, _, said, result, *_ = portable(AUTHORS[author], reader)
    assert isinstance(said, AIMessage)
    assert isinstance(result, ToolMessage)
    assert said.tool_calls[0]["id"] == result.tool_call_id
    assert re.fullmatch(ACCEPTED[reader], result.tool_call_id)
    assert said.tool_calls[0]["args"] == ARGS
    spelled = {b.get("call_id") or b["id"] for b in said.content if isinstance(b, dict) and "name" in b}
    spelled |= {c["id"] for c in said.additional_kwargs.get("tool_calls", ())}
    assert spelled <= {result.tool_call_id}


@authors
@readers
def test_only_the_author_gets_its_reasoning_and_signatures_back(author: str, reader: str) -> None:
    sent = str(portable(AUTHORS[author], reader))
    written = str(AUTHORS[author])
    for private in ("SECRET", "THOUGHT", "reasoning"):
        assert (private in sent) == (private in written and FAMILY[author] == reader)


@authors
@readers
def test_what_was_said_and_asked_is_kept(author: str, reader: str) -> None:
    sent = portable(AUTHORS[author], reader)
    assert [m.type for m in sent] == [m.type for m in AUTHORS[author]]
    assert [str(m.text) for m in sent] == [str(m.text) for m in AUTHORS[author]]


@authors
@readers
def test_cache_markers_go_only_to_whom_they_are_for(author: str, reader: str) -> None:
    assert ("cache_control" in str(portable(AUTHORS[author], reader))) == (reader == "anthropic")


@authors
@readers
def test_the_callers_history_is_left_as_it_is_and_the_same_is_sent_again(author: str, reader: str) -> None:
    before = str(AUTHORS[author])
    first, second = portable(AUTHORS[author], reader), portable(AUTHORS[author], reader)
    assert str(AUTHORS[author]) == before
    assert first == second
    assert portable(first, reader) == first


def test_another_providers_own_spelling_of_its_calls_is_left_out() -> None:
    for author, reader in (("anthropic", "openai"), ("openai responses", "anthropic"), ("google", "mistral")):
        sent = portable(AUTHORS[author], reader)[2]
        assert [b for b in sent.content if isinstance(b, dict) and b["type"] != "text"] == []
        assert "function_call" not in sent.additional_kwargs


def test_markers_within_results_and_cache_points_are_left_out_too() -> None:
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    history: list[BaseMessage] = [
        HumanMessage([{"type": "text", "text": "hi"}, {"cachePoint": {"type": "default"}}]),
        HumanMessage([{"type": "tool_result", "tool_use_id": "1", "content": [marked]}]),
    ]
    sent = portable(history, "openai")
    assert sent[0].content == [{"type": "text", "text": "hi"}]
    assert "cache_control" not in str(sent)
    assert portable(history, "bedrock")[0] is history[0]
    assert portable(history, "anthropic")[1] is history[1]


def test_calls_without_ids_are_given_some_and_results_follow_in_order() -> None:
    calls: Any = [{"name": n, "args": {}, "id": None, "type": "tool_call"} for n in ("f", "g")]
    said, one, two = portable(
        [AIMessage("", tool_calls=calls), ToolMessage("1", tool_call_id=""), ToolMessage("2", tool_call_id="")],
        "anthropic",
    )
    assert isinstance(said, AIMessage)
    assert isinstance(one, ToolMessage)
    assert isinstance(two, ToolMessage)
    assert [c["id"] for c in said.tool_calls] == [one.tool_call_id, two.tool_call_id]
    assert one.tool_call_id != two.tool_call_id


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=6, unique=True), st.sampled_from(list(ACCEPTED)))
def test_different_ids_stay_different(given_ids: list[str], reader: str) -> None:
    calls: Any = [{"name": "f", "args": {}, "id": i, "type": "tool_call"} for i in given_ids]
    said, *results = portable(
        [AIMessage("", tool_calls=calls), *(ToolMessage("r", tool_call_id=i) for i in given_ids)], reader
    )
    assert isinstance(said, AIMessage)
    sent = [c["id"] for c in said.tool_calls]
    assert sent == [r.tool_call_id for r in results if isinstance(r, ToolMessage)]
    assert len(set(sent)) == len(given_ids)
