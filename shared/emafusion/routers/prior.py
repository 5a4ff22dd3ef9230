"""The router of last resort: price order alone. It cannot fail, and it reads nothing but the query's length."""

from __future__ import annotations

import numpy as np

from emafusion.config import Pool
from emafusion.types import Forecast, Query, Usage

__all__ = ["TYPICAL_CALL", "TYPICAL_OUTPUT_TOKENS", "PriceRouter", "price_abilities", "typical_costs"]

TYPICAL_OUTPUT_TOKENS = 250.0
TYPICAL_CALL = Usage(750, int(TYPICAL_OUTPUT_TOKENS))
"""By which candidates' prices are compared, in tokens."""
WEAKEST, STRONGEST = 0.60, 0.85
"""Judgements: the quality to expect of the cheapest and the dearest of a pool, on a query of which nothing is known."""
PER_TENFOLD = 0.10
"""What ten times the price is taken to add, up to the bounds above."""


def typical_costs(pool: Pool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """USD of a typical call to each candidate."""
    return np.array([pool.price(n).cost(TYPICAL_CALL) for n in pool.names], dtype=np.float64)


def price_abilities(pool: Pool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A quality in [0, 1] for each candidate from its price, or as given by its ``ability``."""
    typical = typical_costs(pool)
    positive = typical[typical > 0]
    top = positive.max() if len(positive) else 1.0
    decades = np.log10(np.maximum(typical, top * 1e-6) / top)
    quality = np.clip(STRONGEST + PER_TENFOLD * decades, WEAKEST, STRONGEST)
    given = [pool[n].ability for n in pool.names]
    return np.array([q if a is None else a for q, a in zip(quality, given)], dtype=np.float64)


class PriceRouter:
    """Forecasts from prices: dearer is better, by :data:`PER_TENFOLD` for each factor of ten."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.quality = price_abilities(pool)

    def forecast(self, query: Query) -> Forecast:
        names = self.pool.names
        cost = (self.pool.price(n).cost(Usage(query.prompt_tokens, int(TYPICAL_OUTPUT_TOKENS))) for n in names)
        return Forecast(
            candidates=names,
            p_good=tuple(self.quality.tolist()),
            spread=(0.2,) * len(names),
            cost_usd=tuple(cost),
            output_tokens=(TYPICAL_OUTPUT_TOKENS,) * len(names),
            category="unknown",
        )
