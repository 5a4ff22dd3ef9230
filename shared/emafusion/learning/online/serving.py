"""What learning puts into the engine: a router that corrects forecasts, and chance where a request opens."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np

from emafusion.config import Pool
from emafusion.judges.panel import Belief
from emafusion.learning.online.exploring import choose, propensities
from emafusion.learning.online.learner import OnlineLearner
from emafusion.learning.online.lengths import OutputLengths
from emafusion.learning.online.settings import Learning
from emafusion.policies.base import Terms
from emafusion.policies.exploring import Opening
from emafusion.policies.moves import Try
from emafusion.routers.base import Router
from emafusion.types import Forecast, Query

__all__ = ["CorrectedRouter", "RandomExplorer"]

log = logging.getLogger("emafusion")


class CorrectedRouter:
    """A router whose forecasts are corrected by what answers have shown since it was made.

    Parameters
    ----------
    base
    learner
        Makes the learner on first use, for it needs the encoder's table.
    lengths, pool
        What is known of how much candidates write, and what that costs.
    """

    def __init__(self, base: Router, learner: Callable[[], OnlineLearner], lengths: OutputLengths, pool: Pool) -> None:
        self.base, self._learner, self._lengths, self.pool = base, learner, lengths, pool
        self._failed = False

    def forecast(self, query: Query) -> Forecast:
        forecast = self.base.forecast(query)
        try:
            corrected = self._learner().correct(forecast)
            return self._lengths.correct(corrected, self.pool, query.max_output_tokens)
        except Exception as error:
            if not self._failed:  # once, not with every request
                log.warning("emafusion: forecasts go uncorrected: %s: %s", type(error).__name__, error)
            self._failed = True
            return forecast


class RandomExplorer:
    """Draws whom to ask first, with known propensities, and which answers to audit. Safe to share between threads.

    An :class:`~emafusion.policies.exploring.Explorer`; the chances are those of
    :func:`~emafusion.learning.online.exploring.propensities`.
    """

    def __init__(self, settings: Learning, learner: Callable[[], OnlineLearner]) -> None:
        self.settings, self._learner = settings, learner
        self._rng = np.random.default_rng(settings.seed)
        self._lock = threading.Lock()

    def open(self, belief: Belief, terms: Terms, move: Try) -> Opening:
        first = belief.index(move.candidates[0])
        value = terms.value if belief.value is None else belief.value
        standing = self._learner().standing(belief.names)
        chances = propensities(first, belief.p, belief.cost, value, standing, self.settings, belief.open)
        with self._lock:
            chosen = choose(self._rng, belief.names, chances, first)
        if not chosen.explored:
            return Opening(move, chosen.propensities)
        name = chosen.candidate
        reason = (
            f"{name} is explored (chance {chosen.propensities[name]:.3f}); the policy's choice is {belief.names[first]}"
        )
        return Opening(Try((name,), reason=reason), chosen.propensities, explored=True)

    def audits(self, belief: Belief, accepted: str, reference: str) -> bool:
        chance = self._learner().audit_chance(accepted, belief.names)
        with self._lock:
            return bool(self._rng.random() < chance)
