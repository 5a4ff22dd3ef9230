"""`DemoPrompt`: one question of the demo together with the program that grades an answer to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Grade = Callable[[str], float]
Draft = tuple[str, Grade, str, str]


@dataclass(frozen=True)
class DemoPrompt:
    """A prompt whose answer a program can judge.

    Parameters
    ----------
    id : str
        Unique in the demo, ``task-NNN``.
    task : str
        The task type, a label for reports.
    prompt : str
        What the candidate is asked.
    grade : Callable[[str], float]
        Score in [0, 1] of a response: tolerant of wording, strict on the content.
    reference : str
        A response that scores 1.
    near_miss : str
        A plausible response that is wrong and scores 0; it keeps the grader honest.
    """

    id: str
    task: str
    prompt: str
    grade: Grade
    reference: str
    near_miss: str


def distinct(template: Callable[[random.Random], Draft], times: int, rng: random.Random) -> list[Draft]:
    """Draw from `template` until `times` different prompts are there."""
    drawn: dict[str, Draft] = {}
    for _ in range(100 * times):
        draft = template(rng)
        drawn.setdefault(draft[0], draft)
        if len(drawn) == times:
            return list(drawn.values())
    raise ValueError(f"the template {template!r} has fewer than {times} different prompts")


def with_examples(draft: Draft, examples: Iterable[tuple[str, str]]) -> Draft:
    """`draft` after some worked examples ``(question, answer)``, which lets the smallest models follow the form.

    The examples come first, so that a server's prompt cache reads them once for all prompts that share them.
    """
    ask, grade, reference, near_miss = draft
    shown = "".join(f"Q: {question}\nA: {answer}\n\n" for question, answer in examples)
    return f"{shown}Q: {ask}\nA:", grade, reference, near_miss


def drawn(template: Callable[[random.Random], Draft], times: int, rng: random.Random) -> list[Draft]:
    """`times` different prompts from `template`; every third is bare, the others follow two worked examples."""
    *drafts, first, second = distinct(template, times + 2, rng)
    examples = [(ask, reference) for ask, _, reference, _ in (first, second)]
    return [draft if i % 3 == 2 else with_examples(draft, examples) for i, draft in enumerate(drafts)]


def numbered(task: str, drafts: list[Draft]) -> list[DemoPrompt]:
    """Give the drafts ``(prompt, grade, reference, near_miss)`` of one task their identifiers."""
    return [DemoPrompt(f"{task}-{i:03d}", task, *draft) for i, draft in enumerate(drafts, start=1)]
