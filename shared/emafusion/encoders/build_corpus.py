"""Gather texts on which to distil a static table: ``python -m emafusion.encoders.build_corpus -o FILE``.

Sources are free and installable: WordNet's glosses and examples (Debian ``wordnet-base``), the text sources of
Python's documentation (``python3-doc``) and its standard library. Numbers, formulas, lists and JSON are generated, and
a part of the texts are mixtures of others. Only the teacher's vectors of these texts are used; no text is shipped.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

__all__ = ["main"]

_SEED = 0
_SHARES = {"glosses": 0.52, "documentation": 0.18, "code": 0.07, "generated": 0.05, "mixtures": 0.18}
_FORMULAS = ("\\frac{%s}{%s}", "$%s^2 + %sx = 0$", "\\sqrt{%s} + %s", "x_%s = %s", "\\sum_{k=1}^{%s} %sk")


def main(arguments: list[str] | None = None) -> None:
    """Write `--texts` texts as JSON strings, one a line, in random order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument(
        "--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of data.noun, data.verb, ..."
    )
    parser.add_argument("--docs", type=Path, default=Path("/usr/share/doc/python3-dev/html/_sources"))
    parser.add_argument("--code", type=Path, default=Path(sysconfig.get_paths()["stdlib"]))
    chosen = parser.parse_args(arguments)
    source = random.Random(_SEED)
    entries = list(_glosses(chosen.wordnet))
    words = [word for word, _ in entries if len(word) < 14]
    glosses = [f"{word}: {gloss}" if source.random() < 0.4 else gloss for word, gloss in entries]
    texts = [
        *_sample(source, glosses, chosen.texts, "glosses"),
        *_sample(source, list(_paragraphs(chosen.docs)), chosen.texts, "documentation"),
        *_sample(source, list(_functions(chosen.code)), chosen.texts, "code"),
        *(_generated(source, words) for _ in range(round(chosen.texts * _SHARES["generated"]))),
    ]
    mixtures = round(chosen.texts * _SHARES["mixtures"])
    texts += ["\n\n".join(source.choices(texts, k=source.randint(2, 4)))[:1600] for _ in range(mixtures)]
    source.shuffle(texts)
    chosen.output.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    print(f"{chosen.output}: {len(texts)} texts")


def _sample(source: random.Random, texts: list[str], total: int, kind: str) -> list[str]:
    wanted = round(total * _SHARES[kind])
    if len(texts) < wanted:
        raise SystemExit(f"found {len(texts)} texts of kind {kind}, want {wanted}; is its folder right?")
    return source.sample(texts, wanted)


def _glosses(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("data.*")):
        for line in path.read_text(encoding="latin-1").splitlines():
            if not line.startswith("  "):
                head, gloss = line.split(" | ", 1)
                yield head.split()[4].replace("_", " "), gloss.strip()


def _paragraphs(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.txt")):
        for paragraph in re.split(r"\n\s*\n", path.read_text(encoding="utf-8", errors="replace")):
            if 40 < len(paragraph) < 1500:
                yield paragraph


def _functions(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.py")):
        for block in re.split(r"(?m)^(?=(?:    )?def )", path.read_text(encoding="utf-8", errors="replace"))[1:]:
            if 60 < len(block) < 1200:
                yield block


def _generated(source: random.Random, words: list[str]) -> str:
    def number() -> str:
        return source.choice(
            [
                str(source.randint(0, 20)),
                str(source.randint(10, 9999)),
                f"{source.uniform(0, 100):.{source.randint(1, 2)}f}",
            ]
        )

    kind = source.random()
    if kind < 0.35:
        return f"{number()} {source.choice('+-*/=<>')} {number()} {source.choice('+-*/=<>^')} {number()}"
    if kind < 0.6:
        values = (number(), source.choice(words), source.sample(words, 2))
        return json.dumps({source.choice(words): source.choice(values) for _ in range(source.randint(1, 5))})
    if kind < 0.8:
        return source.choice(_FORMULAS) % (number(), number())
    return "\n".join(f"{letter}. {source.choice(words)}" for letter in "ABCD"[: source.randint(2, 4)])


if __name__ == "__main__":
    main()
