"""`OnlineLearner`: forecasts, corrected by what answers have shown since."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emafusion.learning.online.exploring import ENOUGH, Standing
from emafusion.learning.online.history import History
from emafusion.learning.online.observation import EPOCH, Observation, sureness
from emafusion.learning.online.posterior import NOISE, Posterior
from emafusion.learning.online.reduction import Reduction
from emafusion.learning.online.settings import Learning
from emafusion.types import Forecast

__all__ = ["OnlineLearner"]

Array = NDArray[np.float64]

USUAL_SPREAD = 0.15
"""Standard deviation of a forecast for which ``prior_strength`` is meant."""
LEAST_SPREAD = 0.03
CHANGED_SPREAD = 0.35
"""Standard deviation of the forecast of a candidate that was seen to change: it may now be anything."""
LOW, HIGH = 0.005, 0.995
SMOOTHING = 0.05
AUDITS_OF_A_SUSPECT = 0.5
"""Share of the answers that are audited of a candidate whose quality may have fallen: verdicts alone would take long to
tell, while it loses most of its traffic."""
AUDITS_OF_A_NEWCOMER = 0.3
"""Share of a newcomer's first answers that are audited, shrinking as it becomes known."""
MOST_AUDITS, SURE_ENOUGH = 10.0, 0.04
"""Times the usual share of audits that a candidate gets at first, shrinking with the variance of how far judges favour
it until that is this one's standard deviation: about a difference of quality that decides between candidates."""


class OnlineLearner:
    """Learns from observations, and corrects forecasts by what was learned.

    A Bayesian linear regression per candidate of what its forecast misses, with the forecast as its prior mean
    (contextual bandits with a warm start: LinUCB, Li et al. 2010; ParetoBandit 2026). Judges' words are corrected by
    audits. All that is learned is in sums that many workers add to; see
    :class:`~emafusion.learning.online.observation.Observation`.

    Parameters
    ----------
    settings
    reduction
        Of the encoder whose vectors forecasts carry: :meth:`Reduction.of`.

    Notes
    -----
    Safe to share between threads. Correcting reads a snapshot, which learning replaces.
    """

    def __init__(self, settings: Learning | None = None, *, reduction: Reduction) -> None:
        self.settings = settings or Learning()
        self.reduction = reduction
        self.tick = 0.0
        self._history = History(reduction.width + 1, self.settings.memory)
        self._lock = threading.Lock()
        self._spread: dict[str, float] = {}
        self._pool: tuple[str, ...] | None = None
        self._newcomers: set[str] = set()
        self._suspects: frozenset[str] = frozenset()
        self._snapshot: _Snapshot | None = None

    # -- learning ----------------------------------------------------------------------------------------------

    def observe(self, observations: Iterable[Observation]) -> None:
        """Learn from these."""
        with self._lock:
            for observation in observations:
                self._history.add(observation.key, observation.contribution())
                self.tick = max(self.tick, observation.tick)
            self._learned()

    def revise(self, before: Observation, after: Observation) -> None:
        """Learn what was said later of an answer that was learned from before: the same observation, filled in."""
        if before.key != after.key:
            raise ValueError(f"an observation of {before.key} cannot be revised by one of {after.key}")
        with self._lock:
            self._history.add(before.key, after.contribution() - before.contribution())
            self._learned()

    def merge(self, sums: Mapping[tuple[str, int], Array]) -> None:
        """Add the sums of other workers."""
        with self._lock:
            for key, row in sums.items():
                self._history.add(key, np.asarray(row, dtype=np.float64))
            self._met(sums)

    def replace(self, sums: Mapping[tuple[str, int], Array]) -> None:
        """Hold these sums (those of all workers) instead of one's own."""
        with self._lock:
            self._history.replace(sums)
            self._met(sums)

    def _met(self, sums: Mapping[tuple[str, int], Array]) -> None:
        self.tick = max([self.tick, *(float(epoch * EPOCH) for _, epoch in sums)])
        self._learned()

    def sums(self) -> dict[tuple[str, int], Array]:
        """All that was learned: (candidate, epoch) -> row."""
        with self._lock:
            return self._history.rows()

    def carried(self, row: Array, epochs: int) -> Array:
        """A row of sums as it is to be added to those of an epoch so much later, by how this learner forgets."""
        return self._history.carried(row, epochs)

    def forget(self, candidate: str, before: float | None = None) -> None:
        """Forget a candidate, or let what it did before a tick count little and its forecast for nothing sure."""
        with self._lock:
            if before is None:
                self._history.drop(candidate)
            else:
                self._history.change(candidate, int(before // EPOCH))
            self._learned()

    def _learned(self) -> None:
        """Have the next request find the corrections ready, rather than wait for them."""
        if self._snapshot is not None:
            self._refresh(self._snapshot.names)

    def changes(self) -> dict[str, int]:
        """Candidate -> epoch in which it was seen to change, of those that did."""
        with self._lock:
            return self._history.changes()

    # -- forecasting -------------------------------------------------------------------------------------------

    def features(self, forecast: Forecast) -> Array:
        """What observations keep of the query: (d,)."""
        return self.reduction.features(forecast.embedding)

    def correct(self, forecast: Forecast) -> Forecast:
        """The forecast with ``p_good`` and ``spread`` as answers have shown them to be; the rest as it was."""
        names = forecast.candidates
        p, spread = np.array(forecast.p_good), np.array(forecast.spread)
        self._meet(forecast)
        known = self._known(names)
        features = self.features(forecast)
        design = np.empty((len(names), len(features) + 1))
        design[:, :-1], design[:, -1] = features, sureness(p)
        added, left = known.posterior.correction(design)
        corrected = np.clip(p + added, LOW, HIGH)
        if known.changed:
            spread = np.maximum(spread, [CHANGED_SPREAD if n in known.changed else 0.0 for n in names])
        return replace(
            forecast,
            p_good=tuple(corrected.tolist()),
            spread=tuple((spread * np.sqrt(left)).tolist()),
            uncorrected=forecast.uncorrected or forecast.p_good,
        )

    def standing(self, names: tuple[str, ...]) -> Standing:
        """How much is known of these candidates."""
        posterior = self._known(names).posterior
        new = np.array([n in self._newcomers for n in names])
        return Standing(np.sqrt(posterior.own), posterior.presumed, posterior.heard, new)

    def audit_chance(self, candidate: str, names: tuple[str, ...]) -> float:
        """Probability with which an answer of this candidate is to be audited.

        It starts at several times the setting, and falls to it as it becomes known how far judges favour the candidate,
        which takes longer where they are unfair to it; a newcomer's first answers are audited oftener still, for judges
        alone would take long to make it known.
        """
        if candidate not in names or not self.settings.audit:
            return self.settings.audit
        posterior, j = self._known(names).posterior, names.index(candidate)
        times = float(np.clip(posterior.leaning.variance[j] / SURE_ENOUGH**2, 1.0, MOST_AUDITS))
        chance = min(self.settings.audit * times, 1.0)
        if candidate in self._newcomers:
            chance = max(chance, AUDITS_OF_A_NEWCOMER * (1.0 - float(posterior.heard[j]) / ENOUGH))
        return max(chance, AUDITS_OF_A_SUSPECT) if candidate in self._suspects else chance

    def suspect(self, candidates: frozenset[str]) -> None:
        """Have answers of these, and no others, audited often: their quality may have fallen."""
        self._suspects = candidates

    def leaning(self, names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
        """Candidate -> (by how much judges favour it, standard deviation of that), as audits show."""
        told = self._known(names).posterior.leaning
        return {n: (float(a), float(np.sqrt(v))) for n, a, v in zip(names, told.mean, told.variance)}

    def _meet(self, forecast: Forecast) -> None:
        """Remember who is there, and how sure their forecasts usually are."""
        for name, sd in zip(forecast.candidates, forecast.spread):
            usual = self._spread.get(name)
            self._spread[name] = sd if usual is None else usual + SMOOTHING * (sd - usual)
            if usual is None and self._pool is not None:
                self._newcomers.add(name)
        self._pool = forecast.candidates

    def _known(self, names: tuple[str, ...]) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is not None and snapshot.names == names:
            return snapshot
        with self._lock:
            return self._refresh(names)

    def _refresh(self, names: tuple[str, ...]) -> _Snapshot:
        changed = frozenset(self._history.changes())
        usual = [max(self._spread.get(n, USUAL_SPREAD), LEAST_SPREAD) for n in names]
        sd = np.array([max(s, CHANGED_SPREAD) if n in changed else s for n, s in zip(names, usual)])
        # An answer tells as much as its noise lets it: prior_strength answers have the variance of the usual forecast.
        variance = sd**2 * (NOISE / USUAL_SPREAD**2) / self.settings.prior_strength
        posterior = Posterior.of(self._history.now(names, self.tick), variance)
        self._snapshot = _Snapshot(names, posterior, changed)
        return self._snapshot


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What is known of a pool at one moment."""

    names: tuple[str, ...]
    posterior: Posterior
    changed: frozenset[str]
