"""Small recordings in the demo's format: real prompts, with right and wrong answers as their authors wrote them."""

from __future__ import annotations

import json
import random
from pathlib import Path

from emafusion.demo.prompts import load_prompts, sampled_ids, split_of
from emafusion.log import write_log

SKILL = {"tiny": 0.2, "middle": 0.6, "large": 0.9}
PRICE = {"tiny": 0.02, "middle": 0.1, "large": 0.5}


def write_recording(folder: Path, share: float) -> Path:
    """A recording of ``share`` of the prompts, and its models.json."""
    rng = random.Random(5)
    prompts = load_prompts()
    chosen = sampled_ids(prompts, share)
    split = split_of(prompts)
    lines = []
    for p in prompts:
        if p.id not in chosen:
            continue
        outcomes = {}
        for name, skill in SKILL.items():
            right = rng.random() < skill
            response = p.reference if right else p.near_miss
            outcomes[name] = {
                "score": p.grade(response),
                "response": response,
                "in_tok": len(p.prompt) // 4,
                "out_tok": len(response) // 4 + 1,
                "cost_usd": PRICE[name] * len(p.prompt) / 4e6,
                "latency_s": PRICE[name],
                "finish_reason": "stop",
            }
        lines.append({"id": p.id, "task": p.task, "split": split[p.id], "prompt": p.prompt, "outcomes": outcomes})
    path = folder / "recorded.jsonl.gz"
    write_log(lines, path)
    cards = {
        name: {"recorded": "2026-01-02", "input_usd_per_1m": usd, "output_usd_per_1m": usd}
        for name, usd in PRICE.items()
    }
    path.with_name("models.json").write_text(json.dumps({"models": cards}), encoding="utf-8")
    return path
