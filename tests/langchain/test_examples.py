"""The examples, run as they are: only ``OPENAI_BASE_URL`` points at the loopback server."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from langchain_openai import ChatOpenAI

from tests.langchain.conftest import CLIENTS
from tests.loopback import LoopbackModel, LoopbackServer

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _openai_is_the_loopback_server(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-key")
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    # The clients that strings are made into are never closed: lend them those that are.
    from langchain_openai.chat_models import base

    monkeypatch.setattr(base, "_get_default_httpx_client", lambda *_, **__: CLIENTS.sync)
    monkeypatch.setattr(base, "_get_default_async_httpx_client", lambda *_, **__: CLIENTS.asynchronous)


def test_the_chain_answers_explains_and_accounts(server: LoopbackServer, capsys: pytest.CaptureFixture[str]) -> None:
    answer = "It was finished in 1591, and the dome is 43.3 metres wide."
    for name in ("gpt-4o-mini", "gpt-4o"):
        server.add(LoopbackModel(name, answer))
    example("langchain_chain").main()
    printed = capsys.readouterr().out
    assert f"answer: {answer}\n" in printed
    assert "answered by gpt-4o" in printed
    assert "Rialto" in str(server.requests[0]["messages"])


def test_the_agent_uses_its_tools_and_keeps_its_model(
    server: LoopbackServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("gpt-4o-mini", "gpt-4o"):
        server.add(LoopbackModel(name))
    example("langchain_agent").main()
    printed = capsys.readouterr().out
    assert "calls in_stock({'item': 'lamp'})" in printed
    assert "The tool says: 12" in printed
    assert "The tool says: ordered: 2 x lamp" in printed
    assert printed.count("as before in this loop") == 2


def test_the_graph_triages_answers_and_keeps_the_conversation(
    server: LoopbackServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("gpt-4o-mini", "gpt-4o"):
        server.add(LoopbackModel(name, "billing"))
    example("langgraph_support").main()
    printed = capsys.readouterr().out
    assert printed.count("billing: billing  [gpt-4o") == 2
    assert "kept:  4 messages" in printed


def test_a_model_that_gets_worse_is_noticed_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("river")
    example("self_optimising").main(tmp_path / "emafusion.sqlite")
    printed = capsys.readouterr().out
    assert "noticed: the quality of 'cheap' fell" in printed
    assert "requests 201 to 240: cheap answered   0%" in printed
    assert "240 decisions" in printed


@pytest.mark.parametrize("name", ["langchain_chain", "langchain_agent", "langgraph_support"])
def test_the_programs_promises_held_before_the_line_was_changed(server: LoopbackServer, name: str) -> None:
    module, plain = example(name), ChatOpenAI(model="gpt-4o")
    if name == "langchain_chain":
        server.add(LoopbackModel("gpt-4o", "In 1591."))
        assert module.ask(plain, "When was the Rialto Bridge finished?") == "In 1591."
    elif name == "langchain_agent":
        module.shop(plain)
    else:
        server.add(LoopbackModel("gpt-4o", "billing"))
        module.support(plain)
    assert server.count("gpt-4o-mini") == 0
