"""A dry run in words: what would be asked first, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emafusion.types import Forecast

__all__ = ["Explanation"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a policy would do first with a query. Nothing was called."""

    text: str
    objective: Mapping[str, float]
    forecast: Forecast
    allowed: tuple[str, ...]
    first: tuple[str, ...]
    commit: bool
    """The first answer would be accepted unseen."""
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        f = self.forecast
        return {
            "asked": self.text,
            "objective": dict(self.objective),
            "category": f.category,
            "labels": dict(f.labels),
            "familiarity": f.familiarity,
            "forecast": {n: f.of(n) for n in f.candidates},
            "allowed": list(self.allowed),
            "first": list(self.first),
            "commit": self.commit,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        f = self.forecast
        asked = self.text if len(self.text) <= 120 else self.text[:117] + "..."
        (goal, number), *_ = self.objective.items()
        lines = [f"asked: {asked}", f"objective: {goal} = {number:g}"]
        labels = ", ".join(f"{axis}: {label}" for axis, label in f.labels.items())
        lines.append(f"looks like: {labels or f.category} (familiarity {f.familiarity:.2f})")
        for name in sorted(f.candidates, key=lambda n: f.of(n)["cost_usd"]):
            row = f.of(name)
            mark = "->" if name in self.first else "  " if name in self.allowed else " x"
            chance = f"good with probability {row['p_good']:.2f} (+-{row['spread']:.2f})"
            lines.append(f"{mark} {name}: {chance}, {row['cost_usd']:.2g} USD")
        lines.append(f"first: {', '.join(self.first)}; {self.reason}")
        lines.append("accepted unseen" if self.commit else "its answer is judged before it is accepted")
        return "\n".join(lines)
