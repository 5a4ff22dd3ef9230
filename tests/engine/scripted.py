"""A pool, a transport and a policy that do as a test says, for driving the step generator with no network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from emafusion import Candidate, Fusion, Message, Price, Query, Reply
from emafusion.asked import build_query
from emafusion.judges.panel import Belief
from emafusion.policies.base import Terms
from emafusion.policies.moves import Accept, Move
from emafusion.types import Call

PRICES = {"small": (0.1, 0.4), "mid": (1.0, 4.0), "big": (5.0, 15.0)}


def candidate(name: str, **extra: Any) -> Candidate:
    return Candidate(name, name=name, price=Price(*PRICES.get(name, (1.0, 4.0))), **extra)


def fusion(*names: str, **options: Any) -> Fusion:
    return Fusion([candidate(n) for n in names or PRICES], **options)


def ask(text: str = "What is 17 * 23? Reply with a number.", **extra: Any) -> Query:
    return build_query([Message("user", text)], **extra)


def scripted(moves: Sequence[Move | Callable[[Belief], Move] | Exception], *names: str, **options: Any) -> Fusion:
    """A fusion whose policy makes these moves."""
    one = fusion(*names, **options)
    one.engine = replace(one.engine, policy=ScriptedPolicy(moves))
    return one


class ScriptedTransport:
    """Answers each draft from a table of texts, replies or exceptions, and each judge with one text."""

    def __init__(self, answers: Mapping[str, Any], verdict: str = '{"correct": true, "confidence": 0.9}') -> None:
        self.answers, self.verdict = answers, verdict
        self.calls: list[Call] = []

    def _reply(self, call: Call) -> Reply:
        self.calls.append(call)
        if call.purpose == "judge":
            return Reply(self.verdict, finish_reason="stop")
        answer = self.answers[call.candidate]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else Reply(str(answer), finish_reason="stop")

    def call(self, call: Call) -> Reply:
        return self._reply(call)

    async def acall(self, call: Call) -> Reply:
        return self._reply(call)

    def stream(self, call: Call) -> Iterator[Any]:
        reply = self._reply(call)
        yield from reply.text.split()
        yield reply

    async def astream(self, call: Call) -> AsyncIterator[Any]:
        reply = self._reply(call)
        for word in reply.text.split():
            yield word
        yield reply

    def drafts(self) -> list[str]:
        return [c.candidate for c in self.calls if c.purpose == "draft"]


class ScriptedPolicy:
    """Makes these moves in order, then accepts the best."""

    def __init__(self, moves: Sequence[Move | Callable[[Belief], Move] | Exception]) -> None:
        self.moves = list(moves)

    def next_move(self, belief: Belief, terms: Terms) -> Move:
        if self.moves:
            move = self.moves.pop(0)
            if isinstance(move, Exception):
                raise move
            return move(belief) if callable(move) else move
        return Accept(max(belief.replies, key=belief.confidence), "the script is over")
