"""The behaviour suite that ships, over real clients, for each way in which an answer can come about."""

from __future__ import annotations

from typing import Any

import pytest

from emafusion.policies.moves import Move
from langchain_emafusion import ChatEMAFusion
from langchain_emafusion.testing import RoutingBehaviour
from tests.langchain.conftest import CHEAP_TEXT, DEAR_TEXT, candidate
from tests.langchain.paths import ASK, CASCADE, DIRECT, JUDGED
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer

BOOKED = {"city": "Rome", "people": 3}

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the OpenAI client's own


def book(messages: Any, body: dict[str, Any]) -> Any:
    if body.get("tools"):
        return {"tool_calls": [{"name": body["tools"][0]["function"]["name"], "arguments": BOOKED}]}
    asked_json = (body.get("response_format") or {}).get("type") in ("json_object", "json_schema")
    return '{"city": "Rome", "people": 3}' if asked_json else '{"correct": true, "confidence": 0.9}'


class _Behaviour(RoutingBehaviour):
    question, answer, draft = ASK, DEAR_TEXT, CHEAP_TEXT
    moves: tuple[Move, ...]

    @pytest.fixture(autouse=True)
    def _serve(self, server: LoopbackServer) -> None:
        self.server = server

    def answering(self, **fields: Any) -> ChatEMAFusion:
        pool = [candidate(self.server, "cheap"), candidate(self.server, "dear")]
        return scripted(ChatEMAFusion(pool, **fields), *self.moves)

    def _with(self, answer: Any, **behaviour: Any) -> ChatEMAFusion:
        for name in ("cheap", "dear"):
            self.server.add(LoopbackModel(name, answer, **behaviour))
        return self.answering()

    def echoing(self) -> ChatEMAFusion:
        return self._with(None)

    def calling(self) -> ChatEMAFusion:
        return self._with(None)

    def booking(self) -> ChatEMAFusion:
        return self._with(book)

    def slow(self) -> ChatEMAFusion:
        return self._with("one two three four five six seven eight nine ten", chunk_delay=0.05)


class TestDirect(_Behaviour):
    moves = DIRECT


class TestCascade(_Behaviour):
    moves = CASCADE


class TestJudged(_Behaviour):
    moves = JUDGED

    def slow(self) -> ChatEMAFusion:
        return self._with("x", latency=0.5)

    async def test_a_cancelled_stream_ends_at_once(self) -> None:
        pytest.skip("a judged answer comes in one piece: there is no middle of its stream")
