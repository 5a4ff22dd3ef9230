"""A pool of two real ``ChatOpenAI`` clients against the loopback server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import openai
import pytest
import pytest_asyncio
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from emafusion.config import Candidate, Price
from emafusion.engine.retries import Retries
from langchain_emafusion import ChatEMAFusion, chat_model
from tests.loopback import LoopbackModel, LoopbackServer

CHEAP_TEXT = "A rejected draft from the cheap one."
DEAR_TEXT = "The final answer from the dear one."


@pytest.fixture(autouse=True)
def no_tracing_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2", "LC_OUTPUT_VERSION"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long retries would have waited; they do not."""
    noted: list[float] = []

    async def apause(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(chat_model, "Retries", partial(Retries, pause=noted.append, apause=apause))
    return noted


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(LoopbackModel("cheap", CHEAP_TEXT), LoopbackModel("dear", DEAR_TEXT)) as server:
        yield server


class _Clients:
    """One pair of HTTP clients for all tests, closed at the end: ``ChatOpenAI`` never closes those that it makes."""

    def __init__(self) -> None:
        self.sync = openai.DefaultHttpxClient()
        self.asynchronous = openai.DefaultAsyncHttpxClient()


CLIENTS = _Clients()


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def _close_clients() -> AsyncIterator[None]:
    yield
    CLIENTS.sync.close()
    await CLIENTS.asynchronous.aclose()


def client(server: LoopbackServer, model: str, **fields: Any) -> ChatOpenAI:
    fields = {"max_retries": 0, "stream_usage": True, **fields}
    return ChatOpenAI(
        base_url=server.base_url,
        api_key=SecretStr("sk-secret-key"),
        model=model,
        http_client=CLIENTS.sync,
        http_async_client=CLIENTS.asynchronous,
        **fields,
    )


def candidate(server: LoopbackServer, model: str, **fields: Any) -> Candidate:
    price = Price(input=10.0, output=30.0) if model == "dear" else Price(input=0.1, output=0.3)
    return Candidate(client(server, model, **fields), price=price)


@pytest.fixture
def llm(server: LoopbackServer) -> ChatEMAFusion:
    return ChatEMAFusion([candidate(server, "cheap"), candidate(server, "dear")])
