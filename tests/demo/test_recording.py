"""Recording: the shipped log is what the graders say of what was answered; the recorder resumes and counts right."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emafusion.demo
from emafusion.demo.compile import CpuPrice, token_prices
from emafusion.demo.journal import GREEDY, Journal
from emafusion.demo.processor import cpu_seconds
from emafusion.demo.prompts import load_prompts, sampled_ids, split_of
from emafusion.demo.record import main
from tests.loopback import LoopbackModel, LoopbackServer

FOLDER = Path(emafusion.demo.__file__).parent
LOG = FOLDER / "recorded.jsonl.gz"
CANDIDATES = ["smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]
PROMPTS = {prompt.id: prompt for prompt in load_prompts()}
Record = dict[str, Any]


def read_log(path: Path) -> list[Record]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.decode().splitlines()]


@pytest.fixture(scope="module")
def shipped() -> list[Record]:
    return read_log(LOG)


# -- the shipped recording -------------------------------------------------------------------------------------------


def test_the_shipped_log_is_small_and_has_every_prompt_once(shipped: list[Record]) -> None:
    assert LOG.stat().st_size <= 3_000_000
    assert [record["id"] for record in shipped] == list(PROMPTS)


def test_the_shipped_log_has_the_prompts_of_today(shipped: list[Record]) -> None:
    split = split_of(load_prompts())
    for record in shipped:
        prompt = PROMPTS[record["id"]]
        assert (record["prompt"], record["task"], record["reference"]) == (prompt.prompt, prompt.task, prompt.reference)
        assert record["split"] == split[prompt.id]


def test_all_three_candidates_answered_every_prompt(shipped: list[Record]) -> None:
    for record in shipped:
        assert list(record["outcomes"]) == CANDIDATES
        for outcome in record["outcomes"].values():
            assert isinstance(outcome["response"], str)
            assert outcome["in_tok"] > 0
            assert outcome["out_tok"] > 0
            assert outcome["cost_usd"] > 0
            assert outcome["latency_s"] > 0
            assert outcome["logprob_min"] <= outcome["logprob_mean"] <= 0
            assert outcome["finish_reason"] in {"stop", "length"}


def test_grading_the_shipped_responses_again_gives_the_shipped_scores(shipped: list[Record]) -> None:
    for record in shipped:
        grade = PROMPTS[record["id"]].grade
        for outcome in record["outcomes"].values():
            assert outcome["score"] == grade(outcome["response"])
            for sample in outcome.get("samples", ()):
                assert sample["score"] == grade(sample["response"])


def test_a_third_of_the_prompts_has_four_samples_of_every_candidate(shipped: list[Record]) -> None:
    chosen = sampled_ids(load_prompts(), 0.34)
    assert len(chosen) >= len(PROMPTS) / 3
    for record in shipped:
        for outcome in record["outcomes"].values():
            assert len(outcome.get("samples", ())) == (4 if record["id"] in chosen else 0)


def test_quality_and_cost_rise_with_the_size_of_the_model(shipped: list[Record]) -> None:
    score = np.array([[record["outcomes"][name]["score"] for name in CANDIDATES] for record in shipped])
    cost = np.array([[record["outcomes"][name]["cost_usd"] for name in CANDIDATES] for record in shipped])
    assert (np.diff(score.mean(axis=0)) > 0).all()
    assert (np.diff(cost.mean(axis=0)) > 0).all()
    # Else there would be nothing to route: the best choice a prompt must beat the best single model.
    assert score.max(axis=1).mean() > score.mean(axis=0).max()


def test_the_model_cards_name_the_recorded_models_and_their_prices() -> None:
    cards = json.loads((FOLDER / "models.json").read_text(encoding="utf-8"))
    assert list(cards["models"]) == CANDIDATES
    assert cards["price_basis"]["usd_per_core_hour"] > 0
    for card in cards["models"].values():
        assert len(card["sha256"]) == 64
        assert all(card[field] for field in ("title", "licence", "source", "recorded", "machine"))
        assert card["output_usd_per_1m"] > 0
        assert card["input_usd_per_1m"] >= 0


# -- the recorder, against a loopback server -----------------------------------------------------------------------


def truthful(messages: list[dict[str, Any]], body: dict[str, Any]) -> str:
    """Answers the reference at temperature 0, and a near miss at any other."""
    prompt = next(prompt for prompt in PROMPTS.values() if prompt.prompt == messages[-1]["content"])
    return prompt.reference if body["temperature"] == 0 else prompt.near_miss


def command(server: LoopbackServer, out: Path, *more: str) -> list[str]:
    return ["--base-url", server.base_url, "--models", "right,wrong", "-o", str(out), "--every", "40", *more]


def test_a_recording_has_scores_tokens_costs_and_samples(tmp_path: Path, loopback: LoopbackServer) -> None:
    loopback.add(LoopbackModel("right", truthful, logprob=(-0.5, -0.1)))
    loopback.add(LoopbackModel("wrong", "I do not know."))
    out = tmp_path / "log.jsonl.gz"
    main(command(loopback, out, "--samples", "2", "--sample-share", "0.5", "--machine", "a test"))
    log = read_log(out)
    assert [record["id"] for record in log] == list(PROMPTS)[::40]
    sampled = 0
    for record in log:
        right, wrong = record["outcomes"]["right"], record["outcomes"]["wrong"]
        assert (right["score"], wrong["score"]) == (1.0, 0.0)
        assert right["finish_reason"] == "stop"
        assert right["tok_source"] == "usage"
        assert right["logprob_min"] == -0.5
        # A server that is not ours has no processor time to read: wall seconds of two cores at 0.04 USD an hour.
        assert right["cost_usd"] == pytest.approx(right["latency_s"] * 2 * 0.04 / 3600, abs=1e-9)
        sampled += "samples" in right
        assert [sample["score"] for sample in right.get("samples", [])] in ([], [0.0, 0.0])
    assert sampled == len(sampled_ids(load_prompts()[::40], 0.5)) > 0
    cards = json.loads((tmp_path / "models.json").read_text(encoding="utf-8"))
    assert list(cards["models"]) == ["right", "wrong"]
    assert cards["models"]["right"]["machine"] == "a test"
    seeds = {body["seed"] for body in loopback.requests if body["temperature"] > 0}
    assert len(seeds) == 2 * sampled  # every sample of a prompt has its own seed, the same for all candidates


def test_an_interrupted_recording_goes_on_where_it_stopped(tmp_path: Path, loopback: LoopbackServer) -> None:
    from openai import BadRequestError

    out = tmp_path / "log.jsonl"
    whole = command(loopback, out, "--samples", "0")

    def stop_after_three(messages: list[dict[str, Any]], body: dict[str, Any]) -> str:
        if loopback.count("right") == 3:
            loopback.add(LoopbackModel("right", error_status=400))
        return truthful(messages, body)

    loopback.add(LoopbackModel("right", stop_after_three))
    loopback.add(LoopbackModel("wrong", "I do not know."))
    with pytest.raises(BadRequestError):
        main(whole)
    assert not out.exists()
    journal = Path(f"{out}.journal")
    assert len(journal.read_text(encoding="utf-8").splitlines()) == 1 + 3
    # Interrupted in mid-write: the torn line is forgotten and its call made again.
    journal.write_bytes(journal.read_bytes()[:-10])
    loopback.add(LoopbackModel("right", truthful))
    loopback.clear()
    main([*whole, "--resume"])
    prompts = len(list(PROMPTS)[::40])
    assert loopback.count("right") == prompts - 2
    assert loopback.count("wrong") == prompts
    assert [record["outcomes"]["right"]["score"] for record in read_log(out)] == [1.0] * prompts
    loopback.clear()
    before = out.read_bytes()
    main([*whole, "--resume"])
    assert loopback.count() == 0
    assert out.read_bytes() == before


def test_an_earlier_recording_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "log.journal"
    Journal(path, {"max_tokens": 10}, resume=False).add("small", "a-1", GREEDY, {"response": "yes"})
    with pytest.raises(FileExistsError, match="pass --resume"):
        Journal(path, {"max_tokens": 10}, resume=False)
    with pytest.raises(ValueError, match="other settings"):
        Journal(path, {"max_tokens": 20}, resume=True)
    assert ("small", "a-1", GREEDY) in Journal(path, {"max_tokens": 10}, resume=True)


def test_a_broken_journal_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.journal"
    path.write_text('{"settings": {}}\n{"candidate": \n{"candidate": "a", "id": "b", "sample": 0}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: not JSON"):
        Journal(path, {}, resume=True)


# -- times and prices ------------------------------------------------------------------------------------------------


@given(
    input_price=st.floats(0, 10),
    output_price=st.floats(0, 10),
    tokens=st.lists(st.tuples(st.integers(1, 500), st.integers(1, 200)), min_size=3, max_size=30),
)
def test_prices_explain_costs_that_have_a_price_per_token(
    input_price: float, output_price: float, tokens: list[tuple[int, int]]
) -> None:
    price = CpuPrice(usd_per_core_hour=3600)  # a second costs a dollar
    calls: list[dict[str, object]] = [
        {"in_tok": i, "out_tok": o, "cpu_s": (i * input_price + o * output_price) / 1e6} for i, o in tokens
    ]
    got_input, got_output = token_prices(calls, price)
    assert got_input >= 0
    assert got_output >= 0
    for (i, o), call in zip(tokens, calls):
        assert (i * got_input + o * got_output) / 1e6 == pytest.approx(price.cost_usd(call), abs=2e-7, rel=1e-3)


def test_a_price_is_never_negative() -> None:
    calls: list[dict[str, object]] = [
        {"in_tok": 10, "out_tok": 10, "cpu_s": 5.0},
        {"in_tok": 100, "out_tok": 10, "cpu_s": 1.0},
    ]
    assert min(token_prices(calls, CpuPrice())) == 0.0
    assert token_prices([], CpuPrice()) == (0.0, 0.0)


def test_processor_seconds_grow_with_work() -> None:
    before = cpu_seconds(os.getpid())
    if before is None:
        pytest.skip("this system does not tell processor seconds")
    sum(i * i for i in range(1_000_000))
    after = cpu_seconds(os.getpid())
    assert after is not None
    assert after > before
    assert cpu_seconds(2**22 + 1) is None


def test_a_model_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.gguf"):
        main(["--gguf", str(tmp_path / "nowhere.gguf"), "-o", str(tmp_path / "log.jsonl")])


@pytest.mark.local
def test_a_model_file_is_served_and_recorded(tmp_path: Path) -> None:
    gguf = os.environ.get("EMAFUSION_GGUF")
    if not gguf:
        pytest.skip("set EMAFUSION_GGUF to a model file to record it for real")
    out = tmp_path / "log.jsonl"
    main(["--gguf", gguf, "--name", "own", "-o", str(out), "--every", "160", "--max-tokens", "8", "--samples", "2"])
    for record in read_log(out):
        outcome = record["outcomes"]["own"]
        assert outcome["cost_usd"] > 0
        assert outcome["wall_s"] > 0
        assert outcome["out_tok"] <= 8
        assert outcome["logprob_mean"] <= 0
