"""A core whose path is written down: which candidates are tried, which judge is asked, what is accepted.

It stands where :class:`emafusion.fusion.Fusion` stands, so that a test of the adapter can force each path (direct,
cascade, judged, several drafts at once) without depending on what a router or policy would choose.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emafusion.budgets.purse import Allowance
from emafusion.config import Candidate, Objective, Pool
from emafusion.engine.drivers import Outcome, Steps
from emafusion.errors import AllCandidatesFailed
from emafusion.judges.panel import Belief
from emafusion.policies.moves import Accept, Ask, Move, Try
from emafusion.tokens import count_tokens
from emafusion.types import Attempt, Call, Decision, Forecast, Message, Query, Reply, Result, Usage, Verdict
from llamaindex_emafusion import EMAFusion
from llamaindex_emafusion.resolve import resolve

__all__ = ["Cascade", "Direct", "DraftJudgeEscalate", "ScriptedEMAFusion", "ScriptedFusion"]

JUDGE_PROMPT = "You are a judge of answers. Write one number from 0 to 1."


@dataclass(frozen=True)
class Direct:
    """Commit to each of ``order`` in turn until one answers."""

    order: tuple[str, ...]
    live: bool = True


@dataclass(frozen=True)
class Cascade:
    """Draft with each stage (several names: at once); accept the first answer that ``judge`` gives 0.5 or more.

    The first ``escalations`` stages are judged, but never accepted.
    """

    stages: tuple[tuple[str, ...], ...]
    judge: str
    escalations: int = 0


@dataclass
class ScriptedFusion:
    """Carries out a script; remembers the queries that it was asked."""

    pool: Pool
    script: Direct | Cascade
    queries: list[Query] = field(default_factory=list)
    finished: list[Result] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    objectives: list[Objective | None] = field(default_factory=list)
    routing_model: None = None
    store: None = None
    learning: None = None

    @property
    def last(self) -> Decision | None:
        return self.finished[-1].decision if self.finished else None

    def model(self, name: str) -> Candidate:
        return self.pool[name]

    def feedback(self, decision_id: str, score: float | None = None, **said: Any) -> None:
        self.scores[decision_id] = score or 0.0

    def explain(self, query: Query, objective: Objective | None = None) -> Mapping[str, Any]:
        return {"asked": query.text, "first": self.pool.fitting(query)[0]}

    def finish(self, query: Query, result: Result) -> None:
        self.finished.append(result)

    def steps(
        self,
        query: Query,
        objective: Objective | None = None,
        only: Collection[str] | None = None,
        *,
        key: str | None = None,
        within: Allowance | None = None,
    ) -> Steps:
        self.queries.append(query)
        self.objectives.append(objective)
        allowed = tuple(n for n in self.pool.fitting(query) if only is None or n in only)
        run = _Run(self.pool, query)
        if isinstance(self.script, Direct):
            for name in self.script.order:
                if name in allowed:
                    yield from run.draft((name,), live=self.script.live)
                    if name in run.replies:
                        return run.result(name)
        else:
            for i, stage in enumerate(self.script.stages):
                names = tuple(n for n in stage if n in allowed)
                if names:
                    yield from run.draft(names, live=False)
                for name in names:
                    if name not in run.replies:
                        continue
                    score = yield from run.judged(name, self.script.judge)
                    if score >= 0.5 and i >= self.script.escalations:
                        return run.result(name)
            if run.replies:
                return run.result(max(run.replies, key=lambda n: run.scores.get(n, 0.0)))
        raise AllCandidatesFailed(run.errors)


class _Run:
    """What one request has gathered."""

    def __init__(self, pool: Pool, query: Query) -> None:
        self.pool, self.query = pool, query
        self.replies: dict[str, Reply] = {}
        self.errors: dict[str, Exception] = {}
        self.verdicts: list[Verdict] = []
        self.scores: dict[str, float] = {}

    def draft(self, names: tuple[str, ...], *, live: bool) -> Any:
        outcomes: tuple[Outcome, ...] = yield tuple(Call("draft", n, live=live) for n in names)
        for name, outcome in zip(names, outcomes):
            if isinstance(outcome, Reply):
                usage = outcome.usage or Usage(self.query.prompt_tokens, count_tokens(outcome.text), estimated=True)
                self.replies[name] = replace(outcome, usage=usage)
            else:
                self.errors[name] = outcome.error

    def judged(self, name: str, judge: str) -> Any:
        prompt = (
            Message("system", JUDGE_PROMPT),
            Message("user", f"{self.query.text}\n---\n{self.replies[name].text}"),
        )
        call = Call("judge", judge, prompt, judge="script", temperature=0.0, max_output_tokens=5)
        (outcome,) = yield (call,)
        if not isinstance(outcome, Reply):
            return 0.0
        found = re.search(r"[01](?:\.\d+)?", outcome.text)
        score = float(found.group()) if found else 0.0
        cost = self.pool.price(judge).cost(outcome.usage or Usage())
        self.verdicts.append(Verdict("script", name, score, outcome.text, cost))
        self.scores[name] = score
        return score

    def result(self, name: str) -> Result:
        names = self.pool.names
        attempts = tuple(
            [Attempt(n, None, e) for n, e in self.errors.items()]
            + [Attempt(n, r, None, self.pool.price(n).cost(r.usage or Usage())) for n, r in self.replies.items()]
        )
        drafts, judging = sum(a.cost_usd for a in attempts), sum(v.cost_usd for v in self.verdicts)
        even = tuple(0.5 for _ in names)
        decision = Decision(
            id=uuid.uuid4().hex,
            answered_by=name,
            confidence=self.scores.get(name, 0.5),
            cost_usd=drafts + judging,
            draft_cost_usd=drafts,
            judge_cost_usd=judging,
            reference=self.pool.dearest,
            saved_usd=0.0,
            objective={},
            forecast=Forecast(names, even, even, even, even),
            attempts=attempts,
            verdicts=tuple(self.verdicts),
            reason="as the script says",
        )
        return Result(self.replies[name], decision)


class DraftJudgeEscalate:
    """A policy for the real engine: draft with ``first``, have ``judge`` look, go on to ``then`` if it finds fault."""

    def __init__(self, first: str, judge: str, then: str) -> None:
        self.first, self.judge, self.then = first, judge, then

    def next_move(self, belief: Belief, terms: Any) -> Move:
        ran = {n for n, done in zip(belief.names, belief.ran) if done}
        if not ran:
            return Try((self.first,), reason="the script begins")
        if self.then in ran:
            return Accept(self.then, "the script ends")
        if (self.judge, self.first) not in belief.asked:
            return Ask((self.judge,), self.first, "the script judges")
        ((verdict, _),) = belief.verdicts[self.first]
        if (verdict.score or 0.0) >= 0.5:
            return Accept(self.first, "the judge is content")
        return Try((self.then,), commit=True, reason="the judge found fault")


class ScriptedEMAFusion(EMAFusion):
    """EMAFusion over a scripted core: the adapter is the real one."""

    script: Any = None

    def __init__(self, candidates: Iterable[Any] = (), **fields: Any) -> None:
        super().__init__(candidates, **fields)

    def _build(self, router: Any, store: Any, learning: Any) -> Any:
        resolved = [resolve(c if isinstance(c, Candidate) else Candidate(c)) for c in self.candidates]
        return ScriptedFusion(Pool(resolved), self.script)
