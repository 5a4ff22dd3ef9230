"""The demo's prompts: nine task types, each prompt with the program that grades it; and which half is for fitting."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cache

from emafusion.demo.tasks import (
    arithmetic,
    classification,
    code_tracing,
    dates,
    extraction,
    formatting,
    general,
    tool_calls,
    translation,
)
from emafusion.demo.tasks.prompt import DemoPrompt

__all__ = ["DemoPrompt", "load_prompts", "sampled_ids", "split_of"]

_TASKS = (arithmetic, classification, code_tracing, dates, extraction, formatting, tool_calls, translation, general)


@cache
def load_prompts() -> tuple[DemoPrompt, ...]:
    """All prompts, always the same ones in the same order."""
    return tuple(prompt for task in _TASKS for prompt in task.build())


def split_of(prompts: tuple[DemoPrompt, ...], seed: int = 7) -> dict[str, str]:
    """Prompt id -> ``fit`` or ``test``: half of every task each, drawn with `seed`."""
    return {id_: "fit" if rank < 0.5 else "test" for id_, rank in _rank_within_task(prompts, seed).items()}


def sampled_ids(prompts: tuple[DemoPrompt, ...], share: float, seed: int = 8) -> frozenset[str]:
    """The ids of the `share` of every task that is also recorded with several samples."""
    if not 0 <= share <= 1:
        raise ValueError(f"the share of prompts to sample must lie in [0, 1], got {share}")
    return frozenset(id_ for id_, rank in _rank_within_task(prompts, seed).items() if rank < share)


def _rank_within_task(prompts: tuple[DemoPrompt, ...], seed: int) -> dict[str, float]:
    """Prompt id -> its place in [0, 1) in a seeded shuffle of its own task."""
    by_task: dict[str, list[str]] = defaultdict(list)
    for prompt in prompts:
        by_task[prompt.task].append(prompt.id)
    ranks: dict[str, float] = {}
    for task, ids in sorted(by_task.items()):
        random.Random(f"{seed}:{task}").shuffle(ids)
        ranks |= {id_: place / len(ids) for place, id_ in enumerate(ids)}
    return ranks
