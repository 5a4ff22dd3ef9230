"""Which stored questions a new candidate is asked to be placed by, and what its answers to them are worth.

A question will do if it stood alone (nothing but its text was asked, with no tools and no schema) and if an answer to
it can be graded: its true answer was told, or the answer that was accepted can be compared with and is likely right.
Of these the anchors are chosen (:mod:`emafusion.learning.online.anchors`), where three candidates or more are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emafusion.answers import extract_answer
from emafusion.config import Pool
from emafusion.grading import graded
from emafusion.learning.online.anchors import Standings
from emafusion.learning.online.rewards import agreement_truth
from emafusion.routers.prior import TYPICAL_CALL
from emafusion.tokens import count_messages
from emafusion.types import Forecast, Message

__all__ = ["LOOKED_AT", "Anchor", "choose", "eligible"]

LOOKED_AT = 2000
"""Newest decisions among which anchors are sought: enough kinds of question, and read in about a second."""
FEWEST_KNOWN = 3
"""Known candidates from which on their outcomes show kinds of difficulty."""
LIKELY = 0.85
"""Probability that an accepted answer is right from which on agreement with it is nearly as good as the truth; below, a
grade tells ever less, and it would count as much."""
UNGRADABLE = ("text", "none")
"""Kinds of answer that cannot be told from another by their words."""


@dataclass(frozen=True)
class Anchor:
    """A stored question that can be asked again.

    Attributes
    ----------
    truth
        Its true answer; None where nobody told.
    accepted
        The answer that was given, None where it cannot be compared with.
    right
        Probability that ``accepted`` is right.
    scores
        Candidate -> quality of its answer, as known or, where it was not asked, as forecast.
    """

    text: str
    truth: str | None
    accepted: str | None
    right: float
    scores: Mapping[str, float]

    @property
    def sure(self) -> float:
        """Probability that what answers are compared with is right."""
        return self.right if self.truth is None else 1.0

    def grade(self, response: str, author: str, forecast: Forecast) -> float | None:
        """What an answer is worth: 0 or 1 where the truth is known, else by whether it agrees with the accepted one,
        as for an audit, and then maybe somewhat outside [0, 1]. None where that cannot be told."""
        if self.truth is not None:
            known = graded(self.text, {author: response}, self.truth)
            if author in known:
                return known[author]
        if self.accepted is None or author not in forecast.candidates:
            return None
        same = graded(self.text, {author: response}, self.accepted)
        return agreement_truth(bool(same[author]), self.right, forecast) if author in same else None


def eligible(decisions: Iterable[Mapping[str, Any]]) -> list[Anchor]:
    """Those of these stored decisions (:meth:`Store.decisions`) that will do, each question once, in their order."""
    found, met = [], set[str]()
    for decision in decisions:
        if decision["text_hash"] in met or not _stands_alone(decision):
            continue
        met.add(decision["text_hash"])
        anchor = _anchor(decision)
        if anchor.truth is not None or anchor.accepted is not None:
            found.append(anchor)
    return found


def _stands_alone(decision: Mapping[str, Any]) -> bool:
    text = decision["text"]
    if not text or decision["anchor"] or decision["sticky"] or decision["tools"] or decision["schema"] is not None:
        return False
    return int(decision["prompt_tokens"]) <= count_messages((Message("user", text),))


def _anchor(decision: Mapping[str, Any]) -> Anchor:
    text, answered_by = str(decision["text"]), decision["answered_by"]
    told = [f["text"] for f in decision["feedbacks"] if f["kind"] == "truth" and f["text"]]
    truth = told[-1] if told and extract_answer(told[-1], text).kind not in UNGRADABLE else None
    right = decision["confidence"] if decision["feedback"] is None else decision["feedback"]
    answers = [a for a in decision["attempts"] if a["candidate"] == answered_by and a["response"] is not None]
    comparable = [a["response"] for a in answers if a["cluster"] is not None and a["cluster"] >= 0]
    accepted = comparable[0] if comparable and agreement_truth(True, right) is not None else None
    scores = {name: float(row["p_good"]) for name, row in decision["forecast"].items()}
    scores |= {a["candidate"]: float(a["confidence"]) for a in decision["attempts"] if a["confidence"] is not None}
    return Anchor(text, truth, accepted, float(right), scores | {answered_by: float(right)})


def choose(anchors: Sequence[Anchor], pool: Pool, newcomer: str, count: int) -> list[Anchor]:
    """``count`` of these, or all where there are fewer, in the order in which they tell most of a newcomer.

    They are chosen among those whose answer is known or likely, or, where those are too few, are the likeliest. With
    fewer than three candidates known nothing tells the questions apart; then they are the first.
    """
    likely = [a for a in anchors if a.sure >= LIKELY]
    anchors = likely if len(likely) >= count else sorted(anchors, key=lambda a: -a.sure)[:count]
    if len(anchors) <= count:
        return list(anchors)
    names = [n for n in pool.names if n != newcomer and any(n in a.scores for a in anchors)]
    if len(names) < FEWEST_KNOWN:
        return list(anchors[:count])
    scores = np.array([[a.scores.get(n, np.nan) for n in names] for a in anchors])
    prices = np.log([max(pool.price(n).cost(TYPICAL_CALL), 1e-9) for n in names])
    return [anchors[row] for row in Standings().fit(scores, prices).anchors(count)]
