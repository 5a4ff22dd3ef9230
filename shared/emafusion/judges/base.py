"""What a judge is: it writes a prompt about one answer and reads a score from the reply. Both are pure."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from emafusion.types import Call, Query, Reply, Verdict

__all__ = ["Judge"]


@runtime_checkable
class Judge(Protocol):
    """An opinion on one answer that costs a call.

    Attributes
    ----------
    name
        Unique on a panel.
    model
        A model of its own, the name of a candidate, or None: some candidate other than the author.
    weight
        Log-likelihood ratio of a sure verdict before calibration; 1.4 is right four times in five.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> Any: ...

    @property
    def weight(self) -> float: ...

    def call(self, query: Query, answer: Reply, author: str, model: str) -> Call:
        """The call that asks ``model`` about ``answer``."""
        ...

    def read(self, reply: Reply, author: str, cost_usd: float) -> Verdict:
        """The verdict in ``reply``; abstains where there is none to read."""
        ...
