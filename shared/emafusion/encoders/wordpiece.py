"""The noun here is the `WordPiece` tokenizer: text -> ids, as BERT "uncased" does it, in pure Python.

Kept beside the static table so that serving needs neither `tokenizers` nor `transformers`. Words are looked up in a
cache, because a language is mostly repetition: a warm word costs one dictionary access.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

__all__ = ["WordPiece"]

_UNKNOWN = "[UNK]"
_LONGEST_WORD = 100  # BERT gives up on longer words and emits one [UNK].
_CACHE_SIZE = 65_536

# ASCII text needs no Unicode rules: a word is a run of letters and digits, any other visible sign stands alone.
_ASCII_WORDS = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),  # The standard says 2B820; the tokenizer that the model was trained with starts here.
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co"})  # Controls; unassigned code points (Cn) stay and become [UNK].


class WordPiece:
    """Greedy longest-match WordPiece over a BERT uncased vocabulary (Devlin et al. 2019; Wu et al. 2016).

    Parameters
    ----------
    vocabulary : sequence of str
        Tokens in id order; continuation pieces start with ``##``.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._id_of = {token: index for index, token in enumerate(vocabulary)}
        if _UNKNOWN not in self._id_of:
            raise ValueError(f"The WordPiece vocabulary lacks {_UNKNOWN!r}; give the whole vocabulary, in id order.")
        self._unknown = self._id_of[_UNKNOWN]
        self._pieces_of: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without [CLS] and [SEP]."""
        words = _ASCII_WORDS.findall(_printable_ascii(text).lower()) if text.isascii() else _unicode_words(text)
        pieces_of = self._pieces_of
        ids: list[int] = []
        for word in words:
            pieces = pieces_of.get(word)
            ids.extend(pieces if pieces is not None else self._learn(word))
        return ids

    def _learn(self, word: str) -> tuple[int, ...]:
        # Emptying a full cache is coarse, but keeps the hit path to one lookup; the common words are back at once.
        if len(self._pieces_of) >= _CACHE_SIZE:
            self._pieces_of.clear()
        pieces = self._pieces_of[word] = tuple(self._split(word))
        return pieces

    def _split(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        ids: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._id_of.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return [self._unknown]  # One piece without an id makes the whole word unknown, as in BERT.
            ids.append(piece)
            start = end
        return ids


_ASCII_CONTROLS = {code: None for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n\r"}


def _printable_ascii(text: str) -> str:
    return text if text.isprintable() else text.translate(_ASCII_CONTROLS)


def _unicode_words(text: str) -> Iterator[str]:
    """Yield words under BERT's rules: drop controls, split ideographs, strip accents, lowercase, split punctuation."""
    cleaned = "".join(_cleaned(text))
    stripped = "".join(sign for sign in unicodedata.normalize("NFD", cleaned) if unicodedata.category(sign) != "Mn")
    for chunk in stripped.lower().split():
        word = ""
        for sign in chunk:
            if _is_punctuation(sign):
                if word:
                    yield word
                    word = ""
                yield sign
            else:
                word += sign
        if word:
            yield word


def _cleaned(text: str) -> Iterator[str]:
    for sign in text:
        code = ord(sign)
        if sign in " \t\n\r":
            yield " "
        elif code == 0xFFFD or unicodedata.category(sign) in _DROPPED:
            continue
        elif sign.isspace():
            yield " "
        elif code >= 0x3400 and any(low <= code <= high for low, high in _IDEOGRAPHS):
            yield f" {sign} "
        else:
            yield sign


def _is_punctuation(sign: str) -> bool:
    code = ord(sign)
    if code < 128:
        return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return unicodedata.category(sign)[0] == "P"
