"""`Attribution`: from what a framework traces to the decisions that are meant.

A framework's trace is a tree of runs (LlamaIndex: spans), of which some are requests that ended in a decision:

    chain                         feedback on this run is about the last decision below it
    ├── prompt
    ├── model                     a request
    │   └── draft, judge, ...     inside: what fails here is the model's own business, and known to its judges
    └── parser                    fails: the model's answer could not be used

Runs are known by the ids that the framework gives them. All that is remembered is bounded.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from emafusion.errors import ConfigError
from emafusion.recent import Recent

if TYPE_CHECKING:
    from emafusion.fusion import Fusion

__all__ = ["TRUTHS", "Attribution"]

log = logging.getLogger("emafusion")

REMEMBERED = 16_384
"""Runs of which feedback can be told; a trace of a chain has a handful."""
OPEN = 4096
"""Runs that may be open at a time; the oldest, which somebody may have abandoned, go first."""
DECISIONS = 64
"""Decisions below one run among which the failing one is sought."""

TRUTHS = ("ground_truth", "reference", "truth")
"""Names of feedback whose value is the true answer."""

ANOTHER = ""
"""In place of a decision: the answer of some other model."""

UNUSABLE = (ValidationError, json.JSONDecodeError)


@dataclass(slots=True)
class _Run:
    """An open run."""

    parent: str | None
    began: int
    inside: bool = False
    """It is a request, or within one."""
    answers: bool = False
    """It is a call of a model."""
    parses: bool = False
    """It makes something of an answer, or fails."""
    streamed: bool = False
    """It began while its input was still being written."""
    given: str | None = None
    """The decision whose answer it was handed, or that it is another model's."""
    own: bool = False
    """It is a request with a decision."""
    below: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=DECISIONS))
    """Decisions of it and of the runs below, and when they were made."""
    used: set[str] = field(default_factory=set)
    """Decisions whose answers were parsed into something."""
    heard: int | None = None
    """The exception that comes up from below."""


class Attribution:
    """Follows a trace, signals answers that could not be used, and knows which decision a run's feedback is about.

    Parameters
    ----------
    fusion
        Whose decisions; others in the same trace are left alone.
    unusable
        The framework's own exceptions that say that an answer could not be parsed, beside pydantic's
        ``ValidationError`` and ``json.JSONDecodeError``.
    """

    def __init__(self, fusion: Fusion, unusable: tuple[type[Exception], ...] = ()) -> None:
        self.fusion = fusion
        self._unusable = (*UNUSABLE, *unusable)
        self._open: OrderedDict[str, _Run] = OrderedDict()
        self._parents, self._meant = Recent[str](REMEMBERED), Recent[str](REMEMBERED)
        self._failed = Recent[bool](REMEMBERED)
        self._clock = 0
        self._lock = threading.RLock()

    # -- what the framework tells; nothing here raises ---------------------------------------------------------

    def began(
        self,
        run: str,
        parent: str | None,
        *,
        inside: bool = False,
        answers: bool = False,
        parses: bool = False,
        streamed: bool = False,
        given: str | None = None,
    ) -> None:
        """A run began.

        Parameters
        ----------
        inside
            It is a request itself, or one of the calls that a request makes; so is all below it.
        answers
            It is a call of a model, ours or another.
        parses
            It makes something of an answer, or fails.
        streamed
            Its input is still being written.
        given
            The decision of the answer that it was handed, or "" for an answer of another model; None: not known.
        """
        with self._lock:
            above = None if parent is None else self._open.get(parent)
            within = above is not None and above.inside
            if parent is not None and not within:
                self._parents.put(run, parent)
            self._open[run] = _Run(parent, self._tick(), inside or within, answers, parses, streamed, given)
            while len(self._open) > OPEN:
                self._open.popitem(last=False)

    def decided(self, run: str, decision_id: str, parent: str | None = None) -> None:
        """A run turned out to be a request, and ended in a decision; the run may have ended before."""
        with self._lock:
            if parent is not None and run not in self._parents:
                self._parents.put(run, parent)
            if (own := self._open.get(run)) is not None:
                own.own = True
            known = self.fusion.decision(decision_id) is not None
            for above in self._answered(run, decision_id if known else ANOTHER):
                if known:
                    self._meant.put(above, decision_id)

    def another_answered(self, parent: str | None) -> None:
        """A model that is none of ours answered below ``parent``."""
        with self._lock:
            for _ in self._answered(parent, ANOTHER):
                pass

    def ended(self, run: str, *, parsed: bool = True) -> None:
        """A run ended well. ``parsed``: what came out is no mere text, which any answer could be made into."""
        with self._lock:
            done = self._open.get(run)
            if done is None:
                return
            if parsed and done.parses and not done.inside and (decision := self._blamed(done)) is not None:
                done.used.add(decision)
            if done.answers and not (done.own or done.below):
                self.another_answered(done.parent)
            used = self._close(run, done)
        self._signal(used, present=False)

    def failed(self, run: str, error: BaseException, *, unusable: bool = False) -> None:
        """A run ended with an exception; ``unusable``: whichever it is, it says that its input could not be used."""
        with self._lock:
            done = self._open.get(run)
            if done is None:
                return
            above = None if done.parent is None else self._open.get(done.parent)
            known = done.heard in _chained(error)
            if above is not None:
                above.heard = id(error)  # which comes up there in a moment
            blamed: set[str] = set()
            models = done.inside or done.own or (done.answers and not done.below)
            if not (known or models) and (unusable or isinstance(error, self._unusable)):
                decision = self._blamed(done)
                if decision is not None and decision not in self._failed:
                    self._failed.put(decision, True)
                    blamed.add(decision)
            used = self._close(run, done)
        self._signal(blamed, present=True)
        self._signal(used, present=False)

    def failed_inside(self, parent: str | None, error: BaseException) -> None:
        """A call below ``parent`` that was not told of when it began failed: no news when it comes up."""
        with self._lock:
            if parent is not None and (above := self._open.get(parent)) is not None:
                above.heard = id(error)

    # -- what a user tells -------------------------------------------------------------------------------------

    def decision_of(self, id: Any) -> str:
        """The decision that feedback on a run is about: its own, or the last one below it. A decision's id is its own.

        Raises
        ------
        ConfigError
            If no such run was traced, or nothing was decided below it.
        """
        named = str(id)
        decision = self._meant.get(named)
        if decision is not None:
            return decision
        store = self.fusion.store
        if self.fusion.decision(named) is not None or (store is not None and store.decision(named) is not None):
            return named
        raise ConfigError(
            f"no run with the id {named!r} was seen with a decision below it, and no decision has that id: have the "
            f"callback take part in the call; it remembers the last {REMEMBERED} runs, of this process. Elsewhere, or "
            "later, name the decision: its id is in the answer, under 'emafusion'"
        )

    def create_feedback(self, id: Any, name: str, score: Any = None, value: Any = None, feedback_id: Any = None) -> str:
        """Feedback as LangSmith's clients spell it; returns the id of the decision that it is about.

        Parameters
        ----------
        id
            Of a run or a decision.
        name
            What the feedback is called ("user_score", ...): of one name the last word counts.
        score
            A bool is thumbs; a number in [0, 1].
        value
            Where there is no score: a bool or a number in its place, or, for the names in :data:`TRUTHS`, the true
            answer.
        feedback_id
            Identity, in place of the decision and the name.

        Raises
        ------
        ConfigError
            If nothing can be learned from it, or the run is unknown.
        """
        decision = self.decision_of(id)
        key = name if feedback_id is None else str(feedback_id)
        said = value if score is None else score
        if score is None and name in TRUTHS and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            self.fusion.feedback(decision, truth=str(value), key=key)
        elif isinstance(said, bool):
            self.fusion.feedback(decision, thumbs=said, key=key)
        elif isinstance(said, (int, float)):
            self.fusion.feedback(decision, float(said), key=key)
        else:
            raise ConfigError(
                f"feedback {name!r} tells nothing of how good the answer was: give score= (a bool, or a number in "
                f"[0, 1]), or value= with the true answer under one of the names {', '.join(TRUTHS)}; got "
                f"score={score!r}, value={value!r}"
            )
        return decision

    # -- inside ------------------------------------------------------------------------------------------------

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _upwards(self, run: str | None) -> Iterator[str]:
        """The run and those above it, the ended among them too."""
        seen: set[str] = set()
        while run is not None and run not in seen:
            seen.add(run)
            yield run
            run = self._parents.get(run)

    def _answered(self, run: str | None, decision: str) -> Iterator[str]:
        """Note an answer where it may be sought; gives the runs that it belongs to."""
        at = self._tick()
        for above in self._upwards(run):
            if (opened := self._open.get(above)) is not None:
                opened.below.append((at, decision))
            yield above

    def _blamed(self, failing: _Run) -> str | None:
        """Whose answer a run worked on: that which it asked for, was handed, or that came last before it."""
        if failing.below:
            return failing.below[-1][1] or None
        if failing.given is not None:
            return failing.given if self.fusion.decision(failing.given) is not None else None
        before, streamed = failing, failing.streamed
        while before.parent is not None and (above := self._open.get(before.parent)) is not None:
            # What runs beside it, in parallel, began before this answer was there.
            earlier = [d for at, d in above.below if streamed or at < before.began]
            if earlier:
                return earlier[-1] or None
            before, streamed = above, False
        return None

    def _close(self, run: str, done: _Run) -> set[str]:
        """Forget an open run; returns the decisions of a trace at its end whose answers were of use to the last."""
        del self._open[run]
        above = None if done.parent is None else self._open.get(done.parent)
        if above is None:  # the end of the trace, or of what is seen of it
            return {d for d in done.used if d not in self._failed}
        above.used |= done.used
        return set()

    def _signal(self, decisions: set[str], *, present: bool) -> None:
        for decision in decisions:
            try:
                self.fusion.signal(decision, "schema_failure", present=present)
            except Exception as error:  # the trace goes on
                log.warning("emafusion: a signal was lost: %s: %s", type(error).__name__, error)


def _chained(error: BaseException) -> set[int]:
    """The exception, and those that it was raised from or while handling."""
    found: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < 16:
        one = waiting.pop()
        if one is not None and id(one) not in found:
            found.add(id(one))
            waiting += [one.__cause__, one.__context__]
    return found
