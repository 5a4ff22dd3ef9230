"""What is wrong is said in one line that names the place and what to do; the exit code is 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import complaint
from tests.evaluation.synthetic_log import bare, make_log, write


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    return make_log(5, seed=3)


def test_a_line_that_does_not_parse(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", lines)
    log.write_text(log.read_text() + '{"id": "cut off", "prom\n')
    assert f"{log}:6: " in complaint("fit", log, "-o", tmp_path / "r.json")


def test_a_score_out_of_range(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    lines[2]["outcomes"]["tiny"]["score"] = 1.5
    log = write(tmp_path / "log.jsonl", lines)
    said = complaint("fit", log, "-o", tmp_path / "r.json")
    assert f"{log}:3: outcomes.tiny.score: " in said
    assert "1.5" in said


def test_a_negative_cost(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    lines[0]["outcomes"]["huge"]["cost_usd"] = -0.1
    said = complaint("fit", write(tmp_path / "log.jsonl", lines), "-o", tmp_path / "r.json")
    assert "log.jsonl:1: outcomes.huge.cost_usd: " in said


def test_an_id_that_was_used_before(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    lines[4]["id"] = lines[1]["id"]
    said = complaint("fit", write(tmp_path / "log.jsonl", lines), "-o", tmp_path / "r.json")
    assert "log.jsonl:5: id 'q1' was already used on line 2" in said


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert "there is no such file" in complaint("fit", tmp_path / "none.jsonl", "-o", tmp_path / "r.json")


def test_a_log_without_scores(tmp_path: Path) -> None:
    log = write(tmp_path / "bare.jsonl", bare(make_log(60, seed=4)))
    assert "scores for 0 queries" in complaint("fit", log, "-o", tmp_path / "r.json")
    assert "scores for 0 queries" in complaint("evaluate", log)


def test_a_folder_that_is_not_there(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", lines)
    assert "no such folder" in complaint("fit", log, "-o", tmp_path / "none" / "r.json")


def test_an_encoder_that_nobody_knows(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", lines)
    assert "--encoder 'elmo' is not known" in complaint("fit", log, "-o", tmp_path / "r.json", "--encoder", "elmo")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--usd-value", "1", "--quality-floor", "0.9"), "give one objective, not 2"),
        (("--usd-per-query", "-1"), "usd_per_query must be a number of USD above 0"),
        (("--quality-floor", "1.2"), "quality_floor must be in (0, 1]"),
    ],
)
def test_an_objective_that_makes_no_sense(
    options: tuple[str, ...], words: str, router: Path, log: Path, tmp_path: Path
) -> None:
    assert words in complaint("replay", log, "--router", router, "--decisions", tmp_path / "out.jsonl", *options)
    assert words in complaint("explain", "What is 2 plus 2?", "--router", router, *options)


def test_a_line_of_strangers(router: Path, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    lines[3]["outcomes"] = {"stranger": lines[3]["outcomes"]["tiny"]}
    log = write(tmp_path / "log.jsonl", lines)
    log.write_text("\n" + log.read_text())  # blank lines count as lines
    out = tmp_path / "out.jsonl"
    said = complaint("replay", log, "--router", router, "--decisions", out)
    assert f"{log}:5: no outcome of a candidate that the router knows" in said
    assert "found stranger" in said
    assert not out.exists()


def altered(router: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a router with some of its fields changed."""
    whole = json.loads(router.read_text(encoding="utf-8"))
    payload = {**whole["payload"], **{k: v for k, v in changes.items() if k in whole["payload"]}}
    outer = {k: v for k, v in changes.items() if k not in whole["payload"]}
    path = folder / "altered.json"
    path.write_text(json.dumps({**whole, **outer, "payload": payload}), encoding="utf-8")
    return path


def test_a_router_of_another_version(router: Path, log: Path, tmp_path: Path) -> None:
    other = altered(router, tmp_path, version=99)
    said = complaint("replay", log, "--router", other, "--decisions", tmp_path / "out.jsonl")
    assert "has format version 99" in said
    assert "fit it again" in said


def test_a_router_that_was_changed(router: Path, log: Path, tmp_path: Path) -> None:
    said = complaint("explain", "hello", "--router", altered(router, tmp_path, queries=7))
    assert "its checksum does not match" in said


def test_a_router_of_another_encoder(router: Path, tmp_path: Path) -> None:
    from emafusion.routers.artefact import load_router, save_router

    model = load_router(router)
    foreign = tmp_path / "foreign.json"
    object.__setattr__(model, "encoder", "static-minilm-256@000000000000")
    save_router(model, foreign)
    said = complaint("explain", "hello", "--router", foreign)
    assert "was fitted with encoder 'static-minilm-256@000000000000'" in said


def test_a_file_that_is_no_router(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    assert "is not a router saved by EMAFusion" in complaint("explain", "hello", "--router", path)
    assert "cannot be read" in complaint("explain", "hello", "--router", tmp_path / "none.json")


def test_folds_that_make_no_sense(log: Path) -> None:
    assert "--folds 1: give a number from 2" in complaint("evaluate", log, "--folds", "1")
    assert "--seeds 0: give at least 1" in complaint("evaluate", log, "--seeds", "0")


def test_an_encoder_fitted_on_the_test_queries(log: Path) -> None:
    assert "would be fitted on the test queries too" in complaint("evaluate", log, "--encoder", "tfidf")


def test_a_report_without_the_extra(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.util import find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "matplotlib" else find_spec(name, package)

    monkeypatch.setattr("emafusion.evaluation.report.find_spec", without)
    said = complaint("evaluate", log, "--report", tmp_path / "report.html")
    assert "pip install 'emafusion[report]'" in said
