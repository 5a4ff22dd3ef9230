"""Distil a static token table from a sentence transformer.

``python -m emafusion.encoders.build_static --model DIR --corpus FILE -o FILE``

Needs torch and transformers, which EMAFusion itself does not depend on. `DIR` holds all-MiniLM-L6-v2; the corpus is
JSON strings, one a line (see `build_corpus`). Deterministic up to the floating point of the machine.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.encoders.wordpiece import WordPiece

__all__ = ["initial_table", "main", "quantise", "trained_table"]

_LONGEST = 62  # tokens of a text that the teacher reads
_EPOCHS = 12
_DECAY = 0.85  # of the learning rates, each epoch
_BATCH = 256
_HELD_OUT = 600
_SMOOTHING = 1e-3

_Floats = NDArray[np.float32]


class _Teacher:
    """The sentence transformer: mean of the last hidden states, L2-normalised."""

    def __init__(self, folder: Path) -> None:
        self.vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        self._torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        self._model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self._start, self._end = self.vocabulary.index("[CLS]"), self.vocabulary.index("[SEP]")

    def pooled(self, texts: Sequence[Sequence[int]], batch: int = 64) -> _Floats:
        """Return the mean hidden state of each text, shape (n, width); texts of like length run together."""
        torch = self._torch
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        rows: list[_Floats] = [np.zeros(0, dtype=np.float32)] * len(texts)
        with torch.inference_mode():
            for first in range(0, len(order), batch):
                members = order[first : first + batch]
                framed = [[self._start, *texts[index], self._end] for index in members]
                width = max(map(len, framed))
                ids = torch.tensor([row + [0] * (width - len(row)) for row in framed])
                mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in framed])
                hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
                means = (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
                for index, mean in zip(members, means.numpy()):
                    rows[index] = mean
        return np.stack(rows).astype(np.float32)


def initial_table(vocabulary: Sequence[str], vectors: _Floats, basis: _Floats) -> tuple[_Floats, _Floats]:
    """Project each token's own vector on `basis` (width, dim), and weigh it by frequency.

    The vocabulary is ordered by frequency, so Zipf's law gives p(rank) = 1 / (rank * H), and SIF (Arora et al. 2017)
    the weight a / (a + p). Special and unused tokens become zero. Returns (vectors (v, dim), weights (v,)).
    """
    special = np.array([token.startswith("[") and token.endswith("]") and len(token) > 2 for token in vocabulary])
    projected = (vectors - vectors[~special].mean(axis=0)) @ basis
    projected[special] = 0.0
    rank = np.maximum(np.cumsum(~special), 1)
    frequency = 1.0 / (rank * np.sum(1.0 / np.arange(1, rank[-1] + 1)))
    return projected.astype(np.float32), (_SMOOTHING / (_SMOOTHING + frequency) * ~special).astype(np.float32)


def trained_table(vectors: _Floats, weights: _Floats, texts: Sequence[Sequence[int]], targets: _Floats) -> _Floats:
    """Fit the table so that the weighted mean of a text's tokens points where the teacher's vector of the text points.

    All tokens share a linear map and a shift, which carry over to tokens that the corpus lacks; each has a weight and a
    residual of its own. Adam on 1 - cosine; the epoch with the best held-out cosine wins.
    """
    torch: Any = importlib.import_module("torch")
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    count, dim = vectors.shape
    start, goal, seen = torch.tensor(vectors), torch.tensor(targets), weights > 0
    linear, shift = torch.nn.Parameter(torch.eye(dim)), torch.nn.Parameter(torch.zeros(dim))
    log_weight = torch.nn.Parameter(torch.tensor(np.log(np.maximum(weights, 1e-6))))
    residual = torch.nn.Embedding(count, dim, sparse=True)
    residual.weight.data.zero_()
    dense = torch.optim.Adam([{"params": [linear, shift], "lr": 2e-3}, {"params": [log_weight], "lr": 1e-2}])
    sparse = torch.optim.SparseAdam(residual.parameters(), lr=3e-3)

    def encoded(members: NDArray[np.intp]) -> Any:
        ids = torch.tensor([token for index in members for token in texts[index]])
        text = torch.repeat_interleave(torch.arange(len(members)), torch.tensor([len(texts[i]) for i in members]))
        tokens, place = torch.unique(ids, return_inverse=True)
        rows = (start[tokens] @ linear + shift + residual(tokens)) * torch.exp(log_weight[tokens])[:, None]
        total = torch.zeros(len(members), dim).index_add(0, text, rows[place])
        return torch.nn.functional.normalize(total, dim=1)

    train, held_out = np.split(np.arange(len(texts)), [len(texts) - _HELD_OUT])
    best, table = -1.0, vectors * weights[:, None]
    for epoch in range(_EPOCHS):
        for group in dense.param_groups + sparse.param_groups:
            group["lr"] *= _DECAY
        for members in np.array_split(generator.permutation(train), max(1, len(train) // _BATCH)):
            loss = (1.0 - (encoded(members) * goal[members]).sum(dim=1)).mean()
            dense.zero_grad()
            sparse.zero_grad()
            loss.backward()
            dense.step()
            sparse.step()
        with torch.no_grad():
            cosine = float((encoded(held_out) * goal[held_out]).sum(dim=1).mean())
            print(f"epoch {epoch}: held-out cosine {cosine:.4f}", flush=True)
            if cosine > best:
                best = cosine
                rows = (start @ linear + shift + residual.weight) * torch.exp(log_weight)[:, None]
                table = rows.numpy() * seen[:, None]
    return table


def quantise(table: _Floats) -> tuple[NDArray[np.int8], _Floats]:
    """Return int8 vectors (v, dim) and float32 scales (v,) with ``table ~ scales[:, None] * vectors``."""
    step = np.maximum(np.abs(table).max(axis=1), 1e-12) / 127.0
    return np.rint(table / step[:, None]).astype(np.int8), step.astype(np.float32)


def main(arguments: list[str] | None = None) -> None:
    """Build a table and write it as an .npz of plain arrays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, required=True, help="folder of all-MiniLM-L6-v2 (config, weights, vocab.txt)"
    )
    parser.add_argument("--corpus", type=Path, required=True, help="texts as JSON strings, one a line")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--dim", type=int, default=256)
    chosen = parser.parse_args(arguments)
    teacher = _Teacher(chosen.model)
    tokenizer = WordPiece(teacher.vocabulary)
    lines = chosen.corpus.read_text(encoding="utf-8").splitlines()
    texts = [ids for line in lines if (ids := tokenizer.encode(json.loads(line))[:_LONGEST])]
    sentences = teacher.pooled(texts)
    sentences /= np.linalg.norm(sentences, axis=1, keepdims=True)
    # Not centred: cosines between sentences are to survive the projection.
    _, _, axes = np.linalg.svd(sentences, full_matrices=False)
    basis = axes[: chosen.dim].T
    targets = sentences @ basis
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    alone = teacher.pooled([[token] for token in range(len(teacher.vocabulary))], batch=512)
    table = trained_table(*initial_table(teacher.vocabulary, alone, basis), texts, targets)
    vectors, scales = quantise(table)
    np.savez(
        chosen.output,
        vectors=vectors,
        scales=scales,
        vocabulary=np.frombuffer("\n".join(teacher.vocabulary).encode(), dtype=np.uint8),
        name=np.frombuffer(f"static-minilm-{chosen.dim}".encode(), dtype=np.uint8),
    )
    print(f"{chosen.output}: {len(table)} tokens, {chosen.dim} dimensions, {chosen.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
