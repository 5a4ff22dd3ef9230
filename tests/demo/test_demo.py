"""The demo, as its user runs it: in a process of its own, in an empty folder, with no network but loopback."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from emafusion.cli import app
from emafusion.demo import chains
from emafusion.demo.workload import SHIPPED, load_workload
from tests.demo.recordings import write_recording
from tests.loopback import LoopbackModel, LoopbackServer

GUARDED = """
import socket, sys
connect = socket.socket.connect
def guarded(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise SystemExit(f"the demo reached out to {address}")
    return connect(self, address)
socket.socket.connect = guarded
from emafusion.cli import app
app(sys.argv[1:])
"""


def run_demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The demo's process; its folder is the current one."""
    command = [sys.executable, "-c", GUARDED, "demo", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done


def check_files(folder: Path, n: int) -> None:
    lines = (folder / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == n
    assert {"prompt_id", "score", "answered_by", "attempts", "confidence", "reason"} <= json.loads(lines[0]).keys()
    assert (folder / "frontier.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
    assert (folder / "frontier.png").read_bytes().startswith(b"\x89PNG")


def check_rows(content: dict[str, Any], candidates: set[str]) -> None:
    rows = content["rows"]
    assert {r["name"] for r in rows if r["kind"] == "candidate"} == candidates
    assert sum(r["kind"] == "EMAFusion" for r in rows) == 4
    assert rows[-1]["kind"] == "oracle"
    best = max(r["quality"] for r in rows)
    assert rows[-1]["quality"] == best, "nothing can beat the oracle on the same answers"
    for r in rows:
        assert r["n"] == rows[0]["n"]
        assert 0 <= r["quality"] <= 1
        assert r["usd_per_1000"] > 0
        assert r["quality_se"] >= 0
        assert r["seconds"] > 0
        assert sum(r["answered_by"].values()) == pytest.approx(1)


@pytest.mark.skipif(not SHIPPED.is_file(), reason="the recording is not in this checkout")
def test_the_demo_runs_on_the_shipped_recording(tmp_path: Path) -> None:
    content = json.loads(run_demo(tmp_path, "--json").stdout)
    assert content["live"] is False
    check_rows(content, {"smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"})
    check_files(tmp_path / "demo-output", content["rows"][0]["n"])
    reference = next(r for r in content["rows"] if r["name"] == content["reference"])
    assert content["langchain"]["before"]["quality"] == pytest.approx(reference["quality"])
    # The chain went through real clients and a real server; the table through the engine alone: they agree.
    same = next(r for r in content["rows"] if r["name"] == f"EMAFusion, quality floor {chains.SHOWN_FLOOR:g}")
    assert content["langchain"]["after"]["quality"] == pytest.approx(same["quality"])
    assert content["langchain"]["after"]["usd_per_1000"] == pytest.approx(same["usd_per_1000"])
    assert content["llamaindex"]["before"]["n"] >= 5


def test_the_demo_speaks_to_people(tmp_path: Path) -> None:
    log = write_recording(tmp_path, share=0.2)
    out = run_demo(tmp_path, "--log", str(log), "-o", "shown").stdout
    assert "This is a recording, not live" in out
    assert "recorded on 2026-01-02" in out
    for words in ("tiny", "middle", "large", "oracle", "EMAFusion, quality floor 0.99", "±", "USD per 1,000"):
        assert words in out
    assert out.count("The grader, which EMAFusion does not see, says:") == 3
    assert "Asked first:" in out
    assert str(Path("shown") / "frontier.svg") in out
    check_files(tmp_path / "shown", len(load_workload(log).test))
    if chains.langchain_missing() is None:
        assert "+ llm = ChatEMAFusion(" in out
    if chains.llamaindex_missing() is None:
        assert "engine = index.as_query_engine(llm=EMAFusion(" in out


def invoke(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """The demo in this process, where the test run's own guard keeps sockets to loopback."""
    monkeypatch.chdir(folder)
    return CliRunner().invoke(app, ["demo", *arguments])


def test_the_demo_gives_its_table_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = write_recording(tmp_path, share=0.1)
    done = invoke(tmp_path, monkeypatch, "--log", str(log), "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    check_rows(content, {"tiny", "middle", "large"})
    assert content["files"] == [
        str(Path("demo-output") / f) for f in ("decisions.jsonl", "frontier.svg", "frontier.png")
    ]


def test_missing_parts_are_said_with_how_to_install_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = write_recording(tmp_path, share=0.1)
    for name in ("langchain_openai", "llama_index.llms.openai_like", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if sys.modules.get(name, 1) is None else find(name, *rest)
    )
    done = invoke(tmp_path, monkeypatch, "--log", str(log))
    assert done.exit_code == 0, done.output
    assert "Skipped: it needs pip install langchain-openai" in done.stdout
    assert "Skipped: it needs pip install llama-index-llms-openai-like" in done.stdout
    assert "No picture: it needs pip install 'emafusion[report]'" in done.stdout
    assert "oracle" in done.stdout
    assert len((tmp_path / "demo-output" / "decisions.jsonl").read_text(encoding="utf-8").splitlines()) > 10
    assert not (tmp_path / "demo-output" / "frontier.svg").exists()


def test_the_demo_runs_live_against_a_server(tmp_path: Path) -> None:
    with LoopbackServer(LoopbackModel("small", "Answer: 7"), LoopbackModel("big", "Paris")) as server:
        arguments = ["--live", "--base-url", server.base_url, "--models", "small,big", "--queries", "12", "--json"]
        prices = ["--price", "small=0.1,0.2", "--price", "big=1,2"]
        content = json.loads(run_demo(tmp_path, *arguments, *prices).stdout)
        asked = server.count()
    assert content["live"] is True
    assert "given just now" in content["origin"]
    check_rows(content, {"small", "big"})
    if chains.langchain_missing() is None:
        live = content["langchain"]
        assert live["before"]["n"] == live["after"]["n"] == 20
        assert asked >= 2 * 12 + 20 + 20  # the sample by both, then the chain before and after
    (kept,) = (tmp_path / "demo-output").glob("live-*.jsonl.gz")
    assert kept.stat().st_size > 0


def test_a_server_that_is_not_there_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--live", "--base-url", "http://127.0.0.1:9/v1", "--models", "a", "--queries", "4", "--json"]
    done = invoke(tmp_path, monkeypatch, *arguments)
    assert done.exit_code == 2
    assert "is the server running, with those models (a)?" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--live", "--price", "a=cheap"], "write name=input,output"),
        (["--live", "--base-url", "http://127.0.0.1:9/v1"], "say which of its models"),
        (["--log", "absent.jsonl.gz"], "absent.jsonl.gz: there is no such file"),
    ],
)
def test_wrong_arguments_are_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    done = invoke(tmp_path, monkeypatch, *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
