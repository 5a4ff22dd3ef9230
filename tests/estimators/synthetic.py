"""Logs whose truth is known: topics that decide how hard a query is, and candidates of different ability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
WORDS = (
    ["sum", "product", "angle", "prime", "matrix", "vector", "limit", "proof"],
    ["poem", "story", "rhyme", "hero", "dragon", "castle", "verse", "song"],
    ["def", "return", "list", "index", "loop", "string", "class", "error"],
    ["treaty", "war", "king", "empire", "trade", "border", "election", "law"],
)


@dataclass(frozen=True)
class Log:
    """A log of n queries and m candidates, with the probabilities from which its scores were drawn."""

    texts: list[str]
    embeddings: Array
    scores: Array
    in_tok: Array
    out_tok: Array
    truth: Array
    topic: NDArray[np.int64]

    def fields(self) -> tuple[list[str], Array, Array, Array, Array]:
        """Arguments of ``Forecaster.fit``."""
        return self.texts, self.embeddings, self.scores, self.in_tok, self.out_tok


def make_log(n: int, m: int, *, seed: int = 0, useful: bool = True, fractional: bool = False) -> Log:
    """Draw a log; where it is not ``useful``, texts and embeddings say nothing about the scores."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, len(WORDS), n)
    shown = topic if useful else rng.integers(0, len(WORDS), n)
    texts = [f"{' '.join(rng.choice(WORDS[t], size=12))} {rng.integers(0, 10_000)}?" for t in shown]
    centres = rng.normal(size=(len(WORDS), 16))
    embeddings = centres[shown] + 0.3 * rng.normal(size=(n, 16))
    ability = np.linspace(-0.5, 1.5, m)
    truth = 1.0 / (1.0 + np.exp(-(ability + np.linspace(-2.0, 2.0, len(WORDS))[topic][:, None])))
    scores = (rng.random((n, m)) < truth).astype(np.float64)
    if fractional:
        scores = np.clip(truth + 0.1 * rng.normal(size=(n, m)), 0.0, 1.0)
    length = np.array([[len(text)] for text in texts])
    in_tok = np.tile(np.round(length / 4.0) + 3.0, (1, m))
    out_tok = np.round(np.exp(4.0 + 0.5 * topic[:, None] + 0.2 * rng.normal(size=(n, m))))
    return Log(texts, embeddings, scores, in_tok, np.asarray(out_tok, dtype=np.float64), truth, topic)
