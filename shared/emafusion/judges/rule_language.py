"""Which language a text is in, roughly: by script, and by stopwords for languages in Latin letters."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

_SCRIPTS = {
    "cyrillic": "\u0400-\u04ff",
    "greek": "\u0370-\u03ff",
    "hebrew": "\u0590-\u05ff",
    "arabic": "\u0600-\u06ff",
    "devanagari": "\u0900-\u097f",
    "thai": "\u0e00-\u0e7f",
    "kana": "\u3040-\u30ff",
    "hangul": "\uac00-\ud7af",
    "han": "\u4e00-\u9fff",
    "latin": "A-Za-zÀ-ɏ",
}
_SCRIPT_PATTERNS = {name: re.compile(f"[{span}]") for name, span in _SCRIPTS.items()}
_STOPWORDS = {
    "english": "the of and to in is that it for was with as on be are this have from which you not what",
    "german": "der die das und ist nicht ein eine zu den mit von für auf dem sich auch als wird werden sind wie",
    "french": "le les des et est une dans que pour qui sur pas avec sont plus par ce du au nous vous être",
    "spanish": "el los las y es que una para con por del se no lo como más pero son al está cuando",
    "italian": "il di che è una per con non sono del della gli nel anche come più questo si dei le",
    "portuguese": "o os e é que uma para com não do da em por dos são mais como foi ao das seu",
    "dutch": "de het een van en is dat niet op te zijn met voor er maar om aan ook als bij",
}
_WORD_SETS = {language: frozenset(words.split()) for language, words in _STOPWORDS.items()}
_WORD = re.compile(r"[^\W\d_]+")
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\$[^$\n]*\$|\"[^\"\n]{0,200}\"\s*:", re.DOTALL)
_ASKS_TRANSLATION = re.compile(
    r"translat|übersetz|traduc|tradui|traduz|vertaal|перев[её]д|перевести|翻译|翻譯|翻訳|번역|ترجم|अनुवाद|"
    r"\b(?:in|into|to|auf|en|em|al|in het) (?:english|german|french|spanish|italian|portuguese|dutch|russian|chinese|"
    r"japanese|korean|arabic|hindi|greek|hebrew|thai|latin|deutsch|englisch|anglais|français|inglés|español|inglese|"
    r"italiano|inglês|português|engels|nederlands)\b|\b(?:language|sprache|langue|idioma|lingua|bilingual)\b|"
    r"用[英中日德法]文|英語で|日本語で|на английском|на русском",
    re.IGNORECASE,
)
MIN_LETTERS = 60
MIN_WORDS = 20


@lru_cache(maxsize=128)
def asks_for_other_language(prompt: str) -> bool:
    """Whether a prompt asks for a translation or names a language, so that no language is out of place."""
    return _ASKS_TRANSLATION.search(prompt[:20_000]) is not None


def language_problem(prompt: str, response: str) -> str | None:
    """Return how the language of a response clearly differs from that of its prompt, or None."""
    if asks_for_other_language(prompt):
        return None
    asked, scripts_asked = _asked(prompt)
    answered = _NOT_PROSE.sub(" ", response[:4000])
    scripts = _scripts(answered)
    if sum(scripts_asked.values()) < 15 or sum(scripts.values()) < MIN_LETTERS:
        return None
    main_asked, main = scripts_asked.most_common(1)[0], scripts.most_common(1)[0]
    if main[0] != main_asked[0]:
        if {main[0], main_asked[0]} == {"han", "kana"}:
            return None
        clear = main_asked[1] >= 0.6 * sum(scripts_asked.values()) and main[1] >= 0.7 * sum(scripts.values())
        foreign = scripts_asked.get(main[0], 0) < 0.1 * sum(scripts_asked.values())
        return f"asked in {main_asked[0]} letters, answered in {main[0]} letters" if clear and foreign else None
    if main[0] != "latin":
        return None
    language_asked = _language_asked(asked)
    language = None if language_asked is None else _latin_language(answered, MIN_WORDS)
    if language_asked is None or language is None or language_asked == language:
        return None
    words = _WORD.findall(asked.casefold())
    shared = sum(word in _WORD_SETS[language] for word in words) / max(1, len(words))
    other = sum(word in _WORD_SETS[language_asked] for word in words) / max(1, len(words))
    return f"asked in {language_asked}, answered in {language}" if shared < 0.4 * other else None


@lru_cache(maxsize=128)
def _asked(prompt: str) -> tuple[str, Counter[str]]:
    """The prose of a prompt and its scripts: many answers are held against one prompt."""
    prose = _NOT_PROSE.sub(" ", prompt[-4000:])
    return prose, _scripts(prose)


@lru_cache(maxsize=128)
def _language_asked(prose: str) -> str | None:
    return _latin_language(prose, 6)


def _scripts(text: str) -> Counter[str]:
    if text.isascii():
        letters = len(_SCRIPT_PATTERNS["latin"].findall(text))
        return Counter({"latin": letters} if letters else {})
    return Counter({name: count for name, pattern in _SCRIPT_PATTERNS.items() if (count := len(pattern.findall(text)))})


def _latin_language(text: str, least_words: int) -> str | None:
    """Return the language whose stopwords are most frequent, when it is clearly ahead."""
    words = _WORD.findall(text.casefold())
    if len(words) < least_words:
        return None
    hits = Counter({language: sum(map(stop.__contains__, words)) for language, stop in _WORD_SETS.items()})
    (best, most), (_, second) = hits.most_common(2)
    return best if most >= 3 and most >= 0.12 * len(words) and most >= 1.8 * second else None
