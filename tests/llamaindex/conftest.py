"""What the tests of the LlamaIndex adapter share: real OpenAILike clients of the loopback server, and settings."""

from __future__ import annotations

import gc
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio
from llama_index.core import Settings
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.llms.openai_like import OpenAILike

from emafusion.config import Candidate, Price
from emafusion.engine.retries import Retries
from llamaindex_emafusion import llm
from tests.llamaindex.scripted import ScriptedEMAFusion
from tests.loopback import LoopbackServer

PRICES = {"cheap": 0.1, "middle": 1.0, "dear": 10.0, "judge": 0.5}

API_KEY = "sk-secret-of-the-tests"


_TLS = ssl.create_default_context()  # shared: to load the certificates again for each client takes 0.1 s


@dataclass(frozen=True)
class Clients:
    """Makes stock clients of the server that share two HTTP clients, so that a test can close every connection."""

    server: LoopbackServer
    http: httpx.Client
    ahttp: httpx.AsyncClient

    def model(self, name: str, **fields: Any) -> OpenAILike:
        """The stock client for one model; asks for usage in streams, as whoever counts costs does."""
        settings: dict[str, Any] = {
            "api_base": self.server.base_url,
            "api_key": API_KEY,
            "is_chat_model": True,
            "is_function_calling_model": True,
            "context_window": 32_000,
            "max_tokens": 512,
            "max_retries": 0,
            "additional_kwargs": {"stream_options": {"include_usage": True}},
            "http_client": self.http,
            "async_http_client": self.ahttp,
            **fields,
        }
        return OpenAILike(model=name, **settings)

    def candidate(self, name: str, **fields: Any) -> Candidate:
        return Candidate(self.model(name, **fields), price=Price(PRICES[name], PRICES[name]))

    def scripted(self, script: Any, *names: str, **fields: Any) -> ScriptedEMAFusion:
        """EMAFusion with its path written down, over cheap, dear and judge where nothing else is said."""
        chosen = names or ("cheap", "dear", "judge")
        return ScriptedEMAFusion([self.candidate(n) for n in chosen], script=script, **fields)


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long retries would have waited; they do not."""
    noted: list[float] = []

    async def apause(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(llm, "Retries", partial(Retries, pause=noted.append, apause=apause))
    return noted


@pytest_asyncio.fixture
async def clients(loopback: LoopbackServer) -> AsyncIterator[Clients]:
    made = Clients(loopback, httpx.Client(verify=_TLS), httpx.AsyncClient(verify=_TLS))
    yield made
    made.http.close()
    await made.ahttp.aclose()


@pytest.fixture
def settings() -> Iterator[Any]:
    """LlamaIndex's global settings, with an embedding of our own, put back afterwards."""
    kept = dict(vars(Settings))
    Settings.embed_model = MockEmbedding(embed_dim=8)
    # Not the default sentence splitter: nltk, which it calls, refuses files that an installer hard-linked.
    Settings.node_parser = TokenTextSplitter(chunk_size=256, chunk_overlap=20)
    yield Settings
    for name, value in kept.items():
        setattr(Settings, name, value)


LEAKED_MEMORY = "ignore:.*aiosqlite.core.Connection.* was deleted before being closed:ResourceWarning"
"""LlamaIndex's Memory (one for each run of an agent or chat engine) never closes its SQLite connection."""


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Lets go of what leaked while its warning is still filtered, so that no other module meets it."""
    yield
    gc.collect()
