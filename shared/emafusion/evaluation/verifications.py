"""Verifications that a log recorded beside its outcomes: whether a candidate, asked again, called an answer correct."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emafusion.errors import LogError
from emafusion.evaluation.points import Array
from emafusion.log import LoggedQuery

__all__ = ["recorded_verifications"]


def recorded_verifications(entries: Sequence[LoggedQuery], candidates: Sequence[str]) -> Array | None:
    """(n, m) share of verifications that call the answer correct, NaN where there are none; None for a log without any.

    An outcome's field ``verification`` is such a share, or a list of verdicts (true and false, or shares).

    Raises
    ------
    LogError
        Naming query and candidate, for a verification that is neither.
    """
    column = {name: j for j, name in enumerate(candidates)}
    out = np.full((len(entries), len(candidates)), np.nan)
    for i, entry in enumerate(entries):
        for name, outcome in entry.outcomes.items():
            given = (outcome.model_extra or {}).get("verification")
            if name in column and given is not None:
                out[i, column[name]] = _share(given, f"query {entry.id!r}, {name}")
    return None if np.isnan(out).all() else out


def _share(given: Any, where: str) -> float:
    verdicts = given if isinstance(given, list) else [given]
    if not verdicts or not all(isinstance(v, (bool, int, float)) and 0.0 <= v <= 1.0 for v in verdicts):
        raise LogError(f"{where}: verification must be a share in [0, 1] or a list of verdicts, got {given!r:.60}")
    return float(np.mean([float(v) for v in verdicts]))
