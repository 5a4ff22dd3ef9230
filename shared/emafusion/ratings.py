"""How strong well-known models are taken to be before anything was seen of them: a public leaderboard, offline.

A price says little of a model's strength across vendors and years; what people preferred in hundreds of thousands of
blind comparisons says more. The ratings are those of the Arena's text leaderboard (``ratings.json`` names the day), on
the scale of Elo: 400 points are odds of ten to one. A name that is not known has none, and a smaller sibling's is never
taken for it. What a user gives always wins, and outcomes replace all of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from statistics import mean

__all__ = ["ABILITY_PER_POINT", "abilities", "known_rating", "rating_of"]

ABILITY_PER_POINT = 0.0125
"""Log-odds of a good answer that a point of rating is worth: a judgement. Were each vote cast on which answer is right,
it would be ln(10) / 400 = 0.0058 (the odds of Bradley and Terry are those of Rasch's model where one of two answers is
right); where both or neither are, votes follow taste, which draws ratings together about twofold."""

_FILE = Path(__file__).with_name("ratings.json")
_HOST = re.compile(r"^(?:[a-z-]+\.)+(?=[a-z])")
"""Region and vendor before a name, as Amazon Bedrock spells them."""
_REVISION = re.compile(r"-v(?:\d+:\d+|1\.0)$")
_DAY = re.compile(r"(?<!\d)(?:20\d\d[-.]?[01]\d[-.]?[0-3]\d|[01]\d[-.]20\d\d|[01]\d-[0-3]\d$)(?!\d)")
_TOKEN = re.compile(r"[a-z]+|\d+")
_VERSION = re.compile(r"\d{4}|0\d\d")
_DETAIL = re.compile(r"-\d+k$|\b(?:bf|fp)\d+\b")
_NEUTRAL = frozenset({
    "amazon", "anthropic", "beta", "cohere", "exp", "experimental", "google", "hf", "instruct", "it", "latest", "meta",
    "openai", "preview",
})  # fmt: skip
"""Words that do not tell one model from another."""
_EFFORT = frozenset(
    {"chat", "high", "instant", "max", "medium", "minimal", "no", "non", "reasoning", "thinking", "xhigh"}
)
"""Words that say how one model is run."""
_SIZED = frozenset({"hunyuan", "magistral", "mistral", "phi", "qwen"})
"""Families that call a size ``max`` or ``medium``."""


def known_rating(model: str) -> float | None:
    """Rating of a model in points, or None where the leaderboard does not have it.

    A name without a version stands for all of them, and gets their mean; so does one that leaves open how much the
    model is to think.

    Parameters
    ----------
    model
        Name as any provider spells it.

    Examples
    --------
    >>> known_rating("openai/gpt-4o-mini") == known_rating("gpt-4o-mini-2024-07-18")
    True
    >>> known_rating("no-such-model-anywhere") is None
    True
    """
    for table, key in zip(_tables(), _keys(model)):
        if key and key in table:
            return table[key]
    return None


def rating_of(given: float | None, model: str | None) -> float | None:
    """What the user gave, else what is known of the model of that name."""
    return known_rating(model) if given is None and model is not None else given


def abilities(ratings: Mapping[str, float | None], strongest: float) -> dict[str, float]:
    """Candidate -> ability in log-odds, of those that are rated; that of the best rated one is ``strongest``."""
    rated = {name: rating for name, rating in ratings.items() if rating is not None}
    best = max(rated.values(), default=0.0)
    return {name: strongest + ABILITY_PER_POINT * (rating - best) for name, rating in rated.items()}


_Key = tuple[str, ...]


def _keys(model: str) -> tuple[_Key, _Key, _Key]:
    """A name as its words: all of them; without versions; and without how it is run."""
    name = model.lower().rsplit("/", 1)[-1].strip()
    name = _REVISION.sub("", _HOST.sub("", name)).replace("@", "-")
    words = [
        w
        for w in _TOKEN.findall(_DETAIL.sub(" ", _DAY.sub(" ", name)))
        if w not in _NEUTRAL and not _VERSION.fullmatch(w)
    ]
    effort = _EFFORT - {"max", "medium"} if words and words[0] in _SIZED else _EFFORT
    return tuple(_TOKEN.findall(name)), tuple(words), tuple(w for w in words if w not in effort)


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[_Key, float], ...]:
    """Rating by each kind of key, the mean where several models share one."""
    ratings = json.loads(_FILE.read_text(encoding="utf-8"))["ratings"]
    rows = [(_keys(name), float(rating)) for name, rating in ratings.items()]
    return tuple(_means((keys[kind], rating) for keys, rating in rows) for kind in range(3))


def _means(rows: Iterable[tuple[_Key, float]]) -> dict[_Key, float]:
    shared: dict[_Key, list[float]] = {}
    for key, rating in rows:
        shared.setdefault(key, []).append(rating)
    return {key: mean(found) for key, found in shared.items()}
