"""A decision in words."""

from __future__ import annotations

from emafusion.types import Attempt, Decision

__all__ = ["narrate"]


def narrate(decision: Decision) -> str:
    """What happened in a request and why, as a person would tell it."""
    forecast = decision.forecast
    looks = forecast.labels.get("task") or forecast.category or "nothing in particular"
    by_cost = sorted(forecast.candidates, key=lambda n: forecast.of(n)["cost_usd"])
    odds = ", ".join(f"{n} {forecast.of(n)['p_good']:.0%}" for n in by_cost)
    lines = [f"It looks like {looks.replace('_', ' ')}. Expected to be right beforehand: {odds}."]
    answered = [a for a in decision.attempts if a.reply is not None]
    for place, attempt in enumerate(decision.attempts):
        lines.append(_attempt(attempt, place, decision))
    if len(answered) > 1:
        lines.append(_agreement(answered))
    if any(v.judge != "rules" and v.score is not None for v in decision.verdicts):
        judged = ", ".join(
            f"{v.judge} gave {v.candidate} {v.score:.2f}"
            for v in decision.verdicts
            if v.score is not None and v.judge != "rules"
        )
        lines.append(f"Judges: {judged}.")
    sure = f"{decision.confidence:.0%}"
    doubtful = " It is marked as not to be trusted." if decision.abstained else ""
    lines.append(f"{decision.answered_by}'s answer was given, taken to be right with {sure}.{doubtful}")
    lines.append(_money(decision))
    return "\n".join(lines)


def _attempt(attempt: Attempt, place: int, decision: Decision) -> str:
    first = "Asked first" if place == 0 else "Then asked"
    if attempt.reply is None:
        return f"{first}: {attempt.candidate}, which failed ({type(attempt.error).__name__})."
    answer = " ".join((attempt.answer or attempt.reply.text).split())
    shown = answer if len(answer) <= 60 else answer[:57] + "..."
    return f"{first}: {attempt.candidate}, which answered {shown!r}."


def _agreement(answered: list[Attempt]) -> str:
    groups: dict[int, list[str]] = {}
    for a in answered:
        if a.cluster is not None and a.cluster >= 0:
            groups.setdefault(a.cluster, []).append(a.candidate)
    agreeing = [names for names in groups.values() if len(names) > 1]
    if not agreeing:
        return "No two of them agree."
    return " ".join(f"{' and '.join(names)} agree." for names in agreeing)


def _money(decision: Decision) -> str:
    spent = f"All calls together cost {1000 * decision.cost_usd:.4f} USD per 1,000 such requests"
    would = decision.saved_usd + decision.cost_usd
    if would <= 0:
        return f"{spent}."
    if [a.candidate for a in decision.attempts] == [decision.reference]:
        return f"{spent}, which is the reference's own price."
    share = decision.saved_usd / would
    compared = f"{share:.0%} less" if share >= 0 else f"{-share:.0%} more"
    called = any(a.candidate == decision.reference and a.reply for a in decision.attempts)
    return f"{spent}: {compared} than {decision.reference} alone {'cost' if called else 'was expected to cost'}."
