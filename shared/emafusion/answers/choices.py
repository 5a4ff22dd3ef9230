"""Multiple choice: the options a prompt offers, and the letter a response picks."""

from __future__ import annotations

import re
from functools import lru_cache

from emafusion.answers.numbers import parse_number
from emafusion.answers.words import normal_form

_LINE_OPTION = re.compile(r"^[ \t>*-]*[(\[]?\*{0,2}([A-P])\*{0,2}[)\].:][)\].:]?\*{0,2}[ \t]+(\S.*)$", re.MULTILINE)
_INLINE_OPTION = re.compile(r"(?<!\w)[(\[]?([A-P])[)\]][ \t]+((?:(?![(\[]?[A-P][)\]][ \t]).){1,200})")
_PICK = re.compile(r"(?:option|choice|answer|letter|antwort|opción|选项)?\s*[(\[]?([A-Pa-p])[)\]]?\s*[.:)\]]*\s*")
_PICK_WITH_TEXT = re.compile(
    r"(?:[Oo]ption\s+|[Cc]hoice\s+)?[(\[]?([A-P])(?:[)\].:]+\s*|\s+[-–—]\s+|\s+)(\S.*)", re.DOTALL
)
_OTHER_LETTER = re.compile(r"(?<!\w)(?:\([A-P]\)|option [A-P]\b)")
_LETTER_IN_TEXT = re.compile(r"(?<![\w(])\(([A-P])\)(?!\w)|(?<![\w'’])\**([B-HJ-P])\**(?=[.:)\s]*(?:$|[.\n]))")


@lru_cache(maxsize=128)
def prompt_options(prompt: str) -> dict[str, str]:
    """Return the options (letter -> text) of the last list of options in a prompt; empty when there is none.

    >>> prompt_options("Which is red?\\n(A) a pea\\n(B) a tomato")
    {'A': 'a pea', 'B': 'a tomato'}
    """
    tail = prompt[-12_000:]
    for pattern in (_LINE_OPTION, _INLINE_OPTION):
        options = _last_run([(found[1], found[2].strip()) for found in pattern.finditer(tail)])
        if options:
            return options
    return {}


def _last_run(found: list[tuple[str, str]]) -> dict[str, str]:
    """Keep the last run A, B, C, ... of at least two letters."""
    best: dict[str, str] = {}
    run: dict[str, str] = {}
    for letter, text in found:
        if letter == "A":
            run = {}
        if letter == chr(ord("A") + len(run)):
            run[letter] = text
            if len(run) >= 2:
                best = run
    return dict(best)


def pick_letter(text: str, options: dict[str, str]) -> str | None:
    """Read which option a short text names: its letter, letter and text, or the text alone."""
    text = text.strip().strip("*_`\"'$ ").strip()
    if not text or len(text) > 600:
        return None
    found = _PICK.fullmatch(text)
    if found and found[1].upper() in options:
        return found[1].upper()
    found = _PICK_WITH_TEXT.fullmatch(text)
    if found and found[1] in options:
        separated = text[found.start(1) + 1 : found.start(2)].strip(" ") != ""
        said, offered = normal_form(found[2]), normal_form(options[found[1]])
        if said == offered or (separated and (said.startswith(offered) or offered.startswith(said))):
            return found[1]
        if separated and not _OTHER_LETTER.search(found[2]):
            return found[1]
    key = normal_form(text)
    same = [letter for letter, option in options.items() if normal_form(option) == key]
    if len(same) == 1:
        return same[0]
    number = parse_number(text)
    if number is not None:
        same = [letter for letter, option in options.items() if parse_number(option.strip("$ .")) == number]
        if len(same) == 1:
            return same[0]
    return None


def named_option(text: str, options: dict[str, str]) -> str | None:
    """Return the one option whose text stands in a short answer."""
    if len(text) > 300:
        return None
    said = f" {normal_form(text)} "
    named = [
        letter for letter, option in options.items() if len(key := normal_form(option)) >= 3 and f" {key} " in said
    ]
    return named[0] if len(named) == 1 else None


def last_letter(text: str, options: dict[str, str]) -> tuple[str, tuple[int, int]] | None:
    """Find the last option letter that stands by itself near the end of a response."""
    start = max(0, len(text) - 300)
    last = None
    for found in _LETTER_IN_TEXT.finditer(text, start):
        letter = found[1] or found[2]
        if letter in options:
            last = (letter, found.span(1) if found[1] else found.span(2))
    return last
