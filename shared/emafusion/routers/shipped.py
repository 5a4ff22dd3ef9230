"""What is taken for granted of a pool's candidates before any outcome: as given, else by rating, else by price."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from emafusion.config import Pool
from emafusion.estimators.beliefs import Array
from emafusion.estimators.scales import logit
from emafusion.ratings import abilities, rating_of
from emafusion.routers.prior import typical_costs
from emafusion.taxonomy.labels import Prior, Taxonomy
from emafusion.taxonomy.suitability import Suitability

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
    prior, typical = Taxonomy.default().prior, typical_costs(pool)
    rated = abilities(_ratings(pool), prior.ability_dearest)
    given = {c.name or "": float(logit(np.array(c.ability))) for c in pool if c.ability is not None}
    known = _bought(dict(zip(pool.names, typical.tolist())), rated, prior) | rated | given
    return Suitability().prior(pool.names, np.log(np.maximum(typical, 1e-12)), abilities=known)


def _bought(typical: Mapping[str, float], rated: Mapping[str, float], prior: Prior) -> dict[str, float]:
    """Candidate -> ability that such a price buys among rated ones; nothing where too few of their prices are known."""
    paid = np.log([typical[name] for name in rated if typical[name] > 0])
    if len(set(paid)) < FEWEST_RATED:
        return {}
    slope, level = np.polyfit(paid, [ability for name, ability in rated.items() if typical[name] > 0], 1)
    log_prices = np.clip(np.log(np.maximum(list(typical.values()), 1e-12)), paid.min(), paid.max())
    bought = np.clip(level + slope * log_prices, prior.ability_cheapest, prior.ability_dearest)
    return dict(zip(typical, bought.tolist()))


def shipped_spread(pool: Pool) -> Array:
    """Standard deviation of each candidate's shipped forecast: (m,)."""
    known = [r is not None or pool[n].ability is not None for n, r in _ratings(pool).items()]
    return np.where(known, BY_RATING, BY_PRICE)


def _ratings(pool: Pool) -> dict[str, float | None]:
    return {n: rating_of(pool[n].rating, n) for n in pool.names}
