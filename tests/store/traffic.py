"""Traffic for a store: decisions of a policy that explores a little, on a log whose outcomes are all known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from emafusion.config import Candidate, Objective
from emafusion.fusion import Fusion
from emafusion.log import read_log
from emafusion.routers.artefact import RoutingModel
from emafusion.store import Store
from emafusion.types import Attempt, Decision, Reply, Result, Usage

Serving = Callable[[str], str]
"""Whom the policy asks, given whom the router would ask."""


def record_traffic(
    store: Store,
    lines: Iterable[Mapping[str, Any]],
    model: RoutingModel,
    *,
    objective: Objective,
    serving: Serving = lambda routed: routed,
    explore: float = 0.4,
    known: float = 1.0,
    policy: str = "",
    seed: int = 0,
) -> None:
    """Record one decision a line, and feedback for a share of them."""
    rng = np.random.default_rng(seed)
    pool = [Candidate(n, name=n, price=model.prices[n]) for n in model.candidates]
    fusion = Fusion(pool, router=model, judges=(), store=store)
    names = fusion.pool.names
    for i, entry in enumerate(read_log([dict(line) for line in lines])):
        query = entry.query()
        explained = fusion.explain(query, objective)
        greedy = serving(explained.first[0])
        chances = {n: explore / len(names) + (1.0 - explore) * (n == greedy) for n in names}
        asked = str(rng.choice(names, p=list(chances.values())))
        outcome = entry.outcomes[asked]
        usage = Usage(outcome.in_tok or 0, outcome.out_tok or 0)
        reply = Reply(outcome.response or "", finish_reason="stop", usage=usage, latency_s=outcome.latency_s)
        cost = outcome.cost_usd or 0.0
        decision = Decision(
            id=f"{policy}{seed}-{i}",
            answered_by=asked,
            confidence=explained.forecast.of(asked)["p_good"],
            cost_usd=cost,
            draft_cost_usd=cost,
            judge_cost_usd=0.0,
            reference=fusion.pool.dearest,
            saved_usd=explained.forecast.of(fusion.pool.dearest)["cost_usd"] - cost,
            objective=objective.as_dict(),
            forecast=explained.forecast,
            attempts=(Attempt(asked, reply, cost_usd=cost, confidence=0.5, cluster=0),),
            verdicts=(),
            reason=explained.reason,
            first=(asked,),
            propensities=chances,
            explored=asked != greedy,
            policy=policy,
            tick=float(i),
        )
        fusion.finish(query, Result(reply, decision))
        if rng.random() < known:
            store.feedback(decision.id, float(outcome.score or 0.0))
    store.flush()
