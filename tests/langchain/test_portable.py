"""Any author's turns for any reader: a matrix of message shapes and providers.

The shapes are recorded from the client classes of four APIs (``record_shapes``), as they hand over whole answers and
streams, in each content version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
)
from packaging.version import Version

from langchain_emafusion.portable import portable, provider_of
from tests.langchain import record_shapes
from tests.langchain.provider_payloads import ARGUMENTS, SIGNATURES
from tests.langchain.wire_rules import FAULTS

PRIVATE = ("THOUGHT", *SIGNATURES.values())


def _history(calling: AIMessage, answer: AIMessage) -> list[BaseMessage]:
    told = zip(calling.tool_calls, record_shapes.WEATHER_TOLD)
    return [
        SystemMessage([{"type": "text", "text": "Be terse.", "cache_control": {"type": "ephemeral"}}]),
        HumanMessage("How is the weather in Rome and in Oslo?"),
        calling,
        *(ToolMessage(text, tool_call_id=str(call["id"])) for call, text in told),
        answer,
        HumanMessage("And tomorrow?"),
    ]


def _recorded() -> Iterator[tuple[str, list[BaseMessage]]]:
    for author in record_shapes.AUTHORS:
        written = json.loads((record_shapes.SHAPES / f"{author.replace(' ', '_')}.json").read_text())
        for way, turns in written["turns"].items():
            calling, answer = messages_from_dict(turns)
            assert isinstance(calling, AIMessage)
            assert isinstance(answer, AIMessage)
            yield f"{author}, {way}", _history(calling, answer)


def _with_odd_ids() -> list[BaseMessage]:
    """As a server that follows OpenAI's form only roughly writes them."""
    calls: Any = [
        {"name": "weather", "args": arguments, "id": f"functions.weather:{i}", "type": "tool_call"}
        for i, arguments in enumerate(ARGUMENTS)
    ]
    return _history(AIMessage("", tool_calls=calls), AIMessage("Sunny."))


AUTHORS: dict[str, list[BaseMessage]] = {**dict(_recorded()), "odd ids": _with_odd_ids()}


def family(author: str) -> str:
    return "" if author == "odd ids" else author.split(",")[0].split(" ")[0]


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
def test_calls_and_their_results_have_ids_that_the_reader_accepts(author: str, reader: str) -> None:
    _, _, said, *results = portable(AUTHORS[author], reader)[:5]
    assert isinstance(said, AIMessage)
    ids = [r.tool_call_id for r in results if isinstance(r, ToolMessage)]
    assert [c["id"] for c in said.tool_calls] == ids
    assert [c["args"] for c in said.tool_calls] == list(ARGUMENTS)
    assert all(re.fullmatch(ACCEPTED[reader], i) for i in ids)
    spelled = {b.get("call_id") or b["id"] for b in said.content if isinstance(b, dict) and "name" in b}
    spelled |= {c["id"] for c in said.additional_kwargs.get("tool_calls", ())}
    assert spelled <= set(ids)


@authors
@readers
def test_only_the_author_gets_its_reasoning_and_signatures_back(author: str, reader: str) -> None:
    sent, written = str(portable(AUTHORS[author], reader)), str(AUTHORS[author])
    for private in PRIVATE:
        assert (private in sent) == (private in written and family(author) == reader)


@pytest.mark.parametrize("author", [a for a in AUTHORS if "odd" not in a])
def test_reasoning_whose_author_is_not_named_goes_to_nobody(author: str) -> None:
    bare = [m.model_copy(update={"response_metadata": {}}) if isinstance(m, AIMessage) else m for m in AUTHORS[author]]
    for reader in ACCEPTED:
        assert not any(private in str(portable(bare, reader)) for private in PRIVATE)


@authors
@readers
def test_what_was_said_and_asked_is_kept(author: str, reader: str) -> None:
    sent = portable(AUTHORS[author], reader)
    assert [m.type for m in sent] == [m.type for m in AUTHORS[author]]
    assert [str(m.text) for m in sent] == [str(m.text) for m in AUTHORS[author]]


@pytest.fixture(scope="module")
def providers() -> Iterator[Any]:
    with record_shapes.provider_server() as served:
        yield served


@pytest.mark.filterwarnings("ignore")  # the clients' own
@authors
@pytest.mark.parametrize("reader", record_shapes.AUTHORS)
def test_the_readers_own_client_sends_what_its_api_accepts(providers: Any, author: str, reader: str) -> None:
    address, bodies = providers
    package = record_shapes.PACKAGES[reader]
    pytest.importorskip(package.replace("-", "_"), reason=f"{package} is not installed; make test-matrix has a cell")
    if reader == "openai" and author.startswith("openai responses") and Version(version(package)) < Version("1.1.16"):
        pytest.skip("before 1.1.16 langchain-openai sent what Responses calls a call to Chat Completions")
    model = record_shapes.model_of(reader, address)
    model.bind_tools([record_shapes.WEATHER]).invoke(portable(AUTHORS[author], provider_of(model)))
    body = bodies[-1]
    assert FAULTS[reader](body) == []
    sent, written = json.dumps(body), str(AUTHORS[author])
    if family(author) != family(reader):
        assert not any(private in sent for private in PRIVATE)
    elif author.startswith(f"{reader},"):  # its own reasoning has gone back, signed
        assert all(signature in sent for signature in SIGNATURES.values() if signature in written)


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


@authors
@readers
def test_another_providers_own_spelling_of_its_calls_is_left_out(author: str, reader: str) -> None:
    if family(author) == reader:
        return
    sent = portable(AUTHORS[author], reader)[2]
    assert all(isinstance(b, dict) and b["type"] == "text" for b in sent.content if not isinstance(sent.content, str))
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
