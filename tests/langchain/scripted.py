"""A policy that follows a script, so that a test can force the path: direct, cascade, judged, failing."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from emafusion.config import Objective, Pool
from emafusion.engine.drivers import Outcome, Steps
from emafusion.errors import AllCandidatesFailed
from emafusion.policies.moves import Abstain, Accept, Ask, Move, Try
from emafusion.types import (
    Attempt,
    Call,
    Decision,
    Failure,
    Forecast,
    Message,
    Query,
    Reply,
    Result,
    Usage,
    Verdict,
)
from langchain_emafusion import ChatEMAFusion

__all__ = ["JUDGE_PROMPT", "ScriptedFusion", "scripted"]

JUDGE_PROMPT = "Is this answer good?"


def scripted(llm: ChatEMAFusion, *moves: Move) -> ScriptedFusion:
    """Have ``llm`` make these moves for every request; returns what records them."""
    fusion = ScriptedFusion(llm.fusion.pool, moves, llm.stream_mode)
    llm._fusion = fusion  # type: ignore[assignment]
    return fusion


class ScriptedFusion:
    """In the place of :class:`emafusion.fusion.Fusion`: the same calls and results, with the moves given.

    In ``Ask(judges, candidate)`` a judge is the name of the candidate that judges. A committed draft that fails, and
    the end of the script, go on with the candidates that were not asked.
    """

    def __init__(self, pool: Pool, moves: tuple[Move, ...], stream_mode: str = "auto") -> None:
        self.pool = pool
        self.moves = moves
        self.stream_mode = stream_mode
        self.queries: list[Query] = []
        self.objectives: list[Objective | None] = []
        self.decisions: list[Decision] = []
        self.sessions: dict[str, str] = {}

    def model(self, name: str) -> Any:
        return self.pool[name]

    def finish(self, query: Query, result: Result) -> None:
        self.decisions.append(result.decision)

    def steps(self, query: Query, objective: Objective | None = None) -> Steps:
        self.queries.append(query)
        self.objectives.append(objective)
        attempts: dict[str, Attempt] = {}
        verdicts: list[Verdict] = []
        chosen: str | None = None
        for move in self._moves(query, attempts):
            if isinstance(move, (Accept, Abstain)):
                chosen = move.candidate
            elif isinstance(move, Ask):
                outcomes = yield tuple(_judge_call(judge) for judge in move.judges)
                verdicts += [_verdict(j, move.candidate, o) for j, o in zip(move.judges, outcomes)]
            else:
                live = move.commit and self.stream_mode != "buffered"
                outcomes = yield tuple(Call("draft", name, live=live) for name in move.candidates)
                for name, outcome in zip(move.candidates, outcomes):
                    attempts[name] = self._attempt(name, outcome, query)
                if move.commit and attempts[move.candidates[0]].reply is not None:
                    chosen = move.candidates[0]
            if chosen is not None:
                break
        if chosen is None:
            raise AllCandidatesFailed({n: a.error for n, a in attempts.items() if a.error is not None})
        return self._result(query, chosen, attempts, verdicts)

    def _moves(self, query: Query, attempts: dict[str, Attempt]) -> Any:
        names = self.pool.fitting(query)
        bound = self.sessions.get(query.session or "") if query.mid_turn else None
        if bound is not None:
            yield Try((bound,), commit=True)
        yield from self.moves
        for name in names:
            if name not in attempts:
                yield Try((name,), commit=True)

    def _attempt(self, name: str, outcome: Outcome, query: Query) -> Attempt:
        if isinstance(outcome, Failure):
            return Attempt(name, None, outcome.error)
        usage = outcome.usage or Usage(query.prompt_tokens, len(outcome.text) // 4, estimated=True)
        return Attempt(name, replace(outcome, usage=usage), cost_usd=self.pool.price(name).cost(usage))

    def _result(
        self, query: Query, chosen: str, attempts: dict[str, Attempt], verdicts: list[Verdict]
    ) -> Result:
        names = self.pool.names
        forecast = Forecast(names, *(((0.5,) * len(names),) * 4), category="scripted")  # type: ignore[arg-type]
        drafts = sum(a.cost_usd for a in attempts.values())
        judging = sum(v.cost_usd for v in verdicts)
        decision = Decision(
            id=uuid.uuid4().hex,
            answered_by=chosen,
            confidence=0.9,
            cost_usd=drafts + judging,
            draft_cost_usd=drafts,
            judge_cost_usd=judging,
            reference=self.pool.dearest(),
            saved_usd=0.0,
            objective={},
            forecast=forecast,
            attempts=tuple(attempts.values()),
            verdicts=tuple(verdicts),
            reason="the script says so",
        )
        if query.session is not None:
            self.sessions[query.session] = chosen
        reply = attempts[chosen].reply
        assert reply is not None
        return Result(reply, decision)


def _judge_call(judge: str) -> Call:
    prompt = (Message("system", "You grade answers."), Message("user", JUDGE_PROMPT))
    return Call("judge", judge, prompt=prompt, judge=f"llm:{judge}", temperature=0.0, max_output_tokens=16)


def _verdict(judge: str, candidate: str, outcome: Outcome) -> Verdict:
    if isinstance(outcome, Reply):
        return Verdict(judge, candidate, 0.2, outcome.text, cost_usd=1e-6)
    return Verdict(judge, candidate, None, f"failed: {outcome.error}")
