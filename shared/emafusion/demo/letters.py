"""A few letters, invoices and notices with a question to each: what the LlamaIndex part of the demo searches in.

They are the texts of the demo's extraction prompts, taken apart again: a query engine that finds the right text and
puts it before the question asks exactly what was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

from emafusion.demo.prompts import DemoPrompt, load_prompts, split_of

__all__ = ["TEMPLATE", "Letter", "letters", "questions"]

TEMPLATE = "{context_str}\n\n{query_str}"
"""The query engine's prompt."""
OPENING = 9


@dataclass(frozen=True)
class Letter:
    """A text, and where there is one that was asked in just these words, a question about it."""

    id: str
    text: str
    question: str | None
    prompt: DemoPrompt

    @property
    def opening(self) -> str:
        """How it begins: what a reader remembers of it and searches for."""
        return " ".join(self.text.split()[:OPENING])


def letters() -> list[Letter]:
    """All texts of the extraction prompts."""
    return [_letter(p) for p in load_prompts() if p.task == "extraction"]


def questions() -> list[Letter]:
    """Letters of the test split with a question that was asked without worked examples."""
    prompts = load_prompts()
    split = split_of(prompts)
    return [x for x in letters() if x.question is not None and split[x.id] == "test"]


def _letter(prompt: DemoPrompt) -> Letter:
    asked = prompt.prompt
    bare = not asked.startswith("Q: ")
    if not bare:  # worked examples first: the text is in the last question
        asked = asked.rsplit("\n\nQ: ", 1)[-1].removesuffix("\nA:")
    text, _, question = asked.rpartition("\n\n")
    return Letter(prompt.id, text, question if bare else None, prompt)
