"""What every encoder owes: unit rows, zero for nothing, the same vectors for the same texts, an honest identity."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion.encoders import (
    Encoder,
    HashingEncoder,
    LangChainEncoder,
    LlamaIndexEncoder,
    StaticEncoder,
    TfidfLsaEncoder,
    default_encoder,
    load_encoder,
    unit_rows,
)
from emafusion.encoders.static import DEFAULT_TABLE
from emafusion.errors import ArtefactError, ConfigError

CORPUS = [
    "How do I reset my password?",
    "How do I change my password on the laptop?",
    "Write a poem about the sea.",
    "Write a short poem about a mountain and the sea.",
    "What is 2 + 2?",
    "What is 12 * 12?",
]


class LetterEmbeddings:
    """A tiny embedding model: counts of three letters. Has both frameworks' methods."""

    model = "letters-1"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(text.count(letter)) for letter in "aeo"] for text in texts]

    def get_text_embedding_batch(self, texts: list[str], **_: object) -> list[list[float]]:
        return self.embed_documents(texts)


def tfidf() -> Encoder:
    return TfidfLsaEncoder.fit(CORPUS, dim=4)


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "static": default_encoder,
    "hashing": lambda: HashingEncoder(256),
    "tfidf": tfidf,
    "langchain": lambda: LangChainEncoder(LetterEmbeddings()),
    "llamaindex": lambda: LlamaIndexEncoder(LetterEmbeddings()),
}


@pytest.fixture(params=list(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return ENCODERS[request.param]()


def test_rows_have_unit_norm_and_nothing_gives_zeros(encoder: Encoder) -> None:
    rows = encoder.encode([*CORPUS, "", "   "])
    assert rows.shape == (len(CORPUS) + 2, encoder.dim)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows[:-2], axis=1), 1.0, atol=1e-5)
    assert not rows[-2:].any()


def test_no_texts_give_no_rows(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_text_has_one_vector_whatever_its_company(encoder: Encoder) -> None:
    together = encoder.encode(CORPUS)
    alone = np.concatenate([encoder.encode([text]) for text in CORPUS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_one_text_instead_of_a_list_is_refused(encoder: Encoder) -> None:
    with pytest.raises(TypeError, match="sequence of texts"):
        encoder.encode("not a list")


def test_it_is_an_encoder(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.identity == encoder.identity != ""


def test_texts_of_like_meaning_are_nearer_than_others() -> None:
    password, laptop, _, _, sums, product = default_encoder().encode(CORPUS)
    assert password @ laptop > password @ sums
    assert sums @ product > sums @ laptop


@given(st.text(max_size=300))
def test_the_default_encoder_takes_any_text(text: str) -> None:
    norm = float(np.linalg.norm(default_encoder().encode([text])[0]))
    assert norm == pytest.approx(1.0, abs=1e-4) or norm == 0.0


@given(st.text(max_size=300))
def test_the_hashing_encoder_takes_any_text(text: str) -> None:
    norm = float(np.linalg.norm(HashingEncoder(64).encode([text])[0]))
    assert norm == pytest.approx(1.0, abs=1e-4) or norm == 0.0


@given(st.lists(st.lists(st.floats(allow_nan=True, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_unit_rows_are_of_length_one_or_zero(rows: list[list[float]]) -> None:
    norms = np.linalg.norm(unit_rows(rows), axis=1)
    assert np.all(np.isclose(norms, 1.0, atol=1e-4) | (norms == 0.0))


def test_a_very_long_text_is_read_at_both_ends() -> None:
    middle = "filler words in between " * 5_000
    first, other, ends = default_encoder().encode(
        [f"Translate into French: {middle} Merci", f"Translate into French: {middle[:-12]} x Merci", middle]
    )
    assert first @ other > 0.99
    assert first @ ends < 0.9999


def test_identity_changes_with_the_table(tmp_path: Path) -> None:
    with np.load(DEFAULT_TABLE, allow_pickle=False) as arrays:
        table = dict(arrays)
    copy, changed = tmp_path / "copy.npz", tmp_path / "changed.npz"
    np.savez(copy, **table)
    table["vectors"][2000, 0] ^= 1
    np.savez(changed, **table)
    assert StaticEncoder(copy).identity == default_encoder().identity
    assert StaticEncoder(changed).identity != default_encoder().identity


def test_a_file_that_is_no_table_is_an_artefact_error(tmp_path: Path) -> None:
    nothing, rubbish = tmp_path / "missing.npz", tmp_path / "rubbish.npz"
    rubbish.write_bytes(b"not a table")
    for path in (nothing, rubbish):
        with pytest.raises(ArtefactError, match=str(path)):
            StaticEncoder(path).encode(["x"])


def test_the_shipped_table_stays_small() -> None:
    assert DEFAULT_TABLE.stat().st_size < 8.5e6


def test_importing_and_constructing_reads_no_table() -> None:
    code = (
        "import sys, emafusion.encoders.static as s; encoder = s.StaticEncoder();"
        "heavy = {'sklearn', 'torch', 'langchain_core', 'llama_index'} & set(sys.modules);"
        "print(encoder._table is None, bool(heavy))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["True", "False"]


def test_hashing_is_the_same_in_another_process() -> None:
    code = (
        "from emafusion.encoders import HashingEncoder as H; print(H(32).encode(['Größe 3.5, 你好']).tobytes().hex())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == HashingEncoder(32).encode(["Größe 3.5, 你好"]).tobytes().hex()


def test_tfidf_survives_saving(tmp_path: Path) -> None:
    fitted = TfidfLsaEncoder.fit(CORPUS, dim=4)
    fitted.save(tmp_path / "tfidf.npz")
    loaded = load_encoder(fitted.identity, path=tmp_path / "tfidf.npz")
    assert loaded.identity == fitted.identity
    np.testing.assert_array_equal(loaded.encode(CORPUS), fitted.encode(CORPUS))


def test_tfidf_is_fitted_the_same_way_twice() -> None:
    assert TfidfLsaEncoder.fit(CORPUS, dim=3).identity == TfidfLsaEncoder.fit(CORPUS, dim=3).identity


def test_tfidf_says_when_texts_are_too_few() -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        TfidfLsaEncoder.fit(["one"])
    with pytest.raises(ConfigError, match="share no terms"):
        TfidfLsaEncoder.fit(["", " "])


@pytest.mark.parametrize(
    "identity", ["default", "hashing", "hashing-128", "hashing-w12-v1-64", HashingEncoder(99).identity]
)
def test_an_encoder_is_found_by_name(identity: str) -> None:
    found = load_encoder(identity)
    assert load_encoder(found.identity).identity == found.identity


def test_an_artefact_of_another_table_is_refused() -> None:
    with pytest.raises(ArtefactError, match=r"fitted with encoder 'static-minilm-256@000000000000'"):
        load_encoder("static-minilm-256@000000000000")


@pytest.mark.parametrize("identity", ["langchain:OpenAIEmbeddings:x", "tfidf-lsa-4@abc", "hashing-w9-v7-64"])
def test_what_cannot_be_loaded_by_name_says_what_to_do(identity: str) -> None:
    with pytest.raises(ArtefactError, match=r"hand it over|path of its saved file"):
        load_encoder(identity)


def test_a_wrapped_model_is_named_by_class_and_model() -> None:
    assert LangChainEncoder(LetterEmbeddings()).identity == "langchain:LetterEmbeddings:letters-1"
    assert LlamaIndexEncoder(LetterEmbeddings(), identity="mine@1").identity == "mine@1"


def test_what_embeds_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="embed_documents"):
        LangChainEncoder(object())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="get_text_embedding_batch"):
        LlamaIndexEncoder(object())  # type: ignore[arg-type]


def test_a_wrapped_model_that_loses_texts_is_noticed() -> None:
    class Forgetful(LetterEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return super().embed_documents(texts)[1:]

    with pytest.raises(ConfigError, match="expected one vector each"):
        LangChainEncoder(Forgetful()).encode(["aa", "oo"])


@given(st.text(max_size=300))
def test_the_sparse_form_of_hashed_ngrams_is_the_vector_without_its_zeros(text: str) -> None:
    encoder = HashingEncoder(128)
    places, values = encoder.sparse(text)
    (row,) = encoder.encode([text])
    np.testing.assert_array_equal(np.flatnonzero(row), places)
    np.testing.assert_array_equal(row[places], values)
