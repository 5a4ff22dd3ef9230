"""Replay: the engine itself over a recorded log, one query after the other, as if each candidate were asked now.

A recorded outcome answers a draft with its own text, tokens, cost and latency. Recordings hold no judge's replies, so
only the judges that need no call sit on the panel: rules and agreement. Verifications are the exception: where the
policy is AutoMix, those that the log recorded are told, and one that it did not record is an abstention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from emafusion.config import Objective
from emafusion.engine.drivers import run
from emafusion.engine.steps import Engine
from emafusion.errors import ConfigError, LogError
from emafusion.fusion import Fusion
from emafusion.judges.base import AUTHOR
from emafusion.judges.panel import Belief, Panel
from emafusion.judges.self_verification import SelfVerification
from emafusion.learning.automix_router import verification_tokens
from emafusion.learning.verifications import read_verifications
from emafusion.log import LoggedQuery, Outcome
from emafusion.policies.automix import AutoMixPolicy
from emafusion.policies.base import Policy
from emafusion.types import Call, Message, Query, Reply, Result, Usage, Verdict

__all__ = ["ReplayTransport", "Replayed", "check_candidates", "replay"]

NOT_RECORDED = "not recorded"
"""Finish reason of a reply whose text the log does not hold."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the engine did with one line of a log.

    Attributes
    ----------
    score
        Score of the answer that was accepted; None where the log has none. The engine never sees it.
    """

    id: str
    result: Result
    score: float | None

    def as_dict(self) -> dict[str, Any]:
        """One line of a file of decisions; attempts are in the order in which they were asked."""
        decision = self.result.decision
        return {
            "id": self.id,
            "answered_by": decision.answered_by,
            "attempts": [attempt.candidate for attempt in decision.attempts],
            "cost_usd": decision.cost_usd,
            "confidence": decision.confidence,
        }


class ReplayTransport:
    """Answers the calls of one request from its recorded outcomes."""

    def __init__(self, entry: LoggedQuery) -> None:
        self.entry = entry

    def call(self, call: Call) -> Reply:
        """The recorded reply.

        Raises
        ------
        LookupError
            If the candidate has no outcome on this line, or the call is a judge's.
        """
        outcome = self.entry.outcomes.get(call.candidate)
        if outcome is not None and call.prompt == RecordedVerification.PROMPT:
            return RecordedVerification.reply(self.entry, outcome)
        if call.purpose != "draft" or outcome is None:
            raise LookupError(
                f"the log holds no reply of {call.candidate!r} to a {call.purpose} of query {self.entry.id!r}"
            )
        return recorded_reply(outcome)

    def stream(self, call: Call) -> Iterator[Any]:
        """The reply alone: a recording has no chunks."""
        yield self.call(call)


def recorded_reply(outcome: Outcome) -> Reply:
    """A recorded outcome as a reply. One whose text was not recorded is marked as such: it is not an empty answer."""
    usage = None
    if outcome.in_tok is not None and outcome.out_tok is not None:
        usage = Usage(outcome.in_tok, outcome.out_tok)
    return Reply(
        text=outcome.response or "",
        finish_reason=outcome.finish_reason if outcome.response is not None else NOT_RECORDED,
        usage=usage,
        cost_usd=outcome.cost_usd,
        latency_s=outcome.latency_s if outcome.latency_s is not None else 0.0,
    )


@dataclass(frozen=True, slots=True)
class RecordedVerification:
    """Tells the verification of an answer that the log recorded, as one call."""

    PROMPT: ClassVar[tuple[Message, ...]] = (Message("user", "the recorded verification"),)

    name: str
    weight: float = SelfVerification().weight
    model: str = AUTHOR

    def calls(self, query: Query, answer: Reply, author: str, model: str) -> tuple[Call, ...]:
        return (Call("judge", model, prompt=self.PROMPT, judge=self.name),)

    @staticmethod
    def reply(entry: LoggedQuery, outcome: Outcome) -> Reply:
        """The share of "correct" as text, empty for none; its tokens are estimated where the cost was not recorded."""
        found = read_verifications([entry.model_copy(update={"outcomes": {"it": outcome}})], ("it",))
        share, cost = float(found.share[0, 0]), float(found.cost[0, 0])
        told = "" if np.isnan(share) else repr(share)
        if not np.isnan(cost) or not found.verified[0, 0]:
            return Reply(told, cost_usd=0.0 if np.isnan(cost) else cost, latency_s=0.0)
        answer = 250.0 if outcome.out_tok is None else float(outcome.out_tok)
        read, written = verification_tokens(float(entry.query().prompt_tokens), answer)
        return Reply(told, usage=Usage(int(read), written, estimated=True), latency_s=0.0)

    def read(self, replies: Sequence[Reply], author: str, cost_usd: float) -> Verdict:
        told = replies[0].text if replies else ""
        if not told:
            return Verdict(self.name, author, None, "the log holds no verdict", cost_usd)
        return Verdict(self.name, author, float(told), f"{float(told):.0%} of the samples say correct", cost_usd)


class _RecordedPanel(Panel):
    """A panel that takes an answer whose text was not recorded for what it is: given, usable, and silent."""

    def observe(self, belief: Belief, name: str, reply: Reply) -> list[Verdict]:
        if reply.finish_reason != NOT_RECORDED:
            return super().observe(belief, name, reply)
        j = belief.index(name)
        belief.confidence_ = None
        belief.ran[j], belief.open[j], belief.usable[j] = True, False, True
        return []


def replay(entries: Iterable[LoggedQuery], fusion: Fusion, objective: Objective | None = None) -> Iterator[Replayed]:
    """Run the engine over recorded queries, in their order, pacing included.

    Parameters
    ----------
    entries
        Lines of a log. Candidates that are absent from a line are not tried there.
    fusion
        Must have been made with ``judges=()``.
    objective
        By default the fusion's own.

    Raises
    ------
    ConfigError
        If ``fusion`` has judges that would have to be called.
    LogError
        For a query without any outcome of the pool's candidates.
    """
    if fusion.engine.panel.judges:
        raise ConfigError("a recording holds no judge's replies: make the Fusion for a replay with judges=()")
    engine = _recorded(fusion)
    wanted = objective or fusion.objective
    for entry in entries:
        only = [name for name in fusion.pool.names if name in entry.outcomes]
        if not only:
            raise LogError(_stranger(f"query {entry.id!r}", entry, fusion.pool.names))
        query = entry.query()
        steps = engine.steps(query, wanted, fusion.trade_off.terms(wanted, query.prompt_tokens), only)
        result = run(steps, ReplayTransport(entry))
        fusion.finish(query, result)
        yield Replayed(entry.id, result, entry.outcomes[result.decision.answered_by].score)


def _recorded(fusion: Fusion) -> Engine:
    """The fusion's engine over a panel that can be replayed."""
    policy: Policy = fusion.engine.policy
    judges: tuple[RecordedVerification, ...] = ()
    if isinstance(policy, AutoMixPolicy):
        judges = (RecordedVerification(policy.rules.judge),)
        policy = policy.hearing([judge.name for judge in judges])
    panel = _RecordedPanel(fusion.pool, judges, encoder=fusion.engine.panel.encoder)
    return replace(fusion.engine, panel=panel, policy=policy)


def check_candidates(path: str | Path, entries: Sequence[LoggedQuery], known: Sequence[str]) -> None:
    """Make sure that every line of a log has an outcome of a known candidate.

    Raises
    ------
    LogError
        Naming file and line of the first that has none.
    """
    for number, entry in enumerate(entries):
        if not any(name in entry.outcomes for name in known):
            raise LogError(_stranger(f"{path}:{_line(path, number)}", entry, known))


def _stranger(where: str, entry: LoggedQuery, known: Sequence[str]) -> str:
    found = ", ".join(sorted(entry.outcomes)) or "none at all"
    return f"{where}: no outcome of a candidate that the router knows ({', '.join(known)}); found {found}"


def _line(path: str | Path, entry: int) -> int:
    """Line of the entry of that number; they differ where a log has blank lines."""
    import gzip

    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as file:
        filled = (number for number, line in enumerate(file, 1) if line.strip())
        return next(number for i, number in enumerate(filled) if i == entry)
