"""WordPiece: BERT uncased's rules, without its library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emafusion.encoders.wordpiece import WordPiece

VOCABULARY = [
    "[UNK]",
    "un",
    "##aff",
    "##able",
    "hello",
    "world",
    ",",
    "!",
    "cafe",
    "你",
    "好",
    "##s",
    "3",
    ".",
    "14",
    "['",
    "'",
]
ID = {token: index for index, token in enumerate(VOCABULARY)}


@pytest.fixture
def tokenizer() -> WordPiece:
    return WordPiece(VOCABULARY)


def test_a_word_is_split_into_the_longest_known_pieces(tokenizer: WordPiece) -> None:
    assert tokenizer.encode("unaffable") == [ID["un"], ID["##aff"], ID["##able"]]


def test_a_word_with_one_unknown_piece_is_unknown_as_a_whole(tokenizer: WordPiece) -> None:
    assert tokenizer.encode("unaffxable") == [ID["[UNK]"]]


def test_case_and_accents_do_not_matter(tokenizer: WordPiece) -> None:
    assert tokenizer.encode("CAFÉ") == tokenizer.encode("cafe") == [ID["cafe"]]


def test_punctuation_stands_alone(tokenizer: WordPiece) -> None:
    assert tokenizer.encode("Hello,world!") == [ID["hello"], ID[","], ID["world"], ID["!"]]
    assert tokenizer.encode("3.14") == [ID["3"], ID["."], ID["14"]]


def test_every_ideograph_is_a_word(tokenizer: WordPiece) -> None:
    assert tokenizer.encode("你好hello") == [ID["你"], ID["好"], ID["hello"]]


def test_control_signs_vanish_and_wide_spaces_separate(tokenizer: WordPiece) -> None:
    assert tokenizer.encode("hel\x00lo\u3000wor\u200bld") == [ID["hello"], ID["world"]]
    assert tokenizer.encode("hel\x07lo\tworld") == [ID["hello"], ID["world"]]


def test_a_word_over_a_hundred_signs_is_unknown(tokenizer: WordPiece) -> None:
    assert tokenizer.encode("un" + "able" * 30) == [ID["[UNK]"]]


def test_a_vocabulary_without_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[UNK\]"):
        WordPiece(["hello"])


@given(st.text())
def test_any_text_has_ids_of_the_vocabulary_and_a_warm_cache_changes_nothing(text: str) -> None:
    tokenizer = WordPiece(VOCABULARY)
    cold = tokenizer.encode(text)
    assert all(0 <= index < len(VOCABULARY) for index in cold)
    assert tokenizer.encode(text) == cold


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_the_ascii_short_cut_agrees_with_the_unicode_rules(text: str) -> None:
    tokenizer = WordPiece(VOCABULARY)
    # An ideograph at the end sends the same text down the Unicode path.
    assert [*tokenizer.encode(text), ID["你"]] == tokenizer.encode(text + "你")
