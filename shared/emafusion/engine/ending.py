"""How a request ends: its decision, and what the next step of its tool loop goes by."""

from __future__ import annotations

import uuid
from dataclasses import replace

from emafusion.config import Pool
from emafusion.engine.binding import Binding
from emafusion.engine.request import Request
from emafusion.policies.moves import Abstain, Accept
from emafusion.types import Decision, Reply, Usage

__all__ = ["decided", "next_binding"]

TYPICAL_OUTPUT_TOKENS = 200


def decided(request: Request, move: Accept | Abstain, pool: Pool, *, policy: str, tick: float) -> Decision:
    """The decision that ends with this move."""
    belief, forecast = request.belief, request.forecast
    attempts = tuple(
        replace(
            a,
            reply=replace(a.reply, native=None),
            confidence=request.acted_on.get(n, belief.confidence(n)),
            cluster=belief.cluster(n),
            answer=belief.answer(n),
        )
        if a.reply is not None
        else a
        for n, a in request.attempts.items()
    )
    drafts = sum(a.cost_usd for a in attempts)
    judging = sum(v.cost_usd for v in request.verdicts)
    reference = request.objective.reference or pool.dearest
    spared = request.attempts.get(reference)
    would_cost = spared.cost_usd if spared and spared.reply else _reference_cost(request, reference, pool)
    return Decision(
        id=uuid.uuid4().hex,
        answered_by=move.candidate,
        confidence=request.acted_on.get(move.candidate, belief.confidence(move.candidate)),
        cost_usd=drafts + judging,
        draft_cost_usd=drafts,
        judge_cost_usd=judging,
        reference=reference,
        saved_usd=would_cost - drafts - judging,
        objective=request.objective.as_dict(),
        forecast=forecast,
        attempts=attempts,
        verdicts=tuple(request.verdicts),
        reason=move.reason,
        abstained=isinstance(move, Abstain),
        sticky=request.binding is not None and request.binding.candidate == move.candidate,
        warnings=(*request.warnings, *(request.purse.warnings if request.purse else ())),
        first=request.opening.move.candidates if request.opening else (move.candidate,),
        propensities=dict(request.opening.propensities) if request.opening else {},
        explored=request.opening is not None and request.opening.explored,
        audited=request.audited,
        policy=policy,
        tick=tick,
    )


def next_binding(request: Request, answered_by: str, reply: Reply, pool: Pool) -> Binding:
    """What the next step of this session's tool loop, if there is one, goes by."""
    belief, before = request.belief, request.binding
    well = request.speaks_for_itself(answered_by)
    if before is not None and before.candidate == answered_by and before.forecast is not None:
        return before.after(request.query, reply, belief.confidence(answered_by), well=well)
    chances = dict(zip(belief.names, map(float, belief.confidences())))
    chances |= {n: 0.0 for n, a in request.attempts.items() if a.reply is None}
    value = request.terms.value if belief.value is None else belief.value
    return Binding.new(answered_by, request.forecast, chances, value, request.query, reply, pool, well=well)


def _reference_cost(request: Request, reference: str, pool: Pool) -> float:
    if reference in request.forecast.candidates:
        return request.forecast.of(reference)["cost_usd"]
    return pool.price(reference).cost(Usage(request.query.prompt_tokens, TYPICAL_OUTPUT_TOKENS))
