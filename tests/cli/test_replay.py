"""``emafusion fit`` and ``emafusion replay``: what comes out, from logs as full or as bare as they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emafusion.routers.artefact import load_router
from tests.cli.conftest import complaint, run, succeeded
from tests.evaluation.synthetic_log import CANDIDATES, bare, make_log, write
from tests.learning.verified_log import with_verifications


@pytest.fixture(scope="module")
def held_out() -> list[dict[str, Any]]:
    return make_log(60, seed=1, start=1000)


def decisions(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_fit_says_what_it_found(router: Path) -> None:
    model = load_router(router)
    assert model.candidates == tuple(sorted(CANDIDATES))
    for name, (inp, out, _) in CANDIDATES.items():
        assert (model.prices[name].input, model.prices[name].output) == pytest.approx((inp, out), rel=1e-6)


def test_a_replay_needs_no_scores_answers_tasks_or_references(
    router: Path, held_out: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    log = write(tmp_path / "bare.jsonl", bare(held_out))
    said = succeeded("replay", log, "--router", router, "--usd-value", "0.005", "--decisions", out)
    lines = decisions(out)
    assert [line["id"] for line in lines] == [line["id"] for line in held_out]
    for line, entry in zip(lines, held_out):
        assert set(line) == {"id", "answered_by", "attempts", "cost_usd", "confidence"}
        assert line["answered_by"] in line["attempts"]
        assert len(set(line["attempts"])) == len(line["attempts"])
        paid = sum(entry["outcomes"][name]["cost_usd"] for name in line["attempts"])
        assert line["cost_usd"] == pytest.approx(paid, rel=1e-12)
        assert 0.0 < line["confidence"] < 1.0
    assert said["queries"] == len(lines)
    assert said["mean_cost_usd"] == pytest.approx(sum(line["cost_usd"] for line in lines) / len(lines))
    assert "accuracy" not in said


def test_without_a_router_a_log_is_replayed_as_on_the_first_day(held_out: list[dict[str, Any]], tmp_path: Path) -> None:
    written = {}
    for name, lines in (("scored", held_out), ("bare", bare(held_out))):
        out = tmp_path / f"{name}.out"
        said = succeeded("replay", write(tmp_path / name, lines), "--usd-value", "0.005", "--decisions", out)
        assert (said["queries"], said["router"], said["warnings"]) == (len(held_out), None, 0)
        written[name] = out.read_text(encoding="utf-8")
    assert written["scored"] == written["bare"]


def test_scores_change_no_decision(router: Path, held_out: list[dict[str, Any]], tmp_path: Path) -> None:
    written = {}
    for name, lines in (("scored", held_out), ("bare", bare(held_out))):
        log = write(tmp_path / f"{name}.jsonl", lines)
        out = tmp_path / f"{name}.out"
        said = succeeded("replay", log, "--router", router, "--usd-value", "0.005", "--decisions", out)
        written[name] = out.read_text(encoding="utf-8")
        assert ("accuracy" in said) == (name == "scored")
    assert written["scored"] == written["bare"]


def test_only_candidates_with_an_outcome_are_asked(
    router: Path, held_out: list[dict[str, Any]], tmp_path: Path
) -> None:
    lines = bare(held_out)
    for number, line in enumerate(lines):
        kept = [name for i, name in enumerate(sorted(CANDIDATES)) if (number >> i) & 1] or ["tiny"]
        line["outcomes"] = {name: line["outcomes"][name] for name in kept}
    out = tmp_path / "out.jsonl"
    log = write(tmp_path / "gaps.jsonl", lines)
    succeeded("replay", log, "--router", router, "--usd-value", "1", "--decisions", out)
    assert len(decisions(out)) == len(lines)
    for line, entry in zip(decisions(out), lines):
        assert set(line["attempts"]) <= set(entry["outcomes"])


def test_an_answer_that_was_not_recorded_is_not_an_empty_answer(
    router: Path, held_out: list[dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    calls = {}
    for kind in ("missing", "empty"):
        lines = bare(held_out)
        for line in lines:
            for outcome in line["outcomes"].values():
                del outcome["response"]
                if kind == "empty":
                    outcome["response"] = ""
        log = write(tmp_path / f"{kind}.jsonl", lines)
        said = succeeded("replay", log, "--router", router, "--usd-value", "0.0005", "--decisions", out)
        calls[kind] = said["calls_per_query"]
    assert calls["missing"] < 2.0
    assert calls["empty"] == len(CANDIDATES)  # nobody says anything that could be accepted


def test_an_average_budget_is_paced(router: Path, tmp_path: Path) -> None:
    log = write(tmp_path / "long.jsonl", bare(make_log(300, seed=2, start=5000)))
    out = tmp_path / "out.jsonl"
    for budget in (1e-4, 5e-4):
        said = succeeded("replay", log, "--router", router, "--usd-per-query", str(budget), "--decisions", out)
        assert said["mean_cost_usd"] == pytest.approx(budget, rel=0.15)


def test_a_quality_floor_is_the_default(router: Path, held_out: list[dict[str, Any]], tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", bare(held_out))
    said = succeeded("replay", log, "--router", router, "--decisions", tmp_path / "out.jsonl")
    assert said["objective"] == {"quality_floor": 0.99}


def test_tables_are_written_for_people(router: Path, held_out: list[dict[str, Any]], tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", held_out)
    result = run("replay", log, "--router", router, "--decisions", tmp_path / "out.jsonl")
    assert result.exit_code == 0
    for words in ("USD per 1,000 queries", "calls a query", "quality (60 scored)", "answered by"):
        assert words in result.stdout


def test_a_router_with_a_fitted_encoder_keeps_it_beside_it(
    log: Path, held_out: list[dict[str, Any]], tmp_path: Path
) -> None:
    path, out = tmp_path / "r.json", tmp_path / "out.jsonl"
    bare_log = write(tmp_path / "bare.jsonl", bare(held_out))
    fitted = succeeded("fit", log, "-o", path, "--encoder", "tfidf", "--seed", "3")
    assert fitted["encoder"].startswith("tfidf")
    succeeded("replay", bare_log, "--router", path, "--usd-value", "0.01", "--decisions", out)
    (tmp_path / "r.json.encoder.npz").unlink()
    said = complaint("replay", bare_log, "--router", path, "--decisions", out)
    assert "r.json.encoder.npz must lie beside it" in said


# -- AutoMix -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log whose answers their authors verified."""
    return write(tmp_path_factory.mktemp("verified") / "train.jsonl", with_verifications(make_log(300, seed=0)))


def test_automix_is_fitted_saved_and_replayed_through_the_same_commands(verified: Path, tmp_path: Path) -> None:
    saved, out = tmp_path / "automix.json", tmp_path / "out.jsonl"
    found = succeeded("fit", verified, "-o", saved, "--policy", "automix")
    assert found["automix"]["observed"] == "verification"
    assert found["automix"]["kind"] == "pomdp"
    held_out = write(tmp_path / "test.jsonl", with_verifications(make_log(60, seed=1, start=1000), seed=1))
    said = {}
    for policy in ("auto", "automix", "automix-threshold", "cascade"):
        options = ("--router", saved, "--usd-value", "0.002", "--decisions", out, "--policy", policy)
        said[policy] = succeeded("replay", held_out, *options)
        assert len(decisions(out)) == 60
        assert said[policy]["warnings"] == 0
    assert said["auto"]["mean_cost_usd"] == said["automix"]["mean_cost_usd"] != said["cascade"]["mean_cost_usd"]


def test_a_log_without_verifications_says_what_automix_goes_by(log: Path, tmp_path: Path) -> None:
    found = succeeded("fit", log, "-o", tmp_path / "r.json", "--policy", "automix-threshold")
    assert (found["automix"]["observed"], found["automix"]["kind"]) == ("answer", "threshold")
    shown = run("fit", log, "-o", tmp_path / "r.json", "--policy", "automix")
    assert "no verification in the log" in shown.output


def test_automix_needs_a_router_that_holds_it(router: Path, held_out: list[dict[str, Any]], tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", held_out)
    options = ("--router", router, "--decisions", tmp_path / "out.jsonl")
    assert "--policy automix" in complaint("replay", log, *options, "--policy", "automix")
    unfitted = ("--decisions", tmp_path / "out.jsonl", "--policy", "automix")
    assert "--policy automix is fitted from a log: give --router" in complaint("replay", log, *unfitted)
    assert "--policy 'best' is not known" in complaint("replay", log, *options, "--policy", "best")
    assert "--policy 'auto' is not known" in complaint("fit", log, "-o", tmp_path / "r.json", "--policy", "auto")
    assert "--floors is for the cascade" in complaint("evaluate", log, "--policy", "automix", "--floors", "20")
