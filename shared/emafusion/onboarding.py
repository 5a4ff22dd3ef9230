"""Placing a new candidate: stored questions are put to it through the very calls that requests take.

    for anchor in anchors:
        with anchoring.asking(anchor):      # whatever is decided in here is marked, and nothing in it is left to chance
            ask(anchor.text, name)

An anchor that fails is a warning. One that a budget refuses ends the asking: the others would be refused as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from emafusion.errors import BudgetExceeded
from emafusion.types import Result

if TYPE_CHECKING:
    from emafusion.config import Pool
    from emafusion.learning.online.loop import LearningLoop
    from emafusion.learning.online.newcomers import Anchor
    from emafusion.store import Store

__all__ = ["Anchoring", "Ask", "AsyncAsk", "aplace", "being_placed", "place"]

Ask = Callable[[str, str], Any]
"""Puts a text to the candidate of a name, as an adapter's own call would."""
AsyncAsk = Callable[[str, str], Awaitable[Any]]


class Placing(Protocol):
    """What the placing of a candidate needs of a :class:`~emafusion.fusion.Fusion`."""

    pool: Pool
    store: Store | None

    @property
    def learning(self) -> LearningLoop | None: ...

    def feedback(self, decision_id: str, *, truth: str) -> None: ...


_GOING_ON: ContextVar[Anchoring | None] = ContextVar("emafusion_anchoring", default=None)

log = logging.getLogger("emafusion")


def being_placed(fusion: object) -> Anchoring | None:
    """What this request of a fusion is made for, where it is made to place a new candidate of its own."""
    going_on = _GOING_ON.get()
    return going_on if going_on is not None and going_on.fusion is fusion else None


class Anchoring:
    """The placing of one candidate.

    Attributes
    ----------
    over
        Whether there is no use in asking on.
    graded
        How many answers could be graded so far.
    """

    def __init__(self, fusion: Placing, name: str) -> None:
        self.fusion, self.name = fusion, name
        self.over = False
        self.graded = 0
        self._result: Result | None = None

    def taken(self, result: Result) -> Result:
        """The result of an anchor, marked: nobody chose the candidate, so that there are no propensities."""
        reason = f"{self.name} is new, and placed by its answer"
        decision = replace(result.decision, anchor=True, first=(), propensities={}, reason=reason)
        self._result = replace(result, decision=decision)
        return self._result

    @contextmanager
    def asking(self, anchor: Anchor) -> Iterator[None]:
        """Around the asking of an anchor: learns from what is decided in it, and lets no failure out."""
        self._result = None
        token = _GOING_ON.set(self)
        try:
            yield
        except Exception as error:
            self.over = isinstance(error, BudgetExceeded)
            log.warning("emafusion: %r was not asked an anchor: %s: %s", self.name, type(error).__name__, error)
            return
        finally:
            _GOING_ON.reset(token)
        try:
            self._learn(anchor)
        except Exception as error:
            log.warning("emafusion: an anchor of %r taught nothing: %s: %s", self.name, type(error).__name__, error)

    def _learn(self, anchor: Anchor) -> None:
        if self._result is None:  # a cache answered
            return
        decision, reply = self._result.decision, self._result.reply
        grade = anchor.grade(reply.text, self.name, decision.forecast)
        if grade is None:
            return
        self.graded += 1
        if anchor.truth is not None and grade in (0.0, 1.0):
            self.fusion.feedback(decision.id, truth=anchor.truth)
        elif self.fusion.learning is not None:
            self.fusion.learning.told(decision.id, {self.name: grade})


def place(fusion: Placing, name: str, count: int, ask: Ask) -> None:
    """Put ``count`` anchors to a candidate of the pool, one after the other. Never raises."""
    anchoring = Anchoring(fusion, name)
    for anchor in _chosen(fusion, name, count):
        with anchoring.asking(anchor):
            ask(anchor.text, name)
        if anchoring.over:
            break
    _tell(anchoring, count)


async def aplace(fusion: Placing, name: str, count: int, ask: AsyncAsk) -> None:
    """:func:`place` for asyncio."""
    anchoring = Anchoring(fusion, name)
    for anchor in await asyncio.to_thread(_chosen, fusion, name, count):
        with anchoring.asking(anchor):
            await ask(anchor.text, name)
        if anchoring.over:
            break
    _tell(anchoring, count)


def _chosen(fusion: Placing, name: str, count: int) -> list[Anchor]:
    from emafusion.learning.online.newcomers import LOOKED_AT, choose, eligible

    assert fusion.store is not None
    try:
        return choose(eligible(fusion.store.decisions(LOOKED_AT)), fusion.pool, name, count)
    except Exception as error:  # the database is away
        log.warning("emafusion: no anchors could be chosen for %r: %s: %s", name, type(error).__name__, error)
        return []


def _tell(anchoring: Anchoring, count: int) -> None:
    if anchoring.graded < count:
        log.warning(
            "emafusion: %r is placed by %d of %d anchors: the store has no more questions that stand alone and whose "
            "answers can be graded, or the candidate did not answer them so",
            anchoring.name,
            anchoring.graded,
            count,
        )
