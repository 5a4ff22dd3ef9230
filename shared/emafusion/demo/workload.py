"""`Workload`: recorded answers to fit on and to replay, and what the candidates that gave them cost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from emafusion.config import Candidate, Price
from emafusion.demo.grading import Grade
from emafusion.demo.prompts import load_prompts
from emafusion.errors import LogError
from emafusion.log import LoggedQuery, Outcome, read_log

__all__ = ["SHIPPED", "Workload", "load_workload"]

SHIPPED = Path(__file__).with_name("recorded.jsonl.gz")
"""The recording that comes with the package; ``models.json`` beside it says who was recorded, when and on what."""


@dataclass(frozen=True)
class Workload:
    """Answers of every candidate to every prompt.

    Parameters
    ----------
    fit, test
        Prompts to learn from, and prompts to be measured on.
    prices
        Candidate -> USD per million tokens, for routing; costs in tables are the recorded ones.
    origin
        Where the answers come from, in words.
    """

    fit: tuple[LoggedQuery, ...]
    test: tuple[LoggedQuery, ...]
    prices: dict[str, Price]
    origin: str
    caution: str = ""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Candidates by their mean cost, cheapest first."""
        return tuple(sorted(self.prices, key=self.mean_cost))

    @cached_property
    def by_prompt(self) -> dict[str, LoggedQuery]:
        """All entries by the text of their prompt."""
        return {e.prompt: e for e in (*self.fit, *self.test) if isinstance(e.prompt, str)}

    def mean_cost(self, name: str) -> float:
        """USD a query when ``name`` answers everything."""
        costs = [e.outcomes[name].cost_usd or 0.0 for e in (*self.fit, *self.test)]
        return sum(costs) / max(len(costs), 1)

    def candidates(self) -> list[Candidate]:
        """The candidates with no model behind them: their answers are at hand."""
        return [Candidate(None, name=name, price=self.prices[name]) for name in self.names]

    @cached_property
    def graders(self) -> dict[str, Grade]:
        """Prompt -> the program that grades an answer to it."""
        return {p.prompt: p.grade for p in load_prompts()}


def load_workload(path: Path = SHIPPED) -> Workload:
    """Read a recording and the ``models.json`` beside it.

    Raises
    ------
    LogError
        If one of them is absent, or a prompt lacks a candidate's graded answer.
    """
    cards_path = path.with_name("models.json")
    for file in (path, cards_path):
        if not file.is_file():
            raise LogError(f"{file}: there is no such file: the demo replays a recording and needs its models.json")
    cards = json.loads(cards_path.read_text(encoding="utf-8"))["models"]
    entries = read_log(path)
    names = sorted({name for e in entries for name in e.outcomes})
    if unknown := [name for name in names if name not in cards]:
        raise LogError(f"{cards_path}: no entry for {', '.join(unknown)}")
    prices = {n: Price(cards[n]["input_usd_per_1m"], cards[n]["output_usd_per_1m"], source="measured") for n in names}
    ours = {p.prompt for p in load_prompts()}
    if strange := next((e.id for e in entries if e.prompt not in ours), None):
        raise LogError(f"{path}: {strange} is not one of the demo's prompts as they are now, so it cannot be graded")
    dates = sorted({str(card.get("recorded", "")) for name, card in cards.items() if name in names} - {""})
    machine = next((str(card["machine"]) for card in cards.values() if card.get("machine")), "")
    when = " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "an unknown date"
    titles = ", ".join(str(cards[n].get("title") or n) for n in names)
    return Workload(
        fit=complete(entries, names, "fit", path),
        test=complete(entries, names, "test", path),
        prices=prices,
        origin=f"real answers of {len(names)} small local models ({titles}), recorded on {when}"
        + (f" on {machine}" if machine else ""),
        caution="This is a recording, not live: no model runs here.",
    )


def complete(entries: Iterable[LoggedQuery], names: Iterable[str], split: str, where: Path) -> tuple[LoggedQuery, ...]:
    """The entries of a split, each with every candidate's graded answer."""
    chosen = tuple(e for e in entries if e.split == split)
    for e in chosen:
        for name in names:
            outcome: Outcome | None = e.outcomes.get(name)
            if outcome is None or outcome.score is None or outcome.response is None:
                raise LogError(f"{where}: {e.id} has no graded answer of {name}: finish the recording (--resume)")
    if not chosen:
        raise LogError(f"{where}: no line has split {split!r}")
    return chosen
