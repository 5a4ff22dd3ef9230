"""Verifications that a log recorded beside its outcomes: whether a candidate, asked again, called an answer correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.errors import LogError
from emafusion.estimators.beliefs import Array, IntArray
from emafusion.log import LoggedQuery

__all__ = ["Verifications", "read_verifications", "recorded_verifications"]


@dataclass(frozen=True)
class Verifications:
    """What a log recorded, over queries and candidates.

    Attributes
    ----------
    share : (n, m)
        Share of the readable verdicts that say correct; NaN where there is none.
    verified : bool (n, m)
        Whether the answer was verified at all.
    cost : (n, m)
        USD that verifying took, where that was recorded; else NaN.
    """

    share: Array
    verified: NDArray[np.bool_]
    cost: Array

    def take(self, rows: IntArray) -> Verifications:
        return Verifications(self.share[rows], self.verified[rows], self.cost[rows])


def read_verifications(entries: Sequence[LoggedQuery], candidates: Sequence[str]) -> Verifications:
    """The fields ``verification`` and ``verification_usd`` of the outcomes.

    ``verification`` is a share, or a list of verdicts (true and false, or shares). An outcome with ``verification_usd``
    alone, or with an empty list, was verified and none of the verdicts could be read.

    Raises
    ------
    LogError
        Naming query and candidate, for a verification that is neither, or a cost that is none.
    """
    column = {name: j for j, name in enumerate(candidates)}
    share = np.full((len(entries), len(candidates)), np.nan)
    cost, verified = share.copy(), np.zeros(share.shape, dtype=bool)
    for i, entry in enumerate(entries):
        for name, outcome in entry.outcomes.items():
            if name not in column:
                continue
            extra, where = outcome.model_extra or {}, f"query {entry.id!r}, {name}"
            given, usd = extra.get("verification"), extra.get("verification_usd")
            at = i, column[name]
            if given is not None:
                verified[at] = True
                share[at] = np.nan if given == [] else _share(given, where)
            if usd is not None:
                if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not 0.0 <= usd < float("inf"):
                    raise LogError(f"{where}: verification_usd must be a cost in USD, got {usd!r:.60}")
                verified[at], cost[at] = True, float(usd)
    return Verifications(share, verified, cost)


def recorded_verifications(entries: Sequence[LoggedQuery], candidates: Sequence[str]) -> Array | None:
    """(n, m) shares alone; None for a log without any."""
    share = read_verifications(entries, candidates).share
    return None if np.isnan(share).all() else share


def _share(given: Any, where: str) -> float:
    verdicts = given if isinstance(given, list) else [given]
    if not all(isinstance(v, (bool, int, float)) and 0.0 <= v <= 1.0 for v in verdicts):
        raise LogError(f"{where}: verification must be a share in [0, 1] or a list of verdicts, got {given!r:.60}")
    return float(np.mean([float(v) for v in verdicts]))
