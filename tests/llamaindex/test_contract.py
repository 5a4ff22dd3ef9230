"""The contract holds for the stock client, and for EMAFusion on each of its paths."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.llms.function_calling import FunctionCallingLLM

from emafusion.config import Objective
from emafusion.judges.llm import LLMJudge
from llamaindex_emafusion import EMAFusion
from llamaindex_emafusion.testing import LLMContract
from tests import loopback
from tests.llamaindex.conftest import Clients
from tests.llamaindex.scripted import Cascade, Direct
from tests.loopback_model import LoopbackModel


class _OverLoopback(LLMContract):
    """Counts calls and tokens at the server."""

    @pytest.fixture(autouse=True)
    def _serve(self, clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clients, self.server = clients, clients.server
        for name in ("cheap", "dear", "judge"):
            self.server.add(LoopbackModel(name, "0.9" if name == "judge" else None))
        self.usages: list[dict[str, int]] = []
        complete = loopback._complete

        def counted(model: LoopbackModel, body: dict[str, Any]) -> dict[str, Any]:
            completion = complete(model, body)
            self.usages.append(completion["usage"])
            return completion

        monkeypatch.setattr(loopback, "_complete", counted)

    @pytest.fixture
    def llm(self) -> FunctionCallingLLM:
        return self.make()

    @pytest.fixture
    def slow_llm(self) -> FunctionCallingLLM:
        for name in ("cheap", "dear"):
            self.server.add(LoopbackModel(name, latency=0.4))
        return self.make()

    def make(self) -> FunctionCallingLLM:
        raise NotImplementedError

    def real_calls(self) -> int:
        return self.server.count()

    def reported_tokens(self) -> tuple[int, int]:
        return sum(u["prompt_tokens"] for u in self.usages), sum(u["completion_tokens"] for u in self.usages)


class TestStockClient(_OverLoopback):
    keeps_tool_history = False

    def make(self) -> FunctionCallingLLM:
        made: FunctionCallingLLM = self.clients.model("cheap")
        return made


class TestDirect(_OverLoopback):
    script: Any = Direct(("cheap", "dear"))

    def make(self) -> FunctionCallingLLM:
        return self.clients.scripted(self.script)


class TestDirectBuffered(TestDirect):
    script = Direct(("cheap", "dear"), live=False)


class TestCascadeThatAcceptsTheFirst(TestDirect):
    script = Cascade((("cheap",), ("dear",)), "judge")


class TestCascadeThatEscalates(TestDirect):
    script = Cascade((("cheap",), ("dear",)), "judge", escalations=1)


class TestDraftsAtOnce(TestDirect):
    script = Cascade((("cheap", "dear"),), "judge")


class TestRealEngine(_OverLoopback):
    """The real core: by default the dearest answers unseen, with a budget the cheap one does."""

    objective: Any = None
    stream_mode: Any = "auto"

    def make(self) -> FunctionCallingLLM:
        judge = LLMJudge(self.clients.candidate("judge"))
        self.server.add(LoopbackModel("judge", '{"correct": true, "confidence": 0.9}'))
        pool = [self.clients.candidate("cheap"), self.clients.candidate("dear")]
        return EMAFusion(pool, objective=self.objective, judges=[judge], stream_mode=self.stream_mode)


class TestRealEngineOnABudget(TestRealEngine):
    objective = Objective(usd_per_query=0.0001)


class TestRealEngineThatJudges(TestRealEngine):
    objective = Objective(usd_value=0.05)
    stream_mode = "buffered"
