"""The public benchmark log: fit on some of its queries, replay others; skipped where the log is absent."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import succeeded
from tests.evaluation.synthetic_log import bare, write

FOLDER = os.environ.get("EMAFUSION_DATA")
LOG = Path(FOLDER or ".") / "mix12_train.jsonl.gz"

pytestmark = [
    pytest.mark.benchmark_log,
    pytest.mark.skipif(
        not FOLDER or not LOG.is_file(), reason="EMAFUSION_DATA names no folder with mix12_train.jsonl.gz"
    ),
]


def test_a_router_fitted_on_600_queries_serves_300_others_better_than_chance(tmp_path: Path) -> None:
    with gzip.open(LOG, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    order = np.random.default_rng(0).permutation(len(lines))
    train, held_out = ([lines[i] for i in part] for part in (order[:600], order[600:900]))
    log, router, out = write(tmp_path / "train.jsonl", train), tmp_path / "router.json", tmp_path / "out.jsonl"
    succeeded("fit", log, "-o", router)
    unseen = write(tmp_path / "bare.jsonl", bare(held_out))
    said = succeeded("replay", unseen, "--router", router, "--usd-per-query", "0.001", "--decisions", out)
    decided = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [d["id"] for d in decided] == [line["id"] for line in held_out]
    score = np.mean([line["outcomes"][d["answered_by"]]["score"] for line, d in zip(held_out, decided)])
    chance = np.mean([np.mean([o["score"] for o in line["outcomes"].values()]) for line in held_out])
    assert score > chance + 0.03
    assert said["mean_cost_usd"] < 0.0012
    assert 1.0 <= said["calls_per_query"] < 4.0
