"""The OpenAI-wire client against the loopback server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import openai
import pytest

from emafusion.clients.openai import OpenAIModel, OpenAITransport, resolve
from emafusion.clients.wire import from_wire, query_of, to_wire
from emafusion.config import Candidate, Price
from emafusion.errors import ConfigError
from emafusion.ratings import known_rating
from emafusion.types import Call, Message, Reply, ToolCall
from tests.loopback import LoopbackModel, LoopbackServer

ASKED = [{"role": "user", "content": "How much is 3 plus 4?"}]
ADD: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


def test_a_plain_answer_comes_with_text_usage_and_the_native_message(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "It is 7.", cached_tokens=4))
    with OpenAIModel("m", loopback.base_url) as model:
        reply = model.chat(ASKED, temperature=0.0)
    assert reply.text == "It is 7."
    assert reply.finish_reason == "stop"
    assert reply.native == {"role": "assistant", "content": "It is 7."}
    assert reply.usage is not None
    assert (reply.usage.output_tokens, reply.usage.cached_input_tokens, reply.usage.estimated) == (3, 4, False)
    assert loopback.requests[0]["temperature"] == 0.0


def test_nothing_is_connected_at_construction() -> None:
    model = OpenAIModel("m", "http://192.0.2.1/v1", temperature=0.5)
    assert repr(model) == "OpenAIModel('m', base_url='http://192.0.2.1/v1')"


def test_a_key_never_shows_in_the_repr() -> None:
    assert "secret" not in repr(OpenAIModel("m", "http://localhost/v1", "sk-secret"))


def test_the_environments_key_is_not_sent_to_another_server(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with OpenAIModel("m", loopback.base_url) as model:
        model.chat(ASKED)
        assert model._sync().api_key == "none"


def test_a_stream_yields_its_tokens_and_then_the_whole_reply(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "It is seven, I think."))
    with OpenAIModel("m", loopback.base_url) as model:
        *deltas, reply = model.stream(ASKED)
        whole = model.chat(ASKED)
    assert len(deltas) == 5
    assert "".join(d["content"] for d in deltas if isinstance(d, dict)) == "It is seven, I think."
    assert isinstance(reply, Reply)
    assert (reply.text, reply.usage, reply.finish_reason) == (whole.text, whole.usage, whole.finish_reason)


async def test_the_asynchronous_methods_answer_alike(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "It is 7."))
    async with OpenAIModel("m", loopback.base_url) as model:
        whole = await model.achat(ASKED, logprobs=True)
        *deltas, streamed = [item async for item in model.astream(ASKED, logprobs=True)]
    assert len(deltas) == 3
    assert isinstance(streamed, Reply)
    assert whole == streamed


def test_one_model_serves_several_event_loops(loopback: LoopbackServer) -> None:
    model = OpenAIModel("m", loopback.base_url)

    async def ask() -> str:
        try:
            return (await model.achat(ASKED)).text
        finally:
            await model.aclose()

    assert [asyncio.run(ask()), asyncio.run(ask())] == ["How much is 3 plus 4?"] * 2


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_calls_arrive_with_parsed_arguments(loopback: LoopbackServer, streamed: bool) -> None:
    with OpenAIModel("m", loopback.base_url) as model:
        reply = list(model.stream(ASKED, [ADD]))[-1] if streamed else model.chat(ASKED, [ADD])
        assert isinstance(reply, Reply)
        (call,) = reply.tool_calls
        assert (call.name, call.arguments, call.valid) == ("add", {"a": 3, "b": 4}, True)
        assert reply.finish_reason == "tool_calls"
        result = {"role": "tool", "tool_call_id": call.id, "content": "7"}
        assert model.chat([*ASKED, reply.native, result], [ADD]).text == "The tool says: 7"


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tool_calls_keep_their_order(loopback: LoopbackServer, streamed: bool) -> None:
    calls = [{"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "add", "arguments": {"a": 3, "b": 4}}]
    loopback.add(LoopbackModel("m", tool_script=[calls, "done"]))
    with OpenAIModel("m", loopback.base_url) as model:
        reply = list(model.stream(ASKED, [ADD]))[-1] if streamed else model.chat(ASKED, [ADD])
    assert isinstance(reply, Reply)
    assert [c.arguments for c in reply.tool_calls] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert len({c.id for c in reply.tool_calls}) == 2


def test_arguments_that_are_no_json_object_make_the_call_invalid(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", tool_script=[[{"name": "add", "arguments": '{"a": 1,'}]]))
    with OpenAIModel("m", loopback.base_url) as model:
        (call,) = model.chat(ASKED, [ADD]).tool_calls
    assert not call.valid
    assert call.arguments == {}


def test_log_probabilities_are_given_a_token(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "one two three", logprob=[-0.5, -0.25, -0.125]))
    with OpenAIModel("m", loopback.base_url) as model:
        assert model.chat(ASKED).logprobs is None
        assert model.chat(ASKED, logprobs=True).logprobs == (-0.5, -0.25, -0.125)


@pytest.mark.parametrize("streamed", [False, True])
def test_missing_usage_is_estimated_and_says_so(loopback: LoopbackServer, streamed: bool) -> None:
    loopback.add(LoopbackModel("m", "It is certainly the number seven.", reports_usage=False))
    with OpenAIModel("m", loopback.base_url) as model:
        reply = list(model.stream(ASKED))[-1] if streamed else model.chat(ASKED)
    assert isinstance(reply, Reply)
    assert reply.usage is not None
    assert reply.usage.estimated
    assert reply.usage.input_tokens > 4
    assert reply.usage.output_tokens > 4


def test_the_client_tries_again_after_a_rate_limit(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "at last", error_status=429, fail_times=2))
    with OpenAIModel("m", loopback.base_url) as model:
        assert model.chat(ASKED).text == "at last"
    assert loopback.count("m") == 3


def test_an_error_that_lasts_is_raised(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", error_status=500))
    with OpenAIModel("m", loopback.base_url, max_retries=0) as model, pytest.raises(openai.InternalServerError):
        model.chat(ASKED)
    assert loopback.count("m") == 1


def test_a_stream_that_breaks_off_is_an_error_not_a_short_answer(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "one two three four five", break_after=3))
    received: list[Any] = []
    with (
        OpenAIModel("m", loopback.base_url, max_retries=0) as model,
        pytest.raises(Exception, match=r"incomplete|closed|Connection"),
    ):
        received.extend(model.stream(ASKED))
    assert not any(isinstance(item, Reply) for item in received)


def test_a_parameter_that_the_model_refuses_is_left_out_from_then_on(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "yes", refuses=frozenset({"temperature", "max_tokens"})))
    with OpenAIModel("m", loopback.base_url) as model:
        for _ in range(2):
            assert model.chat(ASKED, temperature=0.0, max_tokens=5).text == "yes"
    assert loopback.count("m") == 4
    assert loopback.requests[-1].get("max_completion_tokens") == 5


def test_a_refused_parameter_that_matters_is_an_error(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", refuses=frozenset({"tools"})))
    with OpenAIModel("m", loopback.base_url) as model, pytest.raises(openai.BadRequestError):
        model.chat(ASKED, [ADD])


async def test_cancelling_a_stream_closes_the_connection(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "word " * 400, chunk_delay=0.01))
    async with OpenAIModel("m", loopback.base_url) as model:

        async def read() -> None:
            async for _ in model.astream(ASKED):
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(_aborted, loopback)


async def test_cancelling_a_call_returns_at_once(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "late", latency=30.0))
    async with OpenAIModel("m", loopback.base_url) as model:
        start = time.perf_counter()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.achat(ASKED), 0.2)
    assert time.perf_counter() - start < 10


def test_leaving_a_stream_early_closes_the_connection(loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("m", "word " * 400, chunk_delay=0.01))
    with OpenAIModel("m", loopback.base_url) as model:
        stream: Any = model.stream(ASKED)
        next(stream)
        stream.close()
        assert _aborted(loopback)


def _aborted(server: LoopbackServer) -> bool:
    deadline = time.monotonic() + 10
    while not server.aborted and time.monotonic() < deadline:
        time.sleep(0.01)
    return server.aborted == 1


# -- transport -------------------------------------------------------------------------------------------------


def test_a_draft_replays_the_callers_request_and_a_judge_gets_the_cores(loopback: LoopbackServer) -> None:
    with OpenAIModel("m", loopback.base_url) as model:
        transport = OpenAITransport({"m": Candidate(model)}, ASKED, [ADD], tool_choice="none", seed=3)
        assert transport.call(Call("draft", "m")).text == "How much is 3 plus 4?"
        prompt = (Message("system", "Be strict."), Message("user", "Is it right?"))
        judged = transport.call(Call("judge", "m", prompt, temperature=0.0, max_output_tokens=8, logprobs=True))
    assert judged.text == "Is it right?"
    assert judged.logprobs is not None
    draft, judge = loopback.requests
    assert (draft["messages"], draft["tools"], draft["seed"]) == (ASKED, [ADD], 3)
    assert [m["role"] for m in judge["messages"]] == ["system", "user"]
    assert (judge["temperature"], judge["max_tokens"]) == (0.0, 8)
    assert "tools" not in judge
    assert "seed" not in judge


async def test_the_transport_streams_both_ways(loopback: LoopbackServer) -> None:
    async with OpenAIModel("m", loopback.base_url) as model:
        transport = OpenAITransport({"m": model}, ASKED)
        blocking = list(transport.stream(Call("draft", "m", live=True)))
        awaited = [item async for item in transport.astream(Call("draft", "m", live=True))]
        assert (await transport.acall(Call("draft", "m"))).text == "How much is 3 plus 4?"
    assert blocking == awaited


# -- resolving and converting ----------------------------------------------------------------------------------


def test_a_string_becomes_a_model_with_its_name_and_list_price() -> None:
    found = resolve(Candidate("openai:gpt-4o-mini"))
    assert isinstance(found.model, OpenAIModel)
    assert found.name == "gpt-4o-mini"
    assert found.price is not None
    assert found.price.input == pytest.approx(0.15)


def test_a_given_name_and_price_win() -> None:
    found = resolve(Candidate("gpt-4o-mini@http://localhost:8000/v1", name="mine", price=Price(1, 2)))
    assert (found.name, found.price) == ("mine", Price(1, 2))
    assert found.rating == known_rating("gpt-4o-mini")  # by its model, not by what it is called here
    assert found.model.base_url == "http://localhost:8000/v1"


def test_a_model_on_ones_own_machine_has_no_list_price() -> None:
    assert resolve(Candidate("ollama:llama3.2:3b")).price is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nobody:model", "unknown provider 'nobody'"),
        ("openai:", "no model is named"),
        ("@http://localhost/v1", "before the '@'"),
        (object(), "no OpenAI-wire model"),
    ],
)
def test_what_cannot_be_resolved_says_why(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve(Candidate(given))


def test_turns_survive_the_way_to_the_wire_and_back() -> None:
    turn = Message("assistant", "Let me add.", (ToolCall("add", {"a": 1, "b": 2}, "call_1"),))
    assert from_wire(to_wire(turn)) == turn


def test_a_query_knows_what_its_request_needs() -> None:
    content = [
        {"type": "text", "text": "What is in this picture?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ]
    schema = {"type": "object", "properties": {"seen": {"type": "string"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "seen", "schema": schema}}
    query = query_of([{"role": "user", "content": content}], [ADD], response_format=wanted, max_tokens=99)
    assert query.needs == {"image", "tools", "schema"}
    assert query.text == "What is in this picture?"
    assert (query.schema, query.max_output_tokens) == (schema, 99)
