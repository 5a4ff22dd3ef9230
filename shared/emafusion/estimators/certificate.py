"""Which share of a reference's quality is certain to be kept? A test that assumes nothing about the distribution.

Someone bets, query by query and before seeing the next outcome, that the policy keeps more than the share ``f`` of the
reference's quality: the stake is multiplied by ``1 + bet (score - f reference)``. If in truth less than ``f`` is kept,
the expected capital never grows, so by Markov's inequality it exceeds ``1 / delta`` with probability at most ``delta``
(Waudby-Smith and Ramdas, arXiv 2010.09686). The largest share that the capital rejects is certified.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emafusion.estimators.beliefs import Array

__all__ = ["DELTA", "certified_share"]

DELTA = 0.1
"""Probability that a certificate is wrong."""
ORDERS = 4
"""Random orders of the queries; the mean of their capitals is a fair bet too, and depends less on luck."""
SHARES = tuple(np.concatenate([np.linspace(0.0, 0.8, 9), np.linspace(0.81, 0.96, 16), np.linspace(0.965, 1.25, 58)]))
"""Shares that are tested, in rising order; one is certified when it and all below it are."""
BOLDEST = 0.5
"""Share of the capital that may be lost in one query."""
UNSEEN_VARIANCE = 0.05
"""Of a query's gain, before any is seen; counts as one query."""


def certified_share(
    score: Array, reference: Array, shares: Sequence[float] = SHARES, *, delta: float = DELTA, seed: int = 0
) -> float:
    """The share of the reference's mean score that the policy's is certain to reach with probability ``1 - delta``.

    Parameters
    ----------
    score, reference : (n,)
        Paired scores in [0, 1] of a random sample of queries; NaN where either is unknown.
    shares
        Those that are tested, in rising order.

    Returns
    -------
    float
        One of ``shares``, or 0 where nothing is certain.
    """
    both = ~np.isnan(score) & ~np.isnan(reference)
    mine, theirs = score[both], reference[both]
    if len(mine) < 2:
        return 0.0
    rng = np.random.default_rng(seed)
    tested = np.asarray(shares, dtype=np.float64)
    capital = np.zeros(len(tested))
    for _ in range(ORDERS):
        order = rng.permutation(len(mine))
        gains = mine[order, None] - tested * theirs[order, None]
        capital += np.exp(np.minimum(_log_capital(gains, tested, delta), 100.0)) / ORDERS
    passed = int(np.append(capital >= 1.0 / delta, False).argmin())
    return float(tested[passed - 1]) if passed else 0.0


def _log_capital(gains: Array, tested: Array, delta: float) -> Array:
    """Log of the capital (f,) after all queries, for gains (n, f)."""
    n = len(gains)
    count = np.arange(2, n + 1)[:, None]
    mean = np.cumsum(gains, 0)[:-1] / count
    variance = np.full_like(gains, UNSEEN_VARIANCE)
    variance[1:] = (UNSEEN_VARIANCE + np.cumsum((gains[:-1] - mean) ** 2, 0)) / count
    # The bet on a query knows those before it alone, and suits a sample of this size.
    bet = np.sqrt(2.0 * np.log(1.0 / delta) / (n * variance))
    return np.asarray(np.log1p(np.minimum(bet, BOLDEST / np.maximum(tested, BOLDEST)) * gains).sum(0))
