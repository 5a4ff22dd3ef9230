"""Structured output through a routed candidate: three methods, sync, async and streamed."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from emafusion.policies.moves import Accept, Move, Try
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import candidate
from tests.langchain.paths import paths
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the OpenAI client's own

ASK = "Book 'Rome' for 3 people, as JSON."
methods = pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
ways = pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])


class Booking(BaseModel):
    """A booking."""

    city: str = Field(description="Where to")
    people: int = Field(description="How many")


class BookingDict(TypedDict):
    """A booking."""

    city: str
    people: int


SCHEMAS: dict[str, Any] = {"pydantic": Booking, "typeddict": BookingDict, "json": Booking.model_json_schema()}
schemas = pytest.mark.parametrize("schema", list(SCHEMAS.values()), ids=list(SCHEMAS))
WANTED = {"city": "Rome", "people": 3}


@pytest.fixture
def llm(server: LoopbackServer) -> ChatEMAFusion:
    """Both write the booking; in JSON mode, which gives no schema, from memory."""

    def answer(messages: Any, body: dict[str, Any]) -> Any:
        if (body.get("response_format") or {}).get("type") in ("json_object", "json_schema"):
            return '{"city": "Rome", "people": 3}'
        if body.get("tools"):
            name = body["tools"][0]["function"]["name"]
            return {"tool_calls": [{"name": name, "arguments": WANTED}]}
        return '{"correct": true, "confidence": 0.9}'

    server.add(LoopbackModel("cheap", answer))
    server.add(LoopbackModel("dear", answer))
    return ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])


async def read(runnable: Any, way: str, asked: Any = ASK) -> Any:
    """The output; of a stream the last piece, or the sum of pieces where they are parts of a dict."""
    if way == "invoke":
        return runnable.invoke(asked)
    if way == "ainvoke":
        return await runnable.ainvoke(asked)
    pieces = list(runnable.stream(asked)) if way == "stream" else [p async for p in runnable.astream(asked)]
    assert pieces
    if isinstance(pieces[-1], dict) and "raw" in pieces[-1]:
        whole: dict[str, Any] = {}
        for piece in pieces:
            for key, part in piece.items():
                whole[key] = whole[key] + part if key == "raw" and key in whole else part
        return whole
    return pieces[-1]


def plain(parsed: Any) -> Any:
    return parsed.model_dump() if isinstance(parsed, BaseModel) else parsed


@schemas
@methods
@ways
async def test_every_kind_of_schema_is_taken(llm: ChatEMAFusion, schema: Any, method: str, way: str) -> None:
    parsed = await read(scripted(llm).with_structured_output(schema, method=method), way)
    assert plain(parsed) == WANTED


@paths
@methods
@ways
async def test_include_raw_gives_the_message_with_its_decision(
    llm: ChatEMAFusion, moves: tuple[Move, ...], method: str, way: str
) -> None:
    runnable = scripted(llm, *moves).with_structured_output(Booking, method=method, include_raw=True)
    output = await read(runnable, way)
    assert set(output) == {"raw", "parsed", "parsing_error"}
    assert output["parsed"] == Booking(city="Rome", people=3)
    assert output["parsing_error"] is None
    assert output["raw"].response_metadata["emafusion"]["answered_by"] == "dear"
    assert output["raw"].usage_metadata["input_tokens"] > 0


async def test_json_mode_needs_no_schema(llm: ChatEMAFusion) -> None:
    runnable = llm.with_structured_output(method="json_mode")
    assert runnable.invoke(ASK) == await runnable.ainvoke(ASK) == WANTED


def test_strict_reaches_the_candidate(llm: ChatEMAFusion, server: LoopbackServer) -> None:
    llm.with_structured_output(Booking, method="function_calling", strict=True).invoke(ASK)
    assert server.requests[0]["tools"][0]["function"]["strict"] is True


def test_the_schema_is_part_of_what_is_asked(llm: ChatEMAFusion) -> None:
    query = llm.request(ASK, schema=llm.with_structured_output(Booking).json_schema).query()  # type: ignore[attr-defined]
    assert query.schema is not None
    assert set(query.schema["properties"]) == {"city", "people"}
    assert "schema" in query.needs


def broken(server: LoopbackServer, *names: str) -> ChatEMAFusion:
    for name in names:
        server.add(LoopbackModel(name, '{"city": "Rome"}'))
    return ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")], judges=[])


def test_an_answer_that_does_not_fit_the_schema_counts_against_its_author(
    llm: ChatEMAFusion, server: LoopbackServer
) -> None:
    router = broken(server, "cheap")
    runnable = scripted(router, Try(("cheap",)), Try(("dear",)), Accept("dear")).with_structured_output(
        Booking, method="json_mode", include_raw=True
    )
    told = runnable.invoke(ASK)["raw"].response_metadata["emafusion"]
    confidence = {a["candidate"]: a["confidence"] for a in told["attempts"]}
    assert confidence["cheap"] < confidence["dear"]
    assert any(v["candidate"] == "cheap" and v["score"] < 0.1 for v in told["verdicts"])


@pytest.mark.parametrize("method", ["json_mode", "json_schema"])
async def test_a_committed_answer_that_does_not_fit_the_schema_escalates(
    llm: ChatEMAFusion, server: LoopbackServer, method: str
) -> None:
    router = scripted(broken(server, "cheap"), Try(("cheap",), commit=True))
    runnable = router.with_structured_output(Booking, method=method)
    assert runnable.invoke(ASK) == await runnable.ainvoke(ASK) == Booking(city="Rome", people=3)


@ways
async def test_what_does_not_parse_raises_unless_raw_is_wanted(server: LoopbackServer, way: str) -> None:
    router = broken(server, "cheap", "dear")
    scripted(router, Try(("cheap",)), Accept("cheap"))
    with pytest.raises(OutputParserException):
        await read(router.with_structured_output(Booking, method="json_mode"), way)
    output = await read(router.with_structured_output(Booking, method="json_mode", include_raw=True), way)
    assert output["parsed"] is None
    assert isinstance(output["parsing_error"], OutputParserException)
    assert output["raw"].text == '{"city": "Rome"}'
