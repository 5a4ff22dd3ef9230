"""What a judge is: it words calls about one answer and reads a verdict from the replies. Both are pure.

A judge may have more than the protocol asks for; the panel looks for these by name:

* ``briefed(case) -> Judge``: the same judge, told all of one :class:`Case` (the answer, its rivals, the task);
* ``further(replies) -> tuple[Call, ...]``: more calls once the first ones are answered (none: it has heard enough);
* ``free``: True where it costs nothing, so every draft is shown to it before anything dearer is weighed;
* ``reads_logprobs``: True where it reads the log-probabilities of drafts, which are then asked for;
* ``rival``: True where it needs another answer to compare with;
* ``samples``, ``replays``: how many calls to expect, and whether they repeat the draft's own request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from emafusion.types import Call, Query, Reply, Verdict

__all__ = ["AUTHOR", "Case", "Judge"]

AUTHOR = "author"
"""Model of a judge whose calls go to the candidate that wrote the answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer before the panel.

    Attributes
    ----------
    rivals
        Usable answers that say something else, by candidate, the most probable first.
    task
        Likeliest task type of the query by the taxonomy; empty where nobody labelled it.
    """

    query: Query
    author: str
    answer: Reply
    rivals: Mapping[str, Reply] = field(default_factory=dict)
    task: str = ""


@runtime_checkable
class Judge(Protocol):
    """An opinion on one answer.

    Attributes
    ----------
    name
        Unique on a panel.
    model
        A model of its own, the name of a candidate, ``"author"`` for the candidate that wrote the answer, or None:
        some candidate other than the author.
    weight
        Log-likelihood ratio of a sure verdict before calibration; 1.4 is right four times in five.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> Any: ...

    @property
    def weight(self) -> float: ...

    def calls(self, query: Query, answer: Reply, author: str, model: str) -> tuple[Call, ...]:
        """The calls that ask ``model`` about ``answer``; they run in parallel, so k samples are k calls."""
        ...

    def read(self, replies: Sequence[Reply], author: str, cost_usd: float) -> Verdict:
        """The verdict in ``replies``, calls that failed left out; abstains where there is none to read."""
        ...
