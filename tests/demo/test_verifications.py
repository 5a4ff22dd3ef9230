"""Verifications: recorded against a loopback server, resumed, and those that ship."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

import emafusion.demo
from emafusion.demo.record_verifications import main
from emafusion.log import read_log, write_log
from tests.loopback import LoopbackModel, LoopbackServer

SHIPPED = Path(emafusion.demo.__file__).parent / "recorded.jsonl.gz"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl.gz"
    lines = [
        {
            "id": f"q{i}",
            "prompt": f"{i} + {i}?",
            "outcomes": {"small": {"response": str(2 * i + i % 2), "score": 1.0 - i % 2}},
        }
        for i in range(12)
    ]
    write_log(lines, path)
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def verifying(messages: list[dict[str, Any]], body: dict[str, Any]) -> str:
    """Says correct of most samples, nonsense of one; the seed of the request decides which."""
    return random.Random(body["seed"]).choice(["Correct", "Correct.", "Incorrect", "Hm"])


def command(server: LoopbackServer, log: Path, *more: str) -> list[str]:
    return ["--base-url", server.base_url, "--name", "small", "--log", str(log), *more]


def test_every_answer_gets_the_verdicts_that_could_be_read_and_what_they_cost(
    log: Path, loopback: LoopbackServer
) -> None:
    loopback.add(LoopbackModel("small", verifying))
    before = lines(log)
    main(command(loopback, log))
    assert loopback.count("small") == 12 * 8
    after = lines(log)
    for old, new in zip(before, after):
        outcome = new["outcomes"]["small"]
        assert set(outcome["verification"]) <= {0, 1}
        assert 1 <= len(outcome["verification"]) <= 8
        assert outcome.pop("verification_usd") > 0
        del outcome["verification"]
        assert old == new
    seeds = [body["seed"] for body in loopback.requests]
    assert len(set(seeds)) == len(seeds)
    assert {body["temperature"] for body in loopback.requests} == {1.0}


def test_a_recording_that_ran_out_of_time_goes_on_in_the_same_order(log: Path, loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("small", verifying))
    main(command(loopback, log, "--minutes", "0"))
    first = {line["id"] for line in lines(log) if "verification" in line["outcomes"]["small"]}
    assert len(first) < 12
    main(command(loopback, log))
    assert loopback.count("small") == 12 * 8
    assert all("verification" in line["outcomes"]["small"] for line in lines(log))
    whole = log.read_bytes()
    main(command(loopback, log))
    assert loopback.count("small") == 12 * 8
    assert log.read_bytes() == whole


def test_what_cannot_be_read_has_a_cost_and_no_share(log: Path, loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("small", "The weather in Rome is"))
    main(command(loopback, log))
    for line in lines(log):
        assert "verification" not in line["outcomes"]["small"]
        assert line["outcomes"]["small"]["verification_usd"] > 0


def test_a_journal_of_other_settings_is_not_gone_on_with(log: Path, loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("small", verifying))
    main(command(loopback, log, "--minutes", "0"))
    with pytest.raises(ValueError, match="other settings"):
        main(command(loopback, log, "--samples", "4"))


def test_the_shipped_log_has_verifications_of_the_two_smaller_candidates() -> None:
    entries = read_log(SHIPPED)
    count = {"smollm2-135m": 0, "qwen2.5-coder-0.5b": 0, "qwen2.5-coder-1.5b": 0}
    for entry in entries:
        for name, outcome in entry.outcomes.items():
            extra = outcome.model_extra or {}
            if "verification" in extra:
                assert set(extra["verification"]) <= {0, 1}
                assert extra["verification_usd"] > 0
                count[name] += 1
    assert count["smollm2-135m"] >= 200
    assert count["qwen2.5-coder-0.5b"] >= 250
    assert count["qwen2.5-coder-1.5b"] == 0
