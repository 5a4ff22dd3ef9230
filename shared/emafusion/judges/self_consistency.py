"""Self-consistency: does the candidate say the same when it is asked again?

Samples are taken in batches and stop early, once it is clear what the candidate mostly says (Adaptive-Consistency,
arXiv 2305.11860: a Beta posterior on the majority against the runner-up).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from emafusion.answers import cluster_answers, extract_answer
from emafusion.errors import ConfigError
from emafusion.judges.base import AUTHOR, Case
from emafusion.types import Call, Query, Reply, Verdict

__all__ = ["SelfConsistency", "majority_certainty"]


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """Ask the candidate the same again, k times, and count how often it comes to the same final answer.

    Parameters
    ----------
    samples
        The most that are taken beside the answer itself.
    batch
        Calls made in parallel between two looks at the votes.
    level
        Probability at which the majority is taken for settled, and sampling stops.
    temperature
        Of the samples.

    Notes
    -----
    The score is the mean of the Beta posterior on the share that agrees with the answer at hand, under a uniform prior;
    samples without a final answer count as disagreement. It abstains where the answer itself has none.
    """

    samples: int = 8
    batch: int = 4
    level: float = 0.95
    temperature: float = 1.0
    name: str = "self-consistency"
    weight: float = 1.2
    case: Case | None = field(default=None, repr=False, compare=False)
    """Filled in by the panel."""

    model = AUTHOR
    replays = True

    def __post_init__(self) -> None:
        if self.samples < 1 or self.batch < 1:
            raise ConfigError(
                f"SelfConsistency: samples and batch must be at least 1, got {self.samples} and {self.batch}"
            )
        if not 0.5 < self.level <= 1.0:
            raise ConfigError(f"SelfConsistency: level must be above 0.5 and at most 1, got {self.level}")

    def briefed(self, case: Case) -> SelfConsistency:
        """This judge, told all that there is to know of one answer."""
        return replace(self, case=case)

    def calls(self, query: Query, answer: Reply, author: str, model: str) -> tuple[Call, ...]:
        if extract_answer(answer.text, query.text, answer.tool_calls, query.tools).kind == "none":
            return ()
        return self._batch(model, 0)

    def further(self, replies: Sequence[Reply]) -> tuple[Call, ...]:
        """The next batch, unless the majority is settled or the samples are used up."""
        if self.case is None or len(replies) >= self.samples:
            return ()
        votes = sorted(self._votes(replies).values(), reverse=True)
        first, second = (*votes, 0, 0)[:2]
        return () if majority_certainty(first, second) >= self.level else self._batch(self.case.author, len(replies))

    def _batch(self, model: str, taken: int) -> tuple[Call, ...]:
        call = Call("judge", model, judge=self.name, temperature=self.temperature)
        return (call,) * min(self.batch, self.samples - taken)

    def _votes(self, replies: Sequence[Reply]) -> dict[int, int]:
        """Votes by group of agreeing answers, the answer at hand included; it is in group 0. -1: no final answer."""
        assert self.case is not None
        query = self.case.query
        votes: dict[int, int] = {}
        finals = [extract_answer(r.text, query.text, r.tool_calls, query.tools) for r in (self.case.answer, *replies)]
        for label in cluster_answers(finals):
            votes[label] = votes.get(label, 0) + 1
        return votes

    def read(self, replies: Sequence[Reply], author: str, cost_usd: float) -> Verdict:
        if self.case is None or not replies:
            why = "nothing was sampled" if self.case is not None else "it was not told what to compare with"
            return Verdict(self.name, author, None, f"abstains: {why}", cost_usd)
        agree, taken = self._votes(replies).get(0, 1) - 1, len(replies)
        score = (agree + 1.0) / (taken + 2.0)
        return Verdict(self.name, author, score, f"{agree} of {taken} further samples agree", cost_usd)


def majority_certainty(first: int, second: int) -> float:
    """P(the leader is the true majority), by its votes and the runner-up's: Beta(first + 1, second + 1) above 1/2.

    Examples
    --------
    >>> majority_certainty(4, 0)
    0.96875
    >>> majority_certainty(3, 3)
    0.5
    """
    total = first + second + 1
    return float(sum(math.comb(total, i) for i in range(first + 1)) / 2**total)
