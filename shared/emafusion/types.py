"""The value objects of a request, in the order in which they come into being.

Message, ToolCall -> Query -> Forecast -> Call -> Reply | Failure -> Verdict, Attempt -> Decision -> Result

All are frozen and slotted; costs are USD, lengths are tokens, times are seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

__all__ = [
    "Attempt",
    "Call",
    "Decision",
    "Failure",
    "Forecast",
    "Message",
    "Query",
    "Reply",
    "Result",
    "Role",
    "ToolCall",
    "Usage",
    "Verdict",
]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call that an assistant asked for; ``arguments`` are parsed."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """One turn, stripped of all that is particular to a framework or a provider."""

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    media: frozenset[str] = frozenset()
    """Kinds of non-text content in this turn: "image", "audio", "video", "document"."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, what it needs, and where it belongs. Built by :func:`emafusion.asked.build_query`."""

    text: str
    """What is being asked: the text that routers encode. Never the system prompt, never tool output."""
    prompt_tokens: int = 0
    """Estimated length of the whole request, tools included."""
    needs: frozenset[str] = frozenset()
    """Abilities that a candidate must have: "tools", "schema", "image", "audio", "video", "document"."""
    tools: tuple[Mapping[str, Any], ...] = ()
    schema: Mapping[str, Any] | None = None
    context: str = ""
    """What the asker supplied to answer from (retrieved passages); judges see it, routers do not."""
    session: str | None = None
    """Key of the thread up to its last human turn; within one turn's tool loop the candidate stays."""
    mid_turn: bool = False
    """Whether the assistant already acted since the last human turn (a tool loop is under way)."""
    max_output_tokens: int | None = None
    id: str | None = None
    prompt_bytes: int = 0
    """UTF-8 bytes of the whole request, tools included: what no tokenizer over bytes can exceed in tokens."""
    conversation: str | None = None
    """The thread as the caller named it, else a key of its first human turn; unlike ``session`` it lasts all turns."""
    thread_named: bool = False
    """Whether the caller named the thread: only then are two requests of one conversation known to be one user's."""
    slow_labels: Mapping[str, Any] | None = None
    """Axis -> label probabilities by the slow classifier, where one was asked; routers fuse them with their own."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. ``estimated`` says that the provider reported none."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a router expects of each candidate before any answer; tuples run parallel to ``candidates``."""

    candidates: tuple[str, ...]
    p_good: tuple[float, ...]
    """Probability of a good answer."""
    spread: tuple[float, ...]
    """Standard deviation of ``p_good``."""
    cost_usd: tuple[float, ...]
    """Expected cost of one call."""
    output_tokens: tuple[float, ...]
    familiarity: float = 0.0
    """In [0, 1]: how near the query is to what the router knows; 0 leaves all weight on the prior."""
    category: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Most probable label on each axis of the taxonomy."""
    right_agree: float | None = None
    """Probability that a right answer is recognised as the same as other right ones; None: go by kind of answer."""
    wrong_agree: float | None = None
    """Probability that two wrong answers coincide; None likewise."""
    embedding: Any = field(default=None, repr=False, compare=False)
    """Vector of the query (dim,), float32, where the router made one; what learns while serving reads it."""
    uncorrected: tuple[float, ...] = field(default=(), repr=False, compare=False)
    """``p_good`` as the router gave it, where what was learned while serving has corrected it; else empty."""
    uncorrected_tokens: tuple[float, ...] = field(default=(), repr=False, compare=False)
    """``output_tokens``, likewise."""

    def expected_tokens(self, candidate: str) -> float:
        """Length of a candidate's answer as the router itself expected it."""
        return (self.uncorrected_tokens or self.output_tokens)[self.candidates.index(candidate)]

    def of(self, candidate: str) -> dict[str, float]:
        """One candidate's row as a plain dict."""
        i = self.candidates.index(candidate)
        return {
            "p_good": self.p_good[i],
            "spread": self.spread[i],
            "cost_usd": self.cost_usd[i],
            "output_tokens": self.output_tokens[i],
        }


@dataclass(frozen=True, slots=True)
class Call:
    """One request that the engine wants made; the driver's transport makes it."""

    purpose: Literal["draft", "judge", "classify"]
    candidate: str
    prompt: tuple[Message, ...] | None = None
    """None: replay the caller's own request (a draft, or a sample more). Otherwise messages that the core wrote."""
    live: bool = False
    """The answer will be accepted unseen, so it may be streamed to the consumer as it arrives."""
    judge: str | None = None
    """Name of the judge on whose behalf the call is made."""
    temperature: float | None = None
    max_output_tokens: int | None = None
    logprobs: bool = False
    function: Callable[[], Any] | None = None
    """The user's own function, run by the driver instead of asking a model; its result is the reply's ``native``."""
    max_usd: float | None = None
    """The most that it may cost, reserved before it is made where there are budgets; None: not worked out."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back from a call."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    """Cost where it is known better than usage times price (a recording, a provider that bills per call)."""
    latency_s: float | None = None
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each token that was written, where the provider told."""
    tokens: tuple[str, ...] | None = None
    """The tokens themselves, parallel to ``logprobs``."""
    native: Any = None
    """The framework's own answer object, handed back untouched to the consumer."""
    unseen: bool = False
    """Its text is not known (a recording of scores alone), which is not the same as empty."""
    streamed: bool = False
    """Its tokens have already been handed to the consumer: it can no longer be taken back."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that raised. Errors travel as values; only the driver catches."""

    error: Exception
    latency_s: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judge's opinion of one attempt. ``score`` None means that the judge abstained."""

    judge: str
    candidate: str
    score: float | None
    """Probability, as this judge sees it before calibration, that the answer is good."""
    reason: str = ""
    cost_usd: float = 0.0
    latency_s: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One candidate's answer, or its failure, with what it cost."""

    candidate: str
    reply: Reply | None
    """In a decision without the framework's own object (``native``), which would hold more than all the rest."""
    error: Exception | None = None
    cost_usd: float = 0.0
    confidence: float | None = None
    """Calibrated probability that this answer is good, after all evidence."""
    cluster: int | None = None
    """Which group of agreeing answers it belongs to (-1: no extractable answer)."""
    answer: str = ""
    """The final answer as extracted, for people to read."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Why the answer is what it is: everything a person or a trace wants to see."""

    id: str
    answered_by: str
    confidence: float
    cost_usd: float
    """Cost of all drafts and judges together."""
    draft_cost_usd: float
    judge_cost_usd: float
    reference: str
    """Candidate against which saving and quality floor are counted (by default the dearest)."""
    saved_usd: float
    """Expected cost of the reference candidate's answer less ``cost_usd``; negative when more was spent."""
    objective: Mapping[str, float]
    forecast: Forecast
    attempts: tuple[Attempt, ...]
    verdicts: tuple[Verdict, ...]
    reason: str
    abstained: bool = False
    sticky: bool = False
    warnings: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    """Candidates that were asked first."""
    propensities: Mapping[str, float] = field(default_factory=dict)
    """Candidate -> probability with which it was to be asked first, exploration included; empty: nothing was chosen."""
    explored: bool = False
    """Whether chance, not the policy, chose whom to ask first."""
    audited: str | None = None
    """Candidate that was asked beside, to learn how far judges can be trusted; its answer was not up for choice."""
    policy: str = ""
    """Identity of the policy that served."""
    tick: float = 0.0
    """When it was decided, in decisions: the clock by which learning forgets."""
    anchor: bool = False
    """Whether no user asked: a stored question was put to a new candidate, to place it."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, as shown in ``response_metadata["emafusion"]``; answers' texts are left out."""
        f = self.forecast
        return {
            "id": self.id,
            "answered_by": self.answered_by,
            "category": f.category,
            "labels": dict(f.labels),
            "familiarity": f.familiarity,
            "forecast": {name: f.of(name) for name in f.candidates},
            "attempts": [
                {
                    "candidate": a.candidate,
                    "cost_usd": a.cost_usd,
                    "confidence": a.confidence,
                    "cluster": a.cluster,
                    "answer": a.answer,
                    "error": None if a.error is None else f"{type(a.error).__name__}: {a.error}",
                    "input_tokens": a.reply.usage.input_tokens if a.reply and a.reply.usage else None,
                    "output_tokens": a.reply.usage.output_tokens if a.reply and a.reply.usage else None,
                    "latency_s": a.reply.latency_s if a.reply else None,
                }
                for a in self.attempts
            ],
            "verdicts": [
                {
                    "judge": v.judge,
                    "candidate": v.candidate,
                    "score": v.score,
                    "reason": v.reason,
                    "cost_usd": v.cost_usd,
                }
                for v in self.verdicts
            ],
            "confidence": self.confidence,
            "cost": self.cost_usd,
            "draft_cost": self.draft_cost_usd,
            "judge_cost": self.judge_cost_usd,
            "reference": self.reference,
            "saved": self.saved_usd,
            "objective": dict(self.objective),
            "reason": self.reason,
            "abstained": self.abstained,
            "sticky": self.sticky,
            "warnings": list(self.warnings),
            "first": list(self.first),
            "propensities": dict(self.propensities),
            "explored": self.explored,
            "audited": self.audited,
        }


@dataclass(frozen=True, slots=True)
class Result:
    """The accepted reply and the decision behind it."""

    reply: Reply
    decision: Decision
    streamed: bool = False
    """The reply's tokens have already been handed to the consumer."""
