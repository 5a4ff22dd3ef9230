"""The engine: carries out a policy's moves as a generator of calls.

    forecast -> [ next move -> calls -> outcomes -> belief ]* -> Result

It performs no I/O: it yields tuples of :class:`Call` and is sent, for each, a :class:`Reply` or a :class:`Failure`.
What goes wrong in a router, a judge or a policy is noted in the decision's warnings, and the next best thing is done:
a request that one plain model would have answered is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from emafusion.config import Objective, Pool
from emafusion.engine.binding import Binding
from emafusion.engine.drivers import Outcome, Steps
from emafusion.engine.ending import decided, next_binding
from emafusion.engine.paying import Purse
from emafusion.engine.request import Request
from emafusion.errors import AllCandidatesFailed, BudgetExceeded, NoCandidateFits
from emafusion.estimators.belief_model import BeliefModel
from emafusion.judges.hearing import Hearing
from emafusion.judges.panel import Panel
from emafusion.policies.base import Policy, Terms
from emafusion.policies.exploring import Explorer, Opening
from emafusion.policies.moves import Abstain, Accept, Ask, Move, Try, ending
from emafusion.policies.staying import better_than_staying
from emafusion.routers.base import Router
from emafusion.routers.slow import SlowClassifier
from emafusion.tokens import count_tokens
from emafusion.types import Attempt, Call, Failure, Forecast, Query, Reply, Result, Usage, Verdict

__all__ = ["Engine", "StreamMode"]

StreamMode: TypeAlias = Literal["auto", "live", "buffered"]


@dataclass(frozen=True, slots=True)
class Engine:
    """Router, panel and policy over one pool.

    Parameters
    ----------
    fallback_router
        Asked when ``router`` raises; must not fail (the price-ordered prior).
    sticky
        Looks up what a session's tool loop is bound to.
    max_calls
        Upper bound on drafts and verdicts of one request, whatever the policy says.
    slow
        The slow classifier of the taxonomy, asked before every forecast where there is one.
    explorer
        Draws, now and then, another candidate to ask first or an answer to audit; None leaves nothing to chance.
    identity, clock
        Of the policy that serves, and how many decisions there have been; kept with each decision.
    """

    pool: Pool
    router: Router
    fallback_router: Router
    model: BeliefModel
    panel: Panel
    policy: Policy
    sticky: Callable[[str], Binding | None] = lambda session: None
    bind: Callable[[str, Binding], None] = lambda session, binding: None
    stream_mode: StreamMode = "auto"
    max_calls: int = 16
    slow: SlowClassifier | None = None
    explorer: Explorer | None = None
    identity: str = ""
    clock: Callable[[], float] = lambda: 0.0

    def steps(
        self,
        query: Query,
        objective: Objective,
        terms: Terms,
        only: Collection[str] | None = None,
        purse: Purse | None = None,
    ) -> Steps:
        """The generator that answers ``query``, with the candidates in ``only`` where it is given.

        Where there is a ``purse``, candidates that it cannot pay for are not planned on, and every call says the most
        that it may cost.

        Raises
        ------
        NoCandidateFits
            Before any call, if no candidate can take the request.
        BudgetExceeded
            If no candidate that fits is affordable, or a budget that raises refuses before there is an answer.
        AllCandidatesFailed
            If every candidate that fits raised.
        """
        allowed = tuple(n for n in self.pool.fitting(query) if only is None or n in only)
        if not allowed:
            raise NoCandidateFits(dict.fromkeys(self.pool.names, "it is not among the candidates asked for"))
        binding = self._bound(query, allowed)
        labelling: list[Verdict] = []
        if self.slow is not None and binding is None:
            labels = self.slow.call(query)
            (outcome,) = yield (labels if purse is None else purse.priced(query, labels),)
            query, verdict = self.slow.read(query, outcome)
            labelling.append(verdict)
        move: Move
        if binding is None:
            request = self._begin(query, objective, terms, allowed, self.router.forecast)
            request.verdicts.extend(labelling)
            request.purse = purse
            move = self._open(request, self._next(request))
        else:
            # Within a tool loop the question stays the same, so nothing is forecast anew.
            known = binding.next_forecast(query, self.pool)
            request = self._begin(
                query, objective, terms, allowed, self.fallback_router.forecast if known is None else lambda _: known
            )
            request.binding, request.purse = binding, purse
            if self._lacks(request, binding.candidate):
                request = self._unbound(request)
                move = self._next(request)
            else:
                move = self._go_on(request, binding, known)
        asked = 0
        while True:
            if isinstance(move, Try):
                yield from self._try(request, move)
                asked += len(move.candidates)
                for name in move.candidates:
                    yield from self._ask(request, self.panel.free(request.belief, name), name)
            elif isinstance(move, Ask):
                yield from self._ask(request, move.judges, move.candidate)
                asked += len(move.judges)
            else:
                if request.binding is None:
                    yield from self._audit(request, move.candidate)
                return self._finish(request, move)
            if isinstance(move, Try) and move.commit and self._stands(request, move.candidates[0]):
                move = self._committed(request, move)
            elif asked >= self.max_calls and request.answered():
                move = self._best(request, f"the limit of {self.max_calls} calls was reached")
            else:
                if request.binding is not None:
                    request = self._unbound(request)
                move = self._next(request)

    @staticmethod
    def _stands(request: Request, name: str) -> bool:
        """Whether an answer that was to be accepted unseen is accepted now that it is here.

        One that the consumer already has cannot be taken back. Any other is given back to the policy if it shows
        what no plan counts on: it is unusable, or rules or the user's own checks speak against it.
        """
        reply = request.attempts[name].reply
        if reply is None:
            return False
        return reply.streamed or request.speaks_for_itself(name)

    def _committed(self, request: Request, move: Try) -> Accept | Abstain:
        """The end of a request whose answer was to be accepted whatever it says: it may be marked all the same."""
        name, least = move.candidates[0], float(getattr(self.policy, "abstain_below", 0.0))
        return ending(name, move.reason, request.belief.confidence(name), least)

    # -- beginning ---------------------------------------------------------------------------------------------

    def _begin(
        self,
        query: Query,
        objective: Objective,
        terms: Terms,
        allowed: tuple[str, ...],
        forecast_of: Callable[[Query], Forecast],
    ) -> Request:
        trouble: Exception | None = None
        try:
            forecast = forecast_of(query)
        except Exception as error:
            trouble = error
            forecast = self.fallback_router.forecast(query)
        belief = self.panel.begin(query, forecast, allowed, self.model)
        request = Request(query, objective, terms, allowed, forecast, belief)
        if trouble is not None:
            request.warn("the router failed, so candidates are ordered by price", trouble)
        return request

    def _bound(self, query: Query, allowed: tuple[str, ...]) -> Binding | None:
        if not query.mid_turn or query.session is None:
            return None
        binding = self.sticky(query.session)
        return binding if binding is not None and binding.candidate in allowed else None

    def _go_on(self, request: Request, binding: Binding, known: Forecast | None) -> Try:
        """The next step of a tool loop: its candidate's, unless another's is worth the prompt cache that is lost."""
        bound, other = binding.candidate, None
        if known is not None:
            now = binding.outlook(known)
            now = replace(now, chances={n: p for n, p in now.chances.items() if n in request.allowed})
            value = request.terms.value if request.terms.floor is None else binding.value
            other = better_than_staying(bound, binding.chosen, now, request.terms, value)
            if other is not None:
                reason = (
                    f"the tool loop goes on with {other}, which is expected to do well with probability "
                    f"{now.chances[other]:.2f} at {now.costs[other]:.2g} USD; {bound}, whose provider has the history "
                    f"cached, with {now.chances[bound]:.2f} at {now.costs[bound]:.2g}"
                )
                return Try((other,), commit=True, reason=reason)
        return Try((bound,), commit=True, reason="the tool loop stays with its candidate")

    def _unbound(self, request: Request) -> Request:
        """The same request with a forecast of its own, once the candidate that it was bound to has failed it."""
        again = self._begin(request.query, request.objective, request.terms, request.allowed, self.router.forecast)
        again.warnings[:0] = request.warnings
        again.purse = request.purse
        for name, attempt in request.attempts.items():
            again.attempts[name] = attempt
            if attempt.reply is None:
                again.belief.drop(name)
            else:
                again.verdicts.extend(self.panel.observe(again.belief, name, attempt.reply))
        return again

    # -- budgets -----------------------------------------------------------------------------------------------

    def _lacks(self, request: Request, name: str) -> Exception | None:
        """Why the purse cannot pay for a draft of this candidate, if it cannot."""
        if request.purse is None:
            return None
        return request.purse.lacking(request.purse.priced(request.query, Call("draft", name)))

    def _confine(self, request: Request) -> None:
        """Plan only on what the purse can pay for."""
        for name in request.allowed:
            if name in request.attempts or not request.belief.open[request.belief.index(name)]:
                continue
            lacking = self._lacks(request, name)
            if lacking is not None:
                request.unaffordable[name] = lacking
                request.belief.drop(name)

    @staticmethod
    def _priced(request: Request, calls: tuple[Call, ...]) -> tuple[Call, ...]:
        purse = request.purse
        return calls if purse is None else tuple(purse.priced(request.query, call) for call in calls)

    def _nothing(self, request: Request) -> Exception:
        """What to raise where nothing was answered and nobody is left: the budget's refusal where that is all."""
        errors = {n: a.error or RuntimeError("unknown") for n, a in request.attempts.items() if a.reply is None}
        errors |= request.unaffordable
        refusals = [e for e in errors.values() if isinstance(e, BudgetExceeded)]
        if len(refusals) == len(errors):
            return min(refusals, key=lambda e: e.needed)
        return AllCandidatesFailed(errors)

    # -- moves -------------------------------------------------------------------------------------------------

    def _next(self, request: Request) -> Move:
        """The policy's move, or the next best thing if it fails or has nothing left."""
        self._confine(request)
        left = [n for n in request.allowed if n not in request.attempts and n not in request.unaffordable]
        if not left and not request.answered():
            raise self._nothing(request)
        try:
            move = self.policy.next_move(request.belief, request.terms)
        except Exception as error:
            request.warn("the policy failed", error)
            if request.answered():
                return self._best(request, "the policy failed; best answer so far")
            return Try(
                (max(left, key=lambda n: self.pool.price(n).output),), reason="the policy failed; dearest candidate"
            )
        if isinstance(move, Try) and self.stream_mode == "live" and not request.answered():
            return replace(move, candidates=move.candidates[:1], commit=True)
        return move

    def _open(self, request: Request, move: Move) -> Move:
        """The first move, with what chance makes of it. Where the answer goes out live nothing is left to chance."""
        if not isinstance(move, Try):
            return move
        request.opening = Opening(move, dict.fromkeys(move.candidates[:1], 1.0))
        if self.explorer is None or self.stream_mode == "live":
            return move
        try:
            request.opening = self.explorer.open(request.belief, request.terms, move)
        except Exception as error:
            request.warn("nothing was explored", error)
        return request.opening.move

    def _audit(self, request: Request, accepted: str) -> Steps:
        """Ask the reference beside, if chance wants it. Its answer is evidence, and not up for choice."""
        reference = request.objective.reference or self.pool.dearest
        if self.explorer is None or reference in request.attempts or reference not in request.allowed:
            return None  # type: ignore[return-value]
        try:
            wanted = self.explorer.audits(request.belief, accepted, reference)
        except Exception as error:
            request.warn("nothing was audited", error)
            return None  # type: ignore[return-value]
        if wanted:
            request.acted_on = {a.candidate: request.belief.confidence(a.candidate) for a in request.answered()}
            yield from self._try(request, Try((reference,)))
            if request.attempts[reference].reply is not None:
                request.audited = reference
        return None  # type: ignore[return-value]

    def _best(self, request: Request, reason: str) -> Accept:
        answered = [a.candidate for a in request.answered()]
        return Accept(max(answered, key=request.belief.confidence), reason)

    def _try(self, request: Request, move: Try) -> Steps:
        live = move.commit and len(move.candidates) == 1 and self.stream_mode != "buffered"
        logprobs = self.panel.reads_logprobs
        calls = self._priced(
            request, tuple(Call("draft", name, live=live, logprobs=logprobs) for name in move.candidates)
        )
        outcomes = yield calls
        for call, outcome in zip(calls, outcomes):
            self._record(request, call, outcome)
        if request.refused is not None and not request.answered():
            raise request.refused
        return None  # type: ignore[return-value]

    def _record(self, request: Request, call: Call, outcome: Outcome) -> None:
        name = call.candidate
        if isinstance(outcome, Failure):
            request.attempts[name] = Attempt(name, None, outcome.error)
            refused = isinstance(outcome.error, BudgetExceeded)
            request.warn(f"candidate {name!r} {'is not affordable' if refused else 'failed'}", outcome.error)
            request.belief.drop(name)
            if isinstance(outcome.error, BudgetExceeded) and outcome.error.at_limit == "raise":
                request.refused = outcome.error
            return
        reply = outcome if outcome.usage is not None else replace(outcome, usage=self._estimate(request.query, outcome))
        request.attempts[name] = Attempt(name, reply, cost_usd=self._cost(name, reply))
        try:
            request.verdicts.extend(self.panel.observe(request.belief, name, reply))
        except Exception as error:
            request.warn(f"the panel could not read the answer of {name!r}", error)
        opening, only = request.opening, request.terms.only
        if opening is not None and opening.explored and name in opening.move.candidates and only and name not in only:
            request.belief.usable[request.belief.index(name)] = False  # looked at, and not handed over

    def _ask(self, request: Request, judges: Iterable[str], author: str) -> Steps:
        """Hear these judges on one answer; their calls of one round run in parallel."""
        hearings = [h for judge in judges if (h := self._hearing(request, judge, author)) is not None]
        going = hearings
        while going:
            rounds = [(h, self._priced(request, calls)) for h in going if (calls := self._next_calls(request, h))]
            if not rounds:
                break
            outcomes = yield tuple(call for _, calls in rounds for call in calls)
            at = 0
            for hearing, calls in rounds:
                hearing.take(calls, outcomes[at : at + len(calls)])
                at += len(calls)
            going = [h for h, _ in rounds]
        for hearing in hearings:
            self._conclude(request, hearing)
        return None  # type: ignore[return-value]

    def _hearing(self, request: Request, judge: str, author: str) -> Hearing | None:
        try:
            return self.panel.hearing(request.belief, judge, author)
        except Exception as error:
            request.warn(f"judge {judge!r} failed and abstains", error)
            self._note(request, Verdict(judge, author, None, f"failed: {error}"))
            return None

    @staticmethod
    def _next_calls(request: Request, hearing: Hearing) -> tuple[Call, ...]:
        try:
            return hearing.next_calls()
        except Exception as error:
            hearing.errors.append(error)
            return ()

    def _conclude(self, request: Request, hearing: Hearing) -> None:
        try:
            verdict = hearing.verdict()
        except Exception as error:
            hearing.errors.append(error)
            verdict = hearing.abstention(f"failed: {error}")
        silent = verdict.score is None
        for trouble in hearing.errors[:1] if silent else hearing.errors:
            what = "failed and abstains" if silent else "failed in one of its calls, which is left out"
            request.warn(f"judge {hearing.name!r} {what}", trouble)
        self._note(request, verdict)

    def _note(self, request: Request, verdict: Verdict) -> None:
        request.verdicts.append(verdict)
        request.belief.add(verdict, self.panel.weight(verdict.judge))

    # -- costs -------------------------------------------------------------------------------------------------

    def _cost(self, name: str, reply: Reply) -> float:
        if reply.cost_usd is not None:
            return reply.cost_usd
        assert reply.usage is not None
        return self.pool.price(name).cost(reply.usage)

    @staticmethod
    def _estimate(query: Query, reply: Reply) -> Usage:
        called = sum(count_tokens(c.name) + count_tokens(str(dict(c.arguments))) for c in reply.tool_calls)
        return Usage(query.prompt_tokens, count_tokens(reply.text) + called, estimated=True)

    # -- end ---------------------------------------------------------------------------------------------------

    def _finish(self, request: Request, move: Accept | Abstain) -> Result:
        reply = request.attempts[move.candidate].reply
        assert reply is not None
        if request.query.session is not None:
            self.bind(request.query.session, next_binding(request, move.candidate, reply, self.pool))
        return Result(reply, decided(request, move, self.pool, policy=self.identity, tick=self.clock()))
