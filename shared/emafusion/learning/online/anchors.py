"""Placing a new candidate from its price and its scores on a few queries that tell the most.

Pools have a low rank: who is right where is mostly told by a query's difficulty and a few kinds of query, and by how
each candidate stands to them (Polo et al. 2024, tinyBenchmarks, arXiv 2402.14992, choose items by the same idea). The
factors are those of the known candidates' outcomes; a new one's loadings are a Bayesian linear regression whose prior
is that of the known candidates, its level moved by the price; and anchors are chosen, greedily, so that after asking
them the forecasts on all queries have the least variance left (Bayesian A-optimal design).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emafusion.errors import ConfigError
from emafusion.estimators.completion import complete

__all__ = ["Placement", "Standings"]

Array = NDArray[np.float64]

FACTORS = 2
ANCHORS = 20


@dataclass(frozen=True, slots=True)
class Placement:
    """A new candidate's forecast on every query of the log: probability of a good answer, and its deviation, (n,)."""

    p_good: Array
    spread: Array


class Standings:
    """How the candidates of a log stand to its queries.

    Parameters
    ----------
    factors
        Kinds of difficulty told apart.

    Attributes
    ----------
    design_ : (n, factors + 1)
        Queries: 1, and their factors, each of unit variance.
    loadings_ : (m, factors + 1)
        Candidates.
    noise_
        Variance of a score that the factors do not explain.
    """

    def __init__(self, *, factors: int = FACTORS) -> None:
        if factors < 1:
            raise ConfigError(f"Standings(factors={factors!r}): it must be at least 1")
        self.factors = factors

    def fit(self, scores: Array, log_prices: Array) -> Standings:
        """Fit on outcomes.

        Parameters
        ----------
        scores : (n, m)
            In [0, 1], NaN where a candidate was not asked.
        log_prices : (m,)
            Logarithm of a typical price.

        Raises
        ------
        ConfigError
            If there are fewer than three candidates, or as many prices as candidates are not given.
        """
        n, m = scores.shape
        if m < 3:
            raise ConfigError(f"placing a new candidate needs outcomes of at least 3 known ones, got {m}")
        if log_prices.shape != (m,):
            raise ConfigError(f"log_prices has shape {log_prices.shape}, expected one price for {m} candidates")
        filled = complete(scores)
        centred = filled - filled.mean(0)
        rank = min(self.factors, m - 1)
        vectors = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :rank]
        places = centred @ vectors
        places /= np.maximum(places.std(0), 1e-9)
        self.design_ = np.column_stack([np.ones(n), places])
        self.loadings_ = np.linalg.lstsq(self.design_, filled, rcond=None)[0].T
        left = filled - self.design_ @ self.loadings_.T
        # Factors were drawn from these very scores; those of a candidate that was not among them explain less.
        self.noise_ = float(max((left**2).sum() / (n * (m - rank - 1) if m > rank + 1 else n), 0.02))
        self._fit_prior(np.asarray(log_prices, dtype=np.float64))
        return self

    def _fit_prior(self, prices: Array) -> None:
        """Normal prior of a new candidate's loadings given its price: a ridge on the price, and what it leaves."""
        m, width = self.loadings_.shape
        self._centre, self._scale = float(prices.mean()), float(prices.std()) or 1.0
        x = np.column_stack([np.ones(m), (prices - self._centre) / self._scale])
        self._by_price = np.linalg.solve(x.T @ x + np.diag([0.0, 2.0]), x.T @ self.loadings_)
        left = self.loadings_ - x @ self._by_price
        covariance = left.T @ left / max(m - 2, 1)
        # A dozen candidates cannot tell a covariance: its correlations are halved.
        self._prior = 0.5 * covariance + 0.5 * np.diag(np.diag(covariance)) + 1e-4 * np.eye(width)

    def anchors(self, count: int = ANCHORS) -> NDArray[np.intp]:
        """Rows of the queries to ask a new candidate, in the order in which they tell most.

        Raises
        ------
        ConfigError
            If there are fewer queries than that.
        """
        if not 1 <= count <= len(self.design_):
            raise ConfigError(f"anchors({count}): the log has {len(self.design_)} queries, and at least 1 is needed")
        covariance, second = self._prior.copy(), self.design_.T @ self.design_ / len(self.design_)
        chosen: list[int] = []
        free = np.ones(len(self.design_), dtype=bool)
        for _ in range(count):
            reach = self.design_ @ covariance
            gain = np.einsum("ni,ij,nj->n", reach, second, reach) / (
                self.noise_ + np.einsum("ni,ni->n", reach, self.design_)
            )
            best = int(np.where(free, gain, -np.inf).argmax())
            chosen.append(best)
            free[best] = False
            covariance -= np.outer(reach[best], reach[best]) / (self.noise_ + float(reach[best] @ self.design_[best]))
        return np.array(chosen, dtype=np.intp)

    def place(self, rows: NDArray[np.intp], scores: Array, log_price: float) -> Placement:
        """Forecast a new candidate on all queries, from its ``scores`` (k,) on ``rows`` (k,) and its price.

        With no rows it is the forecast by price alone.
        """
        mean = np.array([1.0, (log_price - self._centre) / self._scale]) @ self._by_price
        covariance = self._prior
        if len(rows):
            x = self.design_[rows]
            gain = covariance @ x.T @ np.linalg.inv(x @ covariance @ x.T + self.noise_ * np.eye(len(rows)))
            mean = mean + gain @ (np.asarray(scores, dtype=np.float64) - x @ mean)
            covariance = covariance - gain @ x @ covariance
        spread = np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", self.design_, covariance, self.design_), 0.0))
        return Placement(np.clip(self.design_ @ mean, 0.005, 0.995), spread)
