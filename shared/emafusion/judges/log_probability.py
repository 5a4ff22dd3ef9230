"""Log-probability: how sure the candidate was of the tokens that it wrote. Costs no call.

Language Model Cascades (arXiv 2404.10136) finds that the answer's weakest tokens, and the span that answers, say more
than the mean over everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from emafusion.answers import extract_answer
from emafusion.errors import ConfigError
from emafusion.estimators.scales import logit, sigmoid
from emafusion.judges.base import Case
from emafusion.types import Call, Query, Reply, Verdict

__all__ = ["LogProbability", "Sureness", "sureness"]

FIRST = 4
"""Tokens at the beginning whose certainty is looked at."""
SLOPE = 0.8
EDGE = 0.001
_CLOSING = frozenset(".,;:!?*` \n")


@dataclass(frozen=True, slots=True)
class Sureness:
    """What a reply's log-probabilities say, as probabilities of a token.

    Attributes
    ----------
    mean
        Geometric mean over all tokens.
    weakest
        Of the least sure token.
    first
        Margin of the first tokens over all that else could have stood there, at its least: 2 p - 1, in [-1, 1].
    span
        Geometric mean over the tokens of the final answer; None where they cannot be told from the rest.
    """

    mean: float
    weakest: float
    first: float
    span: float | None


@dataclass(frozen=True, slots=True)
class LogProbability:
    """Judge an answer by the log-probabilities of its tokens; abstains where the provider reports none.

    Parameters
    ----------
    signal
        "span" (the tokens of the final answer, else the mean), "mean", "weakest" or "first".
    typical
        Probability at which the signal speaks neither for nor against the answer, before any calibration.

    Notes
    -----
    Log-probabilities are asked for with every draft while this judge is on the panel, so it belongs on panels over
    pools whose servers report them: some refuse a request that asks.
    """

    signal: str = "span"
    typical: float = 0.9
    name: str = "log-probability"
    weight: float = 0.6
    case: Case | None = field(default=None, repr=False, compare=False)
    """Filled in by the panel."""

    model = None
    free = True
    reads_logprobs = True

    def __post_init__(self) -> None:
        if self.signal not in ("span", "mean", "weakest", "first"):
            raise ConfigError(
                f"LogProbability: signal must be 'span', 'mean', 'weakest' or 'first', got {self.signal!r}"
            )
        if not 0.0 < self.typical < 1.0:
            raise ConfigError(f"LogProbability: typical must be in (0, 1), got {self.typical}")

    def briefed(self, case: Case) -> LogProbability:
        """This judge, told all that there is to know of one answer."""
        return replace(self, case=case)

    def calls(self, query: Query, answer: Reply, author: str, model: str) -> tuple[Call, ...]:
        return ()

    def read(self, replies: Sequence[Reply], author: str, cost_usd: float) -> Verdict:
        told = None if self.case is None else sureness(self.case.answer, self.case.query)
        if told is None:
            return Verdict(self.name, author, None, "no log-probabilities were reported", cost_usd)
        chosen = {"mean": told.mean, "weakest": told.weakest, "first": (1.0 + told.first) / 2.0, "span": told.span}
        p = chosen[self.signal]
        p = told.mean if p is None else p
        odds = logit(np.array([p, self.typical]), EDGE)
        score = float(sigmoid(SLOPE * (odds[0] - odds[1])))
        span = "" if told.span is None else f"the answer's {told.span:.2f}, "
        reason = f"probability of a token: {span}mean {told.mean:.2f}, weakest {told.weakest:.2f}"
        return Verdict(self.name, author, score, reason, cost_usd)


def sureness(reply: Reply, query: Query) -> Sureness | None:
    """Read the log-probabilities of a reply; None where there are none."""
    if not reply.logprobs:
        return None
    values = np.minimum(np.nan_to_num(np.array(reply.logprobs), nan=-20.0, neginf=-20.0), 0.0)
    first = float(np.exp(values[:FIRST].mean()))
    return Sureness(
        mean=float(np.exp(values.mean())),
        weakest=float(np.exp(values.min())),
        first=2.0 * first - 1.0,
        span=_span(reply, query, values.tolist()),
    )


def _span(reply: Reply, query: Query, values: Sequence[float]) -> float | None:
    """Geometric mean probability of the tokens that touch the final answer."""
    if not reply.tokens or len(reply.tokens) != len(values) or "".join(reply.tokens) != reply.text:
        return None
    where = extract_answer(reply.text, query.text, reply.tool_calls, query.tools).span
    if where is None:
        return None
    start, end = where
    while end > start + 1 and reply.text[end - 1] in _CLOSING:  # the full stop is not the answer
        end -= 1
    touching, at = [], 0
    for token, value in zip(reply.tokens, values):
        if at < end and at + len(token) > start:
            touching.append(value)
        at += len(token)
    return math.exp(sum(touching) / len(touching)) if touching else None
