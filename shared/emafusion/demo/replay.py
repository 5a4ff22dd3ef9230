"""Serving recorded answers: by one candidate, by the oracle, and by EMAFusion's own engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emafusion.config import Objective
from emafusion.demo.workload import Workload
from emafusion.evaluation import replay as engine_replay
from emafusion.fusion import Fusion
from emafusion.log import LoggedQuery
from emafusion.routers.artefact import RoutingModel
from emafusion.types import Decision

__all__ = ["Served", "oracle", "replay", "serve"]


@dataclass(frozen=True, slots=True)
class Served:
    """One answered prompt: score, USD, seconds of all calls one after the other."""

    entry: LoggedQuery
    answered_by: str
    score: float
    cost_usd: float
    seconds: float
    decision: Decision | None = None


def replay(
    workload: Workload,
    router: RoutingModel | None,
    objective: Objective,
    advance: Callable[[], None] = lambda: None,
) -> list[Served]:
    """Answer the test prompts with EMAFusion out of the recording, in order; a recording has no judge's replies."""
    fusion = Fusion(workload.candidates(), router=router, objective=objective, judges=())
    out = []
    for entry, replayed in zip(workload.test, engine_replay.replay(workload.test, fusion)):
        decision = replayed.result.decision
        seconds = sum(a.reply.latency_s or 0.0 for a in decision.attempts if a.reply)
        out.append(Served(entry, decision.answered_by, replayed.score or 0.0, decision.cost_usd, seconds, decision))
        advance()
    return out


def serve(entries: Sequence[LoggedQuery], choose: Callable[[LoggedQuery], str]) -> list[Served]:
    """Answer each prompt with the one candidate that ``choose`` names."""
    out = []
    for entry in entries:
        name = choose(entry)
        outcome = entry.outcomes[name]
        out.append(Served(entry, name, outcome.score or 0.0, outcome.cost_usd or 0.0, outcome.latency_s or 0.0))
    return out


def oracle(entry: LoggedQuery) -> str:
    """The cheapest candidate among those that did best: nobody can know it beforehand."""
    return min(entry.outcomes, key=lambda n: (-(entry.outcomes[n].score or 0.0), entry.outcomes[n].cost_usd or 0.0))
