"""What is taken for granted of a pool's candidates before any outcome: as given, else by rating, else by price."""

from __future__ import annotations

import numpy as np

from emafusion.config import Pool
from emafusion.estimators.beliefs import Array
from emafusion.estimators.scales import logit
from emafusion.ratings import abilities, known_rating
from emafusion.taxonomy.labels import Taxonomy
from emafusion.taxonomy.suitability import Suitability
from emafusion.types import Usage

__all__ = ["shipped_spread", "shipped_suitability"]

BY_PRICE, BY_RATING = 0.22, 0.07
"""Standard deviation of a forecast that rests on a price, and of one that rests on a rating or on the user's word. On
one half of the benchmark log the former was off by 0.07 to 0.13 a kind of query, the latter by 0.02 to 0.07, beside
what all candidates had in common."""
FEWEST_RATED = 3


def shipped_suitability(pool: Pool) -> Suitability:
    """Phi before any outcome; difficulties are the taxonomy's.

    The best rated candidate gets the ability of the dearest, for people ask of a pool what its best can do. A stranger
    among rated ones gets what such a price buys among them, on a line through three of them or more.
    """
    prior = Taxonomy.default().prior
    typical = np.array([pool.price(n).cost(Usage(750, 250)) for n in pool.names])
    log_prices = np.log(np.maximum(typical, 1e-12))
    rated = abilities(_ratings(pool), prior.ability_dearest)
    known = rated | {c.name or "": float(logit(np.array(c.ability))) for c in pool if c.ability is not None}
    paid = [pool.index(name) for name in rated if typical[pool.index(name)] > 0]
    if len(set(log_prices[paid])) >= FEWEST_RATED:
        slope, level = np.polyfit(log_prices[paid], [rated[pool.names[j]] for j in paid], 1)
        bought = level + slope * np.clip(log_prices, log_prices[paid].min(), log_prices[paid].max())
        bought = np.clip(bought, prior.ability_cheapest, prior.ability_dearest)
        known = dict(zip(pool.names, bought.tolist())) | known
    return Suitability().prior(pool.names, log_prices, abilities=known)


def shipped_spread(pool: Pool) -> Array:
    """Standard deviation of each candidate's shipped forecast: (m,)."""
    known = [r is not None or pool[n].ability is not None for n, r in _ratings(pool).items()]
    return np.where(known, BY_RATING, BY_PRICE)


def _ratings(pool: Pool) -> dict[str, float | None]:
    return {n: known_rating(n) if (given := pool[n].rating) is None else given for n in pool.names}
