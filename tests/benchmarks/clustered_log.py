"""A large outcome log made up by seed: clusters of prompts, candidates with leanings, answers that agree or scatter.

Every cluster has its own words, its own form of prompt (a sum, a choice among options, code, a question), its own
difficulty and a lure: the wrong answer that many candidates fall for. A query has a difficulty too, which all
candidates share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CLUSTERS = 60
VOCABULARY = 6_000
MISSING = 0.05
"""Share of outcomes that the log lacks, and again of those that lack a score."""
LURED = 0.4
"""Share of wrong answers that are the cluster's lure."""
_SYLLABLES = ("ba", "cor", "den", "fi", "gra", "hul", "in", "jo", "kel", "lum", "mar", "nos", "or", "pra", "que", "rin",
              "sol", "tar", "ul", "ven", "wis", "xan", "yor", "zel")  # fmt: skip
_FORMS = (
    "How many {} are left when {} of {} {} go to {} and {} stay? Give the number.",
    "Which of these is a {}?\nA. {} {}\nB. {}\nC. {}\nD. {} {}",
    "def {}({}, {}):\n    {} = {} + {}\n    return {}\n\nWhat is the output of this code?",
    "Explain why {} {} {} and {} while {} remain {} of {}.",
    "Find the value of ${} + {}^2$ given {} {} for every {} with {} and {}.",
)


@dataclass(frozen=True)
class Cluster:
    """What the queries of one cluster share."""

    words: list[str]
    form: str
    difficulty: float
    leaning: np.ndarray[tuple[int], np.dtype[np.float64]]
    """(m,) how much better or worse each candidate is here than elsewhere, in logits."""
    verbosity: float
    lure: int


def candidate(j: int) -> str:
    """Name of the j-th candidate."""
    return f"model-{j:02d}"


def clusters(candidates: int, rng: np.random.Generator) -> list[Cluster]:
    """Draw the clusters."""
    vocabulary = sorted({"".join(rng.choice(_SYLLABLES, int(rng.integers(1, 5)))) for _ in range(VOCABULARY)})
    return [
        Cluster(
            words=[str(word) for word in rng.choice(vocabulary, 120)],
            form=_FORMS[int(rng.integers(len(_FORMS)))],
            difficulty=float(rng.normal(0.0, 1.2)),
            leaning=rng.normal(0.0, 0.7, candidates),
            verbosity=float(rng.uniform(3.5, 6.0)),
            lure=int(rng.integers(100, 999)),
        )
        for _ in range(CLUSTERS)
    ]


def clustered_log(n: int, candidates: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield ``n`` lines with outcomes of ``candidates`` candidates, the dearer ones better."""
    rng = np.random.default_rng(seed)
    kinds = clusters(candidates, rng)
    ability = np.linspace(-0.5, 1.8, candidates)
    usd = np.geomspace(0.05, 10.0, candidates)
    for i in range(n):
        kind = kinds[int(rng.integers(CLUSTERS))]
        words = rng.choice(kind.words, 40)
        filled = kind.form.format(*(str(w) if rng.random() < 0.7 else str(rng.integers(2, 999)) for w in words[:9]))
        prompt = f"{filled} {' '.join(words[9 : 9 + int(rng.integers(0, 30))])}"
        logits = ability + kind.leaning - kind.difficulty + rng.normal()
        right = rng.random(candidates) < 1.0 / (1.0 + np.exp(-logits))
        truth = int(rng.integers(1000, 9999))
        lured = rng.random(candidates) < LURED
        stray = rng.integers(10_000, 99_999, candidates)
        said = np.where(right, truth, np.where(lured, kind.lure, stray))
        in_tok = 10 + len(prompt) // 4
        out_tok = np.maximum(5, np.exp(rng.normal(kind.verbosity, 0.3, candidates))).astype(int)
        wording = rng.choice(kind.words, (candidates, 12))
        asked, scored = (rng.random((2, candidates)) >= MISSING).tolist()
        outcomes: dict[str, dict[str, Any]] = {}
        for j in range(candidates):
            if asked[j]:
                price_in, price_out = usd[j], 4.0 * usd[j]
                outcomes[candidate(j)] = {
                    "response": f"Step by step: {' '.join(wording[j])}. So we have it. The answer is {said[j]}.",
                    "in_tok": in_tok,
                    "out_tok": int(out_tok[j]),
                    "cost_usd": float(in_tok * price_in + out_tok[j] * price_out) / 1e6,
                }
                if scored[j]:
                    outcomes[candidate(j)]["score"] = float(right[j])
        yield {"id": f"q{i}", "prompt": prompt, "outcomes": outcomes}


def write_clustered_log(path: Path, n: int, candidates: int, seed: int = 0) -> None:
    """Write the log line by line: it is never in memory as a whole."""
    with path.open("w", encoding="utf-8") as file:
        for line in clustered_log(n, candidates, seed):
            file.write(json.dumps(line) + "\n")
