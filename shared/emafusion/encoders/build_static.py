"""Distil a static token table from a sentence transformer: ``python -m emafusion.encoders.build_static --model DIR -o FILE``.

Needs torch, transformers and safetensors, which EMAFusion itself does not depend on; `DIR` holds all-MiniLM-L6-v2.
The table is deterministic up to the floating point of the machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["compress", "main", "token_vectors"]

_BATCH = 512


def token_vectors(model_dir: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Run every vocabulary token alone through the transformer; mean-pool its last hidden state, shape (v, width)."""
    import torch
    import transformers

    vocabulary = (model_dir / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    start, end = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
    model: Any = transformers.AutoModel.from_pretrained(model_dir, local_files_only=True).eval()
    batches = []
    with torch.inference_mode():
        for first in range(0, len(vocabulary), _BATCH):
            ids = torch.arange(first, min(first + _BATCH, len(vocabulary)))
            framed = torch.stack([torch.full_like(ids, start), ids, torch.full_like(ids, end)], dim=1)
            hidden = model(input_ids=framed, attention_mask=torch.ones_like(framed)).last_hidden_state
            batches.append(hidden.mean(dim=1).numpy())
    return vocabulary, np.concatenate(batches).astype(np.float32)


def compress(
    vocabulary: list[str], vectors: NDArray[np.float32], dim: int, smoothing: float
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Reduce to `dim` principal components, weight by frequency, quantise each row to int8.

    The vocabulary is ordered by frequency, so Zipf's law gives p(rank) = 1 / (rank * H) and SIF (Arora et al. 2017) the
    weight smoothing / (smoothing + p). Special and unused tokens weigh nothing.

    Returns
    -------
    vectors : int8 of shape (v, dim)
    scales : float32 of shape (v,)
        A token's contribution to a text is ``scales[i] * vectors[i]``.
    """
    special = np.array([token.startswith("[") and token.endswith("]") and len(token) > 2 for token in vocabulary])
    centred = vectors - vectors[~special].mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(centred[~special], rowvar=False))
    reduced = centred @ axes[:, ::-1][:, :dim]
    rank = np.maximum(np.cumsum(~special), 1)
    frequency = 1.0 / (rank * np.sum(1.0 / np.arange(1, rank[-1] + 1)))
    weight = smoothing / (smoothing + frequency) * ~special
    step = np.maximum(np.abs(reduced).max(axis=1), 1e-12) / 127.0
    return np.rint(reduced / step[:, None]).astype(np.int8), (step * weight).astype(np.float32)


def main(arguments: list[str] | None = None) -> None:
    """Build a table and write it as an .npz of plain arrays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, required=True, help="folder of all-MiniLM-L6-v2 (config, weights, vocab.txt)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--smoothing", type=float, default=1e-4, help="SIF's a; smaller damps frequent tokens more")
    chosen = parser.parse_args(arguments)
    vocabulary, vectors = token_vectors(chosen.model)
    quantised, scales = compress(vocabulary, vectors, chosen.dim, chosen.smoothing)
    np.savez(
        chosen.output,
        vectors=quantised,
        scales=scales,
        vocabulary=np.frombuffer("\n".join(vocabulary).encode(), dtype=np.uint8),
        name=np.frombuffer(f"static-minilm-{chosen.dim}".encode(), dtype=np.uint8),
    )
    print(f"{chosen.output}: {len(vocabulary)} tokens, {chosen.dim} dimensions, {chosen.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
