"""A hearing: one judge, one answer, from its first call to its verdict. Pure; the engine makes the calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from emafusion.judges.base import Case, Judge
from emafusion.tokens import count_tokens
from emafusion.types import Call, Failure, Reply, Usage, Verdict

__all__ = ["Hearing"]


class Hearing:
    """What one judge has said of one answer so far.

    Parameters
    ----------
    judge
        Briefed on the case where it takes a brief.
    model
        Whom its calls go to.
    price
        USD of a reply by that model, from its usage.
    """

    def __init__(self, judge: Judge, case: Case, model: str, price: Callable[[Usage], float]) -> None:
        brief = getattr(judge, "briefed", None)
        self.name, self.case, self.model, self._price = judge.name, case, model, price
        self._judge: Any = judge if brief is None else brief(case)
        self.replies: list[Reply] = []
        self.errors: list[Exception] = []
        self.cost_usd = 0.0
        self.latency_s: float | None = None
        self._rounds = 0

    def next_calls(self) -> tuple[Call, ...]:
        """The calls of the next round; none once the judge has heard enough. Raises what the judge raises."""
        case, self._rounds = self.case, self._rounds + 1
        if self._rounds == 1:
            return tuple(self._judge.calls(case.query, case.answer, case.author, self.model))
        further = getattr(self._judge, "further", None)
        return tuple(further(tuple(self.replies))) if further is not None and self.replies else ()

    def take(self, calls: tuple[Call, ...], outcomes: tuple[Reply | Failure, ...]) -> None:
        """Take in the outcomes of one round; calls that failed are left out, those that were answered are paid for."""
        slowest: float | None = None
        for call, outcome in zip(calls, outcomes):
            if isinstance(outcome, Failure):
                self.errors.append(outcome.error)
                continue
            reply = self._counted(call, outcome)
            self.replies.append(reply)
            if call.function is None:
                self.cost_usd += reply.cost_usd if reply.cost_usd is not None else self._price(reply.usage or Usage())
            if reply.latency_s is not None:
                slowest = max(slowest or 0.0, reply.latency_s)
        if slowest is not None:
            self.latency_s = (self.latency_s or 0.0) + slowest

    def _counted(self, call: Call, reply: Reply) -> Reply:
        if reply.usage is not None or call.function is not None:
            return reply
        read = sum(count_tokens(m.text) for m in call.prompt) if call.prompt else self.case.query.prompt_tokens
        return replace(reply, usage=Usage(read, count_tokens(reply.text), estimated=True))

    def verdict(self) -> Verdict:
        """What the judge makes of it. Raises what the judge raises."""
        if self.errors and not self.replies:
            return self.abstention(f"failed: {self.errors[0]}")
        verdict: Verdict = self._judge.read(tuple(self.replies), self.case.author, self.cost_usd)
        return replace(verdict, judge=self.name, candidate=self.case.author, latency_s=self.latency_s)

    def abstention(self, reason: str) -> Verdict:
        return Verdict(self.name, self.case.author, None, reason, self.cost_usd, self.latency_s)
