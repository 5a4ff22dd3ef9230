"""Words: yes and no in several languages, dates, and the normal form of short texts."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from emafusion.answers.final import Value

_TRUE = "true yes y yeah yep correct ja wahr richtig oui vrai sí si verdadero cierto sim verdadeiro vero да верно"
_FALSE = "false no n nope incorrect nein falsch non faux falso não nao нет неверно nee onwaar"
_BOOLEANS = dict.fromkeys((_TRUE + " 是 是的 对 正确 はい 예 네 نعم हाँ").split(), True)
_BOOLEANS |= dict.fromkeys((_FALSE + " 否 不是 不 错误 いいえ 아니요 아니오 لا नहीं").split(), False)

_ARTICLES = re.compile(r"\b(?:the|an?|der|die|das|ein|eine|les?|la|une?|los|las|el|il|lo|gli)\s+(?=\w)")
_NOT_WORD = re.compile(r"[^\w\s+%<>=/^∞∪-]+")
_MARKS = re.compile(r"[*`$\"“”‘’«»„]+")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH_NAMES = {m: i + 1 for i, m in enumerate(_MONTHS)} | {"mär": 3, "mai": 5, "okt": 10, "dez": 12}
_ISO_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ]00:00(?::00)?Z?)?")
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?([^\W\d_]{3,9})\.?,?\s+(\d{4})")
_MONTH_FIRST = re.compile(r"([^\W\d_]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})")
_NUMERIC_DATE = re.compile(r"(\d{1,2})([/.])(\d{1,2})\2(\d{4})")
_WEEKDAY = re.compile(r"(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+", re.IGNORECASE)


def normal_form(text: str) -> str:
    """Casefold, drop marks, punctuation and articles, and squeeze spaces.

    >>> normal_form("**The Eiffel Tower.**")
    'eiffel tower'
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _NOT_WORD.sub(" ", _MARKS.sub("", text))
    text = " ".join(text.split()).strip(" -=/")
    bare = _ARTICLES.sub("", text)
    return bare or text


def parse_boolean(text: str) -> Value | None:
    """Read a text that is only a yes or a no.

    >>> parse_boolean("Ja.")
    ('bool', True)
    """
    if len(text) > 12:
        return None
    word = _MARKS.sub("", text).strip(" .!,。").casefold()
    return ("bool", _BOOLEANS[word]) if word in _BOOLEANS else None


def leading_boolean(text: str) -> Value | None:
    """Read the yes or no that opens a sentence ("Yes, because ...")."""
    found = re.match(r"\W{0,4}([^\W\d_]{2,8})\b\s*[,.;:!—–-]", text)
    if found is None:
        return None
    word = found[1].casefold()
    return ("bool", _BOOLEANS[word]) if word in _BOOLEANS and len(word) > 1 else None


def parse_date(text: str) -> Value | None:
    """Read a text that is one calendar date. Ambiguous ones are read as month/day with "/", day.month with ".".

    >>> parse_date("March 5, 2024") == parse_date("2024-03-05") == parse_date("5. März 2024")
    True
    """
    if not 8 <= len(text) <= 40:
        return None
    text = _WEEKDAY.sub("", text.strip(" ."))
    year = month = day = 0
    if found := _ISO_DATE.fullmatch(text):
        year, month, day = int(found[1]), int(found[2]), int(found[3])
    elif found := _DAY_FIRST.fullmatch(text):
        year, month, day = int(found[3]), _MONTH_NAMES.get(found[2].casefold()[:3], 0), int(found[1])
    elif found := _MONTH_FIRST.fullmatch(text):
        year, month, day = int(found[3]), _MONTH_NAMES.get(found[1].casefold()[:3], 0), int(found[2])
    elif found := _NUMERIC_DATE.fullmatch(text):
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        month, day = (first, second) if found[2] == "/" and first <= 12 else (second, first)
    try:
        return ("date", date(year, month, day).isoformat())
    except ValueError:
        return None
