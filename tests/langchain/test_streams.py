"""What reaches a consumer of a stream: the answer, once, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from emafusion.policies.moves import Accept, Move, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import CHEAP_TEXT, DEAR_TEXT, candidate
from tests.langchain.paths import ASK, CASCADE, DIRECT, JUDGED, graph_over, paths, readers
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer


class Tokens(BaseCallbackHandler):
    """A handler of the kind that people write to print or queue tokens."""

    run_inline = True

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.ends: list[str] = []

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.tokens.append(str(token))

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ends.append(response.generations[0][0].text)


def added(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]
    assert isinstance(whole, AIMessageChunk)
    return whole


@paths
@readers
async def test_a_consumer_reads_the_answer_once_and_no_draft(
    llm: ChatEMAFusion, moves: tuple[Move, ...], read: Callable[[ChatEMAFusion], Awaitable[str]]
) -> None:
    assert await read(scripted(llm, *moves)) == DEAR_TEXT


@paths
async def test_graph_state_holds_the_message_that_was_streamed(llm: ChatEMAFusion, moves: tuple[Move, ...]) -> None:
    graph = graph_over(scripted(llm, *moves))
    streamed: dict[str | None, str] = {}
    state: Any = None
    async for mode, item in graph.astream({"messages": [HumanMessage(ASK)]}, stream_mode=["messages", "values"]):
        if mode == "messages":
            streamed[item[0].id] = streamed.get(item[0].id, "") + str(item[0].text)
        else:
            state = item
    answer = state["messages"][-1]
    assert streamed == {answer.id: DEAR_TEXT}
    assert answer.response_metadata["emafusion"]["answered_by"] == "dear"


@pytest.mark.parametrize("moves", [CASCADE, JUDGED], ids=["cascade", "judged"])
async def test_events_show_one_chat_model_run_a_request(llm: ChatEMAFusion, moves: tuple[Move, ...]) -> None:
    events = [e async for e in scripted(llm, *moves).astream_events(ASK, version="v2")]
    kinds = [e["event"] for e in events if e["event"] in ("on_chat_model_start", "on_chat_model_end")]
    assert kinds == ["on_chat_model_start", "on_chat_model_end"]
    (end,) = [e for e in events if e["event"] == "on_chat_model_end"]
    assert end["data"]["output"].text == DEAR_TEXT


def test_a_committed_answer_streams_token_by_token(llm: ChatEMAFusion) -> None:
    chunks = list(scripted(llm, *DIRECT).stream(ASK))
    assert sum(bool(c.text) for c in chunks) == len(DEAR_TEXT.split())


def test_a_judged_answer_comes_in_one_piece(llm: ChatEMAFusion) -> None:
    chunks = list(scripted(llm, *JUDGED).stream(ASK))
    assert [c.text for c in chunks] == [DEAR_TEXT]


def test_buffered_mode_never_streams_live(server: LoopbackServer) -> None:
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], stream_mode="buffered")
    chunks = list(scripted(llm, *DIRECT).stream(ASK))
    assert [c.text for c in chunks] == [DEAR_TEXT]
    assert not server.requests[-1].get("stream")


def test_live_mode_streams_the_first_draft_whatever_the_policy_wants(server: LoopbackServer) -> None:
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], stream_mode="live")
    chunks = list(scripted(llm, *CASCADE).stream(ASK))
    assert "".join(c.text for c in chunks) == CHEAP_TEXT
    assert len(chunks) > 2
    assert server.count() == 1


@paths
def test_the_last_chunk_ends_the_stream_and_carries_the_decision(llm: ChatEMAFusion, moves: tuple[Move, ...]) -> None:
    chunks = list(scripted(llm, *moves).stream(ASK))
    assert [c.chunk_position for c in chunks] == [None] * (len(chunks) - 1) + ["last"]
    told = chunks[-1].response_metadata["emafusion"]
    assert told["answered_by"] == "dear"
    whole = added(chunks)
    assert whole.response_metadata["model_name"] == "dear"
    assert whole.response_metadata["emafusion"]["id"] == told["id"]
    assert len({c.id for c in chunks}) == 1


def test_v1_content_is_marked_as_such(server: LoopbackServer) -> None:
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], output_version="v1")
    assert scripted(llm, *DIRECT).invoke(ASK).response_metadata["output_version"] == "v1"


@paths
def test_disabled_streaming_yields_the_whole_message(server: LoopbackServer, moves: tuple[Move, ...]) -> None:
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], disable_streaming=True)
    heard = Tokens()
    chunks = list(scripted(llm, *moves).stream(ASK, {"callbacks": [heard]}))
    assert [c.text for c in chunks] == [DEAR_TEXT]
    assert not any(r.get("stream") for r in server.requests)
    assert (heard.tokens, heard.ends) == ([], [DEAR_TEXT])


@paths
def test_a_token_handler_hears_each_token_once_when_streamed(llm: ChatEMAFusion, moves: tuple[Move, ...]) -> None:
    heard = Tokens()
    list(scripted(llm, *moves).stream(ASK, {"callbacks": [heard]}))
    assert "".join(heard.tokens) == DEAR_TEXT
    assert heard.ends == [DEAR_TEXT]


@paths
def test_drafts_of_clients_that_always_stream_stay_hidden(server: LoopbackServer, moves: tuple[Move, ...]) -> None:
    eager = [candidate(server, "cheap", streaming=True), candidate(server, "dear", streaming=True)]
    heard = Tokens()
    message = scripted(ChatEMAFusion(eager), *moves).invoke(ASK, {"callbacks": [heard]})
    assert message.text == DEAR_TEXT
    assert CHEAP_TEXT not in "".join(heard.tokens)
    assert heard.ends == [DEAR_TEXT]


@pytest.mark.parametrize("moves", [DIRECT, CASCADE], ids=["direct", "cascade"])
def test_streaming_true_makes_invoke_stream_to_token_handlers(server: LoopbackServer, moves: tuple[Move, ...]) -> None:
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], streaming=True)
    heard = Tokens()
    message = scripted(llm, *moves).invoke(ASK, {"callbacks": [heard]})
    assert isinstance(message, AIMessage)
    assert message.text == "".join(heard.tokens) == DEAR_TEXT
    assert len(heard.tokens) > 1


def test_a_stream_that_breaks_after_its_first_token_raises(server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", CHEAP_TEXT, break_after=3))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])
    seen: list[str] = []
    with pytest.raises(Exception, match=r"(?i)closed|incomplete|connection"):  # noqa: PT012
        for chunk in scripted(llm, Try(("cheap",), commit=True)).stream(ASK):
            seen.append(str(chunk.text))
    assert CHEAP_TEXT.startswith("".join(seen))
    assert server.count("dear") == 0


def test_a_stream_that_breaks_inside_a_graph_raises_rather_than_start_over(server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", CHEAP_TEXT, break_after=3))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])
    graph = graph_over(scripted(llm, Try(("cheap",), commit=True)))
    with pytest.raises(Exception, match=r"(?i)closed|incomplete|connection"):
        list(graph.stream({"messages": [HumanMessage(ASK)]}, stream_mode="messages"))
    assert server.count("dear") == 0


def test_a_stream_that_fails_before_its_first_token_goes_to_the_next_candidate(server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", error_status=500))
    llm = ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])
    chunks = list(scripted(llm, Try(("cheap",), commit=True)).stream(ASK))
    assert "".join(c.text for c in chunks) == DEAR_TEXT
    attempts = chunks[-1].response_metadata["emafusion"]["attempts"]
    assert [(a["candidate"], a["error"] is None) for a in attempts] == [("cheap", False), ("dear", True)]


def test_an_accepted_draft_that_is_not_the_last_one_asked_is_the_one_handed_over(llm: ChatEMAFusion) -> None:
    message = scripted(llm, Try(("dear",)), Try(("cheap",)), Accept("dear")).invoke(ASK)
    assert message.text == DEAR_TEXT


def test_an_unusable_answer_that_a_listener_has_read_is_not_followed_by_another(server: LoopbackServer) -> None:
    server.add(LoopbackModel("cheap", lambda messages, body: {"content": '{"city": '}))
    llm = scripted(ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")]), Try(("cheap",), commit=True))
    asked = llm.bind(response_format={"type": "json_object"})
    inputs = {"messages": [HumanMessage("Rome, as JSON.")]}
    read = "".join(str(m.text) for m, _ in graph_over(asked).stream(inputs, stream_mode="messages"))
    assert read == '{"city": '
    assert json.loads(asked.invoke("Rome, as JSON.").text)  # nobody listens, so the next candidate is asked
