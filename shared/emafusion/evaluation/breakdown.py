"""Where the quality and the money went: by category, and the queries that cost most for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emafusion.evaluation.points import Array, Points
from emafusion.log import LoggedQuery

__all__ = ["CategoryRow", "Waste", "by_category", "most_for_nothing"]


@dataclass(frozen=True)
class CategoryRow:
    """EMAFusion and the best single candidate on one kind of query; costs are USD a query."""

    category: str
    queries: int
    quality: float
    cost: float
    single_quality: float
    single_cost: float
    oracle_quality: float

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Waste:
    """A query that was paid for and not answered well.

    Attributes
    ----------
    rescue
        The cheapest candidate that had a good answer; None where none had: then no router could have helped.
    """

    id: str
    prompt: str
    cost: float
    calls: int
    answered_by: str
    confidence: float
    rescue: str | None

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def by_category(
    categories: Sequence[str], mine: Points, single: Points, oracle: Points, point: int
) -> list[CategoryRow]:
    """One row for each category, the largest first, at one of EMAFusion's operating points."""
    names = np.array(categories)
    found, counts = np.unique(names, return_counts=True)
    rows = []
    for category in found[np.argsort(-counts, kind="stable")]:
        own = names == category
        rows.append(
            CategoryRow(
                str(category),
                int(own.sum()),
                float(mine.score[point, own].mean()),
                float(mine.cost[point, own].mean()),
                float(single.score[0, own].mean()),
                float(single.cost[0, own].mean()),
                float(oracle.score[-1, own].mean()),
            )
        )
    return rows


def most_for_nothing(
    entries: Sequence[LoggedQuery],
    candidates: Sequence[str],
    mine: Points,
    point: int,
    score: Array,
    cost: Array,
    count: int = 10,
) -> list[Waste]:
    """The queries of highest cost among those whose accepted answer scored under a half."""
    assert mine.confidence is not None
    assert mine.calls is not None
    bad = np.nonzero(mine.score[point] < 0.5)[0]
    rows = bad[np.argsort(-mine.cost[point, bad], kind="stable")][:count]
    out = []
    for i in rows:
        good = np.nonzero(np.nan_to_num(score[i]) >= 0.5)[0]
        out.append(
            Waste(
                id=entries[i].id,
                prompt=_excerpt(entries[i].query().text),
                cost=float(mine.cost[point, i]),
                calls=int(mine.calls[point, i]),
                answered_by=candidates[int(mine.answered[point, i])],
                confidence=float(mine.confidence[point, i]),
                rescue=candidates[int(good[cost[i, good].argmin()])] if len(good) else None,
            )
        )
    return out


def _excerpt(text: str) -> str:
    """Beginning and end: prompts of one kind often begin alike."""
    text = " ".join(text.split())
    return text if len(text) <= 160 else f"{text[:50]} … {text[-105:]}"
