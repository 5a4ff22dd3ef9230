"""`LearningLoop`: decisions and feedback in, corrected forecasts out, beside the requests.

    decision -> observations -> learner (this process, at once)
                             -> store (all processes, in the background) -> learner

With a store the learned sums are those of all processes that share it: they are read back every few seconds, on a
thread of its own. Without one they are this process' alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from emafusion.config import Pool
from emafusion.errors import ConfigError
from emafusion.learning.online.conversations import Turn, reaction
from emafusion.learning.online.drift import Alarm, DriftWatch
from emafusion.learning.online.hints import Answer, Hint
from emafusion.learning.online.learner import OnlineLearner
from emafusion.learning.online.lengths import OutputLengths
from emafusion.learning.online.observation import EPOCH, Observation
from emafusion.learning.online.preferences import Signal, preference, signalled
from emafusion.learning.online.reduction import Reduction
from emafusion.learning.online.rewards import fill_in, observations
from emafusion.learning.online.serving import CorrectedRouter, RandomExplorer
from emafusion.learning.online.settings import Learning
from emafusion.recent import Recent
from emafusion.routers.base import Router
from emafusion.types import Decision, Query

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from emafusion.encoders.base import Encoder

__all__ = ["LearningLoop", "SharedSums"]

REMEMBERED = 4096
"""Decisions whose answers, and conversations whose last turn, can be learned about without asking the store."""
ALARMS = 20
KEPT_EPOCHS = 100
"""Epochs of which each has sums of its own; those before are put together."""

log = logging.getLogger("emafusion")


class SharedSums(Protocol):
    """Where the sums of all processes are: :class:`emafusion.store.Store`."""

    def learn(self, observations: Sequence[Observation], hints: Sequence[Hint] = ()) -> None: ...

    def notice(self, alarm: Alarm) -> None: ...

    def answers(self, decision_id: str) -> list[Answer]: ...

    def statistics(self) -> dict[tuple[str, int], NDArray[np.float64]]: ...

    def lengths(self) -> dict[tuple[str, int], NDArray[np.float64]]: ...

    def next_ticks(self, n: int) -> int: ...

    def fold(self, into: int, scaled: Callable[[NDArray[np.float64], int], NDArray[np.float64]]) -> None: ...

    def forget(self, candidate: str) -> None: ...

    def flush(self, timeout: float = 30.0) -> bool: ...


class LearningLoop:
    """Learning while serving, for one :class:`~emafusion.fusion.Fusion`.

    Parameters
    ----------
    settings
    encoder
        Whose vectors the forecasts carry; loaded when first needed.
    store
        Where all processes' sums are; None: this process learns alone.
    sync_s
        Seconds between readings of the store.
    """

    def __init__(
        self,
        settings: Learning,
        encoder: Callable[[], Encoder],
        store: SharedSums | None = None,
        *,
        sync_s: float = 5.0,
    ) -> None:
        self.settings, self._encoder, self._store, self.sync_s = settings, encoder, store, sync_s
        self.explorer = RandomExplorer(settings, self.learner)
        self.alarms: deque[Alarm] = deque(maxlen=ALARMS)
        """The last changes that were noticed."""
        self._watch = DriftWatch(active=settings.drift)
        self._known = Recent[tuple[Answer, ...]](REMEMBERED)
        self._lengths = OutputLengths()
        self._turns = Recent[Turn](REMEMBERED)
        self._learner: OnlineLearner | None = None
        self._lock = threading.RLock()
        self._tick = 0.0
        self._counted = 0.0
        self._due = 0.0
        self._folded = 0
        self._learned_since: list[tuple[tuple[str, int], NDArray[np.float64]]] | None = None
        self._syncing = threading.Lock()
        self._away = False

    def learner(self) -> OnlineLearner:
        """Made on first use."""
        if self._learner is None:
            with self._lock:
                if self._learner is None:
                    self._learner = OnlineLearner(self.settings, reduction=Reduction.of(self._encoder()))
        return self._learner

    def router(self, base: Router, pool: Pool) -> CorrectedRouter:
        """``base``, which forecasts ``pool``, with its forecasts corrected."""
        return CorrectedRouter(base, self.learner, self._lengths, pool)

    def clock(self) -> float:
        """The number of the decision that is being made."""
        with self._lock:
            self._tick += 1.0
            return self._tick

    # -- learning ----------------------------------------------------------------------------------------------

    def decided(self, query: Query, decision: Decision) -> None:
        """Learn from a finished decision, and from what its question tells of the answer before it."""
        self._lengths.learn(decision)
        if not decision.sticky:  # a tool loop's later steps answer no new question
            learner = self.learner()
            features = learner.features(decision.forecast)
            acted_on = {a.candidate: a.confidence for a in decision.attempts if a.confidence is not None}
            chance = learner.audit_chance(decision.answered_by, decision.forecast.candidates)
            seen = observations(decision, features, confidences=acted_on, audit=chance)
            self._known.put(decision.id, tuple(Answer(o) for o in seen))
            spoken_of = [o for o in seen if o.judge is not None or o.truth is not None]
            learner.observe(spoken_of)
            for observation in spoken_of:
                self._since(None, observation)
            self._heed(self._watch.meet(features, decision.tick))
            for observation in seen:
                self._hear(observation)
            if self._store is not None and seen:
                self._store.learn(seen)
            self._react(query, decision)
        self._sync_if_due()

    def _hear(self, observation: Observation) -> None:
        self._heed(self._watch.hear(observation))
        self.learner().suspect(self._watch.suspects())

    def _heed(self, alarm: Alarm | None) -> None:
        if alarm is None:
            return
        self.alarms.append(alarm)
        if self._store is not None:
            self._store.notice(alarm)
        if alarm.kind == "quality":
            self.learner().forget(alarm.candidate, before=alarm.since)

    def _react(self, query: Query, decision: Decision) -> None:
        if query.conversation is None or not query.thread_named or query.mid_turn:
            return
        before, embedding = self._turns.get(query.conversation), decision.forecast.embedding
        self._turns.put(
            query.conversation, Turn(decision.id, decision.answered_by, query.session, query.text, embedding)
        )
        told = None if before is None else reaction(before, query, embedding)
        if before is not None and told is not None:
            self.signal(before.decision_id, before.answered_by, *told)

    def told(self, decision_id: str, truths: Mapping[str, float], key: str | None = None) -> None:
        """Learn how good the answers of a decision were: candidate -> quality in [0, 1]. The last word counts.

        A preference that was told under the same ``key`` is taken back.
        """

        def revised(answer: Answer) -> Answer:
            if answer.seen.candidate in truths:
                answer = replace(answer, seen=fill_in(answer.seen, truths[answer.seen.candidate]))
            return answer.told(Hint(key, None)) if key in {h.key for h in answer.hints} and key else answer

        self._revise(decision_id, revised)

    def preferred(self, decision_id: str, winner: str, loser: str, key: str) -> None:
        """Learn that one candidate's answer was preferred to another's, as :func:`preference` puts it.

        The same ``key`` of this decision again replaces it, whichever process it comes through.

        Raises
        ------
        ConfigError
            If one of them is not known to have answered.
        """
        known = {a.seen.candidate: a.seen.forecast for a in self._answers(decision_id)}
        if winner not in known or loser not in known:
            names = ", ".join(known) or "none is known"
            raise ConfigError(f"a preference is between candidates that answered the request ({names})")
        said = dict(zip((winner, loser), preference(known[winner], known[loser], key)))
        # Of the others, too: the key may have been told of them before.
        self._revise(decision_id, lambda answer: answer.told(said.get(answer.seen.candidate, Hint(key, None))))

    def signal(self, decision_id: str, answered_by: str, signal: Signal, present: bool = True) -> None:
        """Learn from a reaction to the answer of a decision, or from its absence where it could be seen.

        Each signal counts once a decision, as it was told last.
        """
        key = f"{decision_id}:{signal}"

        def revised(answer: Answer) -> Answer:
            if answer.seen.candidate != answered_by:
                return answer
            return answer.told(signalled(answer.seen.forecast, key, signal, present=present))

        self._revise(decision_id, revised)

    def observations(self, decision_id: str) -> tuple[Observation, ...]:
        """What is known of a decision's answers, here or in the store."""
        return tuple(a.observation for a in self._answers(decision_id))

    def _answers(self, decision_id: str) -> tuple[Answer, ...]:
        known = self._known.get(decision_id)
        if known is None and self._store is not None:
            known = tuple(self._store.answers(decision_id))
        return known or ()

    def _revise(self, decision_id: str, revised: Callable[[Answer], Answer]) -> None:
        before = self._answers(decision_id)
        after = tuple(map(revised, before))
        here = self._known.get(decision_id) is not None
        for old, new in zip(before, after):
            if new == old:
                continue
            if here:
                self.learner().revise(old.observation, new.observation)
                self._since(old.observation, new.observation)
            if new.seen.truth is not None and old.seen.truth is None:
                self._hear(new.observation)
            if self._store is not None:
                # What is not new is not told again: another process may have told something later of it.
                seen = replace(new.seen, truth=None) if new.seen.truth == old.seen.truth else new.seen
                self._store.learn([seen], [h for h in new.hints if h not in old.hints])
        if here:
            self._known.put(decision_id, after)

    def forget(self, candidate: str) -> None:
        """Forget a candidate that was removed, here and in the store."""
        self._lengths.forget(candidate)
        if self._learner is not None:
            self._learner.forget(candidate)
        if self._store is not None:
            store = self._store
            threading.Thread(target=_quietly, args=(store.forget, candidate), daemon=True).start()

    # -- the store ---------------------------------------------------------------------------------------------

    def _sync_if_due(self) -> None:
        if self._store is None or time.monotonic() < self._due or not self._syncing.acquire(blocking=False):
            return
        self._due = time.monotonic() + self.sync_s
        threading.Thread(target=self._sync, args=(self._store,), name="emafusion-learning", daemon=True).start()

    def sync(self) -> None:
        """Read what all processes have learned now, on this thread."""
        if self._store is not None:
            self._syncing.acquire()
            self._sync(self._store)

    def _sync(self, store: SharedSums) -> None:
        try:
            with self._lock:
                served, self._counted = self._tick - self._counted, self._tick
                self._learned_since = []
            self._lengths.note()
            store.flush()
            if served >= 1:
                latest = float(store.next_ticks(int(served)) + int(served))
                with self._lock:
                    ahead = max(latest - self._counted, 0.0)  # decisions of other processes
                    self._tick, self._counted = self._tick + ahead, self._counted + ahead
            self._fold(store)
            sums, lengths = store.statistics(), store.lengths()
            self._lengths.replace(lengths)
            with self._lock:
                # What came in meanwhile may not be among them yet. (Some may be: then it counts twice until next time.)
                self.learner().replace(sums)
                for key, contribution in self._learned_since or ():
                    self.learner().merge({key: contribution})
            self._away = False
        except Exception as error:  # learning goes on with what this process knows
            if not self._away:
                log.warning("emafusion: what others have learned cannot be read: %s: %s", type(error).__name__, error)
            self._away = True
        finally:
            with self._lock:
                self._learned_since = None  # also where the reading failed
            self._lengths.stop_noting()
            self._syncing.release()

    def _since(self, old: Observation | None, new: Observation) -> None:
        """Note what was learned while the store is being read; at other times there is nothing to note."""
        with self._lock:
            if self._learned_since is not None:
                added = new.contribution() if old is None else new.contribution() - old.contribution()
                self._learned_since.append((new.key, added))

    def _fold(self, store: SharedSums) -> None:
        """Now and then, put together the sums of long ago, lest there be ever more of them."""
        with self._lock:
            into = int(self._tick // EPOCH) - KEPT_EPOCHS
            if into < self._folded + KEPT_EPOCHS // 2:
                return
            self._folded = into
        store.fold(into, self.learner().carried)


def _quietly(what: Callable[[str], None], candidate: str) -> None:
    try:
        what(candidate)
    except Exception as error:
        log.warning("emafusion: %r is still in the store's sums: %s: %s", candidate, type(error).__name__, error)
