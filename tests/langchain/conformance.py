"""What every conformance suite of this folder sets: real ``ChatOpenAI`` candidates on a loopback server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from emafusion.policies.moves import Move
from langchain_emafusion import ChatEMAFusion
from tests.langchain.conftest import candidate
from tests.langchain.offline_media import offline_get
from tests.langchain.scripted import scripted
from tests.loopback import LoopbackModel, LoopbackServer

__all__ = ["IntegrationSuite", "UnitSuite"]


class _Server:
    server: LoopbackServer

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _serve(cls) -> Iterator[None]:
        # Both echo what they are asked, so that an answer carries what the suite looks for.
        with LoopbackServer(LoopbackModel("cheap", cached_tokens=2), LoopbackModel("dear", cached_tokens=2)) as server:
            cls.server = server
            yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatEMAFusion

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"candidates": [candidate(self.server, "cheap"), candidate(self.server, "dear")]}


class UnitSuite(_Server, ChatModelUnitTests):
    """Skipped: ``test_serdes`` (a router is not serialisable: its candidates hold keys), ``test_init_from_env``
    (keys are the candidates' own business)."""


class IntegrationSuite(_Server, ChatModelIntegrationTests):
    """Skipped: ``test_stream_time`` (it replays a recording of a provider's; the loopback server needs none)."""

    moves: tuple[Move, ...] = ()

    @pytest.fixture(autouse=True)
    def _offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("httpx.get", offline_get)
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "emafusion-tests")

    @pytest.fixture
    def model(self, request: Any) -> BaseChatModel:
        llm = ChatEMAFusion(
            **{**self.standard_chat_model_params, **self.chat_model_params, **getattr(request, "param", {})}
        )
        if self.moves:
            scripted(llm, *self.moves)
        return llm

    @property
    def model_override_value(self) -> str:
        return "dear"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Any]]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        llm = ChatEMAFusion(**self.chat_model_params)
        if self.moves:
            scripted(llm, *self.moves)
        if not stream:
            return llm.invoke("Hello there")
        chunks = list(llm.stream("Hello there"))
        whole = chunks[0] + chunks[1:]
        assert isinstance(whole, AIMessage)
        return whole
