"""Building a table: the parts that need no transformer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from emafusion.encoders import build_corpus
from emafusion.encoders.build_static import initial_table, quantise

VOCABULARY = ["[PAD]", "[unused0]", "[UNK]", "the", "of", "zebra", "[", "##s"]


def test_frequent_tokens_weigh_less_and_special_ones_nothing() -> None:
    vectors = np.random.default_rng(0).normal(size=(len(VOCABULARY), 6)).astype(np.float32)
    projected, weights = initial_table(VOCABULARY, vectors, np.eye(6, dtype=np.float32)[:, :4])
    assert projected.shape == (len(VOCABULARY), 4)
    assert not weights[:3].any()
    assert not projected[:3].any()
    assert np.all(np.diff(weights[3:]) > 0)


@given(arrays(np.float32, (5, 4), elements=st.floats(-100, 100, width=32)))
def test_eight_bits_keep_every_number_within_half_a_step(table: NDArray[np.float32]) -> None:
    vectors, scales = quantise(table)
    assert vectors.dtype == np.int8
    error = np.abs(scales[:, None] * vectors - table)
    assert np.all(error <= 0.5001 * scales[:, None] + 1e-6)


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    wordnet, docs, code = (tmp_path / name for name in ("wordnet", "docs", "code"))
    for folder in (wordnet, docs, code):
        folder.mkdir()
    glosses = [f"0000{n} 03 n 01 word_{n} 0 000 | gloss number {n}; an example\n" for n in range(40)]
    (wordnet / "data.noun").write_text("  1 licence\n" + "".join(glosses), encoding="latin-1")
    (docs / "page.txt").write_text("\n\n".join(f"Paragraph {n} " + "of text " * 8 for n in range(20)), encoding="utf-8")
    (code / "module.py").write_text(
        "".join(f"def f{n}(x):\n    return {'x + ' * 20}{n}\n" for n in range(9)), encoding="utf-8"
    )
    return ["--wordnet", str(wordnet), "--docs", str(docs), "--code", str(code)]


def test_a_corpus_is_the_same_every_time(tmp_path: Path, sources: list[str]) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    for output in (first, second):
        build_corpus.main(["-o", str(output), "--texts", "50", *sources])
    assert first.read_bytes() == second.read_bytes()
    texts = [json.loads(line) for line in first.read_text(encoding="utf-8").splitlines()]
    assert len(texts) == 50
    assert any("gloss number" in text for text in texts)
    assert any(text.startswith("def f") for text in texts)


def test_a_corpus_says_which_source_is_missing(tmp_path: Path, sources: list[str]) -> None:
    with pytest.raises(SystemExit, match="found 40 texts of kind glosses, want 520"):
        build_corpus.main(["-o", str(tmp_path / "corpus.jsonl"), "--texts", "1000", *sources])
