"""Formatting: rewrite a short text in an exact form (case, order, lists, separators, CSV to JSON)."""

from __future__ import annotations

import json
import random

from emafusion.demo.grading import csv_rows, json_value, lines
from emafusion.demo.tasks.prompt import DemoPrompt, Draft, drawn, numbered

_WORDS = (
    "river", "table", "cloud", "engine", "garden", "mirror", "pocket", "window", "bridge", "candle",
    "forest", "ladder", "needle", "orange", "pencil", "rocket", "silver", "tunnel", "velvet", "zebra",
)  # fmt: skip
_TITLES = (
    "the quick report",
    "blue paper box",
    "final test result",
    "monthly sales plan",
    "user profile page",
    "error log viewer",
    "north station map",
    "open door policy",
)
_PEOPLE = (("Ada", 36), ("Ben", 41), ("Cleo", 29), ("Dan", 52), ("Eva", 33), ("Finn", 47), ("Gus", 25))
_ONLY = " Reply with the result only."


def _pick(rng: random.Random, count: int) -> list[str]:
    return rng.sample(_WORDS, count)


def _line(ask: str, right: str, wrong: str) -> Draft:
    return ask + _ONLY, lines(right), right, wrong


def _upper(rng: random.Random) -> Draft:
    text = " ".join(_pick(rng, 3))
    return _line(f'Write in upper case: "{text}".', text.upper(), text)


def _snake(rng: random.Random) -> Draft:
    title = rng.choice(_TITLES)
    return _line(f'Write "{title.title()}" in snake_case.', title.replace(" ", "_"), title.replace(" ", "-"))


def _camel(rng: random.Random) -> Draft:
    first, *rest = rng.choice(_TITLES).split()
    right = first + "".join(word.title() for word in rest)
    return _line(f'Write "{" ".join([first, *rest])}" in camelCase.', right, right.lower())


def _acronym(rng: random.Random) -> Draft:
    words = _pick(rng, rng.randint(3, 5))
    right = "".join(word[0].upper() for word in words)
    return _line(
        f'Write the initials of these words, in capitals and without dots: "{" ".join(words)}".',
        right,
        right[::-1] + "X",
    )


def _backwards(rng: random.Random) -> Draft:
    words = _pick(rng, rng.randint(3, 5))
    right = " ".join(reversed(words))
    return _line(
        f'Write these words in reverse order, separated by blanks: "{" ".join(words)}".', right, " ".join(words)
    )


def _joined(rng: random.Random) -> Draft:
    words, mark = _pick(rng, 4), rng.choice((" | ", ";", " -> ", "/"))
    ask = f'Join these words with "{mark}" between them: {", ".join(words)}.'
    return _line(ask, mark.join(words), ", ".join(words))


def _sort_words(rng: random.Random) -> Draft:
    words = _pick(rng, rng.randint(4, 6))
    right = ", ".join(sorted(words))
    wrong = ", ".join(sorted(words, reverse=True))
    return _line(f"Sort alphabetically, separated by a comma and a blank: {', '.join(words)}.", right, wrong)


def _sort_numbers(rng: random.Random) -> Draft:
    values = rng.sample(range(3, 130), rng.randint(4, 6))
    down = rng.random() < 0.5
    right = ", ".join(map(str, sorted(values, reverse=down)))
    wrong = ", ".join(map(str, sorted(values, reverse=not down)))
    order = "from largest to smallest" if down else "from smallest to largest"
    return _line(f"Sort {order}, separated by a comma and a blank: {', '.join(map(str, values))}.", right, wrong)


def _unique(rng: random.Random) -> Draft:
    words = _pick(rng, 4)
    doubled = [words[0], words[1], words[0], words[2], words[1], words[3]]
    how = "Drop the repeated words, keep the first of each in order, separated by a comma and a blank"
    ask = f"{how}: {', '.join(doubled)}."
    return _line(ask, ", ".join(words), ", ".join(doubled))


def _bullets(rng: random.Random) -> Draft:
    words, mark = _pick(rng, rng.randint(3, 4)), rng.choice(("- ", "* "))
    ask = f'Write as a bullet list, one item a line, each line starting with "{mark}": {", ".join(words)}.'
    right = [mark + word for word in words]
    return ask + _ONLY, lines(*right), "\n".join(right), "\n".join(words)


def _numbered_list(rng: random.Random) -> Draft:
    words = _pick(rng, rng.randint(3, 4))
    ask = f'Write as a numbered list, one item a line, in the form "1) item": {", ".join(words)}.'
    right = [f"{i}) {word}" for i, word in enumerate(words, 1)]
    return ask + _ONLY, lines(*right), "\n".join(right), "\n".join(f"{i}. {word}" for i, word in enumerate(words, 1))


def _csv_to_json(rng: random.Random) -> Draft:
    people = rng.sample(_PEOPLE, rng.randint(2, 3))
    rows = "\n".join(f"{name},{age}" for name, age in people)
    right = [{"name": name, "age": age} for name, age in people]
    wrong = [row | {"age": age + 1} for row, (_, age) in zip(right, people)]
    ask = "Convert this CSV to a JSON array of objects, with ages as numbers. Reply with the JSON only."
    ask = f"{ask}\n\nname,age\n{rows}"
    return ask, json_value(right), json.dumps(right), json.dumps(wrong)


def _json_to_csv(rng: random.Random) -> Draft:
    people = rng.sample(_PEOPLE, 2)
    source = json.dumps([{"name": name, "age": age} for name, age in people])
    rows = [["name", "age"], *([name, str(age)] for name, age in people)]
    right = [",".join(row) for row in rows]
    ask = f"Convert this JSON to CSV with a header line. Reply with the CSV only.\n\n{source}"
    return ask, csv_rows(*rows), "\n".join(right), "\n".join(right[1:])


_TEMPLATES = (
    (_upper, 2), (_snake, 3), (_camel, 4), (_acronym, 3), (_backwards, 3), (_joined, 4), (_sort_words, 2),
    (_sort_numbers, 3), (_unique, 2), (_bullets, 3), (_numbered_list, 3), (_csv_to_json, 4), (_json_to_csv, 4),
)  # fmt: skip


def build(seed: int = 303) -> list[DemoPrompt]:
    """40 rewrites over thirteen templates."""
    rng = random.Random(seed)
    return numbered("formatting", [draft for template, times in _TEMPLATES for draft in drawn(template, times, rng)])
