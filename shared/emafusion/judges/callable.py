"""The user's own check as a judge: unit tests that run, a query that executes, a citation that exists.

What was executed outranks what was opined, so it weighs more than a model's verdict, and every draft is shown to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from emafusion.errors import ConfigError
from emafusion.types import Call, Query, Reply, Verdict

__all__ = ["CallableJudge", "Finding"]

Finding: TypeAlias = bool | float | Verdict | None
YES, NO = 0.9, 0.1


@dataclass(frozen=True, slots=True)
class CallableJudge:
    """Judge answers by a function of one's own.

    Parameters
    ----------
    function
        Called with the :class:`Query` and the :class:`Reply`; returns True or False, the probability in [0, 1] that
        the answer is good, a :class:`Verdict`, or None where it has nothing to say. May be asynchronous; one that is
        not is run in a worker thread where the request is asynchronous, with the caller's context variables.
    name
        Shown in verdicts; by default the function's own.
    weight
        Log-likelihood ratio of a yes or a no; 3 is right nineteen times in twenty.

    Examples
    --------
    >>> judge = CallableJudge(lambda query, reply: reply.text.isdigit(), name="is a number")
    >>> (call,) = judge.calls(Query("How many?"), Reply("12"), "small", "small")
    >>> judge.read([Reply("", native=call.function())], "small", 0.0).score
    0.9
    """

    function: Callable[[Query, Reply], Finding | Awaitable[Finding]]
    name: str = ""
    weight: float = 3.0

    model = None
    free = True

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ConfigError(f"CallableJudge: expected a function of (query, reply), got {self.function!r}")
        if not self.name:
            object.__setattr__(self, "name", getattr(self.function, "__name__", type(self.function).__name__))

    def calls(self, query: Query, answer: Reply, author: str, model: str) -> tuple[Call, ...]:
        return (Call("judge", model, judge=self.name, function=partial(self.function, query, answer)),)

    def read(self, replies: Sequence[Reply], author: str, cost_usd: float) -> Verdict:
        """The function's finding as a verdict.

        Raises
        ------
        ConfigError
            If it returned something else than it may.
        """
        found = replies[0].native if replies else None
        if found is None:
            return Verdict(self.name, author, None, "has nothing to say", cost_usd)
        if isinstance(found, Verdict):
            if found.score is not None and not 0.0 <= found.score <= 1.0:
                raise ConfigError(f"judge {self.name!r} gave a verdict of {found.score!r}: it must be in [0, 1]")
            return found
        if isinstance(found, (bool, np.bool_)):
            return Verdict(self.name, author, YES if found else NO, "yes" if found else "no", cost_usd)
        if isinstance(found, (int, float, np.number)) and 0.0 <= float(found) <= 1.0:
            return Verdict(self.name, author, float(found), f"{float(found):.2f}", cost_usd)
        raise ConfigError(
            f"judge {self.name!r} returned {found!r:.60}: expected a bool, a number in [0, 1], a Verdict or None"
        )
