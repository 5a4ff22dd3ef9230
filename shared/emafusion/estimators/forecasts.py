"""What is expected of each candidate on each query before any answer, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Forecasts for n queries and m candidates."""

    p: Array
    """(n, m) calibrated probability of a good answer (the expected score, where scores are fractional)."""
    sd: Array
    """(n, m) standard deviation of ``p``: how far the true probability may be from it."""
    out_tok: Array
    """(n, m) expected output tokens."""
    in_tok: Array
    """(n, m) expected input tokens; NaN for a candidate whose log never reported any."""
    familiarity: Array
    """(n,) in [0, 1]: 1 among the training queries, 0 as far away as an unrelated text."""
    effective_n: Array
    """(n,) number of training queries that speak for this one."""

    def __len__(self) -> int:
        return len(self.p)

    def take(self, rows: NDArray[Any] | slice) -> Forecasts:
        """Select rows."""
        return Forecasts(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})
