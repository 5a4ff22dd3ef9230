"""The examples run as they stand, and the doctests of the adapter hold."""

from __future__ import annotations

import doctest
import importlib
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.llamaindex.conftest import LEAKED_MEMORY
from tests.loopback import LoopbackServer
from tests.loopback_model import LoopbackModel

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [
    pytest.mark.filterwarnings(LEAKED_MEMORY),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    # A script ends with its process, and leaves it to it to close its connections.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures("collected"),
]


@pytest.fixture
def environment(loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> LoopbackServer:
    monkeypatch.setenv("OPENAI_BASE_URL", loopback.base_url)
    monkeypatch.setenv("EMAFUSION_CHEAP", "small")
    monkeypatch.setenv("EMAFUSION_DEAR", "large")
    monkeypatch.setenv("EMAFUSION_JUDGE", "judge")
    return loopback


def test_the_query_engine_example_runs(
    environment: LoopbackServer, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("small", "large"):
        environment.add(LoopbackModel(name, "AllCandidatesFailed, in its attribute errors."))
    runpy.run_path(str(EXAMPLES / "llamaindex_query_engine.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert "asked: Which error is raised when every candidate failed" in shown
    assert shown.count("AllCandidatesFailed, in its attribute errors.") == 2
    assert "answered by " in shown
    prompts = [m["content"] for body in environment.requests for m in body["messages"]]
    assert any("class AllCandidatesFailed" in p for p in prompts)  # retrieval found the passage


def test_the_agent_example_runs(environment: LoopbackServer, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "llamaindex_agent.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert "add({'a': 12, 'b': 13}) = 25" in shown
    assert "answer: The tool says: " in shown
    assert " USD: " in shown


def test_the_faithfulness_example_escalates_what_the_source_does_not_say(
    environment: LoopbackServer, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.add(LoopbackModel("small", "The Adige, which rises at Lake Como."))
    environment.add(LoopbackModel("large", "The Adige, which rises near the Reschen Pass."))
    environment.add(LoopbackModel("judge", {"Lake Como": "NO", "Reschen": "YES"}))
    runpy.run_path(str(EXAMPLES / "llamaindex_faithful_answers.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert shown.startswith("The Adige, which rises near the Reschen Pass.")
    assert "small was judged 0.1" in shown
    assert "answered by large" in shown


@pytest.mark.parametrize("module", ["asked", "evaluators", "feedback", "llm"])
def test_the_doctests_hold(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"llamaindex_emafusion.{module}"))
    assert tried
    assert not failed
