"""LlamaIndex's evaluators as judges: ``judges=[EvaluatorJudge(FaithfulnessEvaluator(llm=...))]``."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms.llm import LLM

from emafusion.config import Candidate, Price
from emafusion.errors import ConfigError
from emafusion.judges.callable import NO, YES, CallableJudge
from emafusion.tokens import count_tokens
from emafusion.types import Call, Query, Reply, Usage, Verdict
from llamaindex_emafusion.replies import usage_of
from llamaindex_emafusion.resolve import resolve

__all__ = ["EvaluatorJudge"]

TEMPLATE_TOKENS = 1000
RUNS = 2
"""Calls of its LLM that one run of an evaluator may make: some refine their first answer."""
_READ_CONTEXT = frozenset({"FaithfulnessEvaluator", "RelevancyEvaluator", "ContextRelevancyEvaluator"})
_SCALES = {"CorrectnessEvaluator": (1.0, 5.0)}


@dataclass(frozen=True, slots=True)
class EvaluatorJudge:
    """Judge answers by an evaluator of LlamaIndex: is it faithful to what was retrieved, relevant, correct?

    The evaluator is given the question, the answer's text and, as its one context, what the prompt brought along to
    answer from. What its LLM used is counted and priced, so a decision's cost includes it.

    Parameters
    ----------
    evaluator
        E.g. ``FaithfulnessEvaluator(llm=...)``, ``RelevancyEvaluator``, ``CorrectnessEvaluator``, or one's own
        ``BaseEvaluator``. It is copied, never changed. One without an LLM costs nothing and sees every draft.
    price
        Of the evaluator's LLM, USD per million tokens; by default its list price.
    name
        Shown in verdicts; by default that of the evaluator's class.
    weight
        Log-likelihood ratio of a sure verdict.
    scale
        Least and greatest score that it gives; (1, 5) for ``CorrectnessEvaluator``, else (0, 1).
    needs_context
        Whether it has nothing to say where no context was retrieved; by default true of those that LlamaIndex has
        for faithfulness and relevancy. It is then not asked.
    max_output_tokens
        The most that its LLM is expected to write, for weighing whether to ask it.

    Notes
    -----
    A synchronous request asks the evaluator's LLM by its synchronous methods, though LlamaIndex's evaluators are
    asynchronous inside: no client is used on two event loops.

    Raises
    ------
    ConfigError
        If it is no evaluator, its LLM is an EMAFusion (which would judge itself) or has no known price.

    Examples
    --------
    >>> from llama_index.core.evaluation import FaithfulnessEvaluator
    >>> from llama_index.core.llms import MockLLM
    >>> judge = EvaluatorJudge(FaithfulnessEvaluator(llm=MockLLM()), price=Price(input=1, output=2))
    >>> judge.name
    'faithfulness'
    >>> judge.calls(Query("Which river?"), Reply("The Adige."), "small", "judge")  # there is no context
    ()
    """

    evaluator: Any
    price: Price | None = None
    name: str = ""
    weight: float = 1.2
    scale: tuple[float, float] | None = None
    needs_context: bool | None = None
    max_output_tokens: int = 200
    model: Candidate | None = field(init=False, default=None, repr=False)
    """The evaluator's LLM, priced; None where it has none."""
    free: bool = field(init=False, default=False, repr=False)

    def __post_init__(self) -> None:
        kind = type(self.evaluator).__name__
        if isinstance(self.evaluator, type) or not hasattr(self.evaluator, "aevaluate"):
            raise ConfigError(f"EvaluatorJudge: expected an evaluator of LlamaIndex, got {self.evaluator!r:.80}")
        put = partial(object.__setattr__, self)
        put("name", self.name or kind.removesuffix("Evaluator").lower() or "evaluator")
        put("scale", self.scale or _SCALES.get(kind, (0.0, 1.0)))
        if self.needs_context is None:
            put("needs_context", bool(_READ_CONTEXT & {c.__name__ for c in type(self.evaluator).__mro__}))
        if self._range[0] >= self._range[1]:
            raise ConfigError(f"EvaluatorJudge: scale must be (least, greatest), got {self.scale!r}")
        llm = getattr(self.evaluator, "_llm", None)
        put("free", llm is None)
        put("model", None if llm is None else self._priced(llm))

    def _priced(self, llm: Any) -> Candidate:
        from llamaindex_emafusion.llm import EMAFusion

        if isinstance(llm, EMAFusion):
            raise ConfigError(
                f"EvaluatorJudge: the {type(self.evaluator).__name__}'s LLM is an EMAFusion, which would have to judge "
                "its own judge; give the evaluator a plain LLM, as llm=..."
            )
        candidate = resolve(Candidate(llm, price=self.price))
        if candidate.price is None:
            raise ConfigError(
                f"EvaluatorJudge: no price is known for {candidate.name!r}; give EvaluatorJudge(..., "
                "price=Price(input=..., output=...)) in USD per million tokens"
            )
        return candidate

    @property
    def _range(self) -> tuple[float, float]:
        return self.scale or (0.0, 1.0)

    # -- a judge -----------------------------------------------------------------------------------------------

    def calls(self, query: Query, answer: Reply, author: str, model: str) -> tuple[Call, ...]:
        """One run of the evaluator; none where there is nothing that it could look at."""
        if not answer.text.strip() or (self.needs_context and not query.context.strip()):
            return ()
        calls = self._as_callable(_running_loop()).calls(query, answer, author, model)
        return tuple(replace(call, max_usd=self._most(query, answer)) for call in calls)

    def _most(self, query: Query, answer: Reply) -> float | None:
        """The most that a run is taken to cost; the templates of LlamaIndex's evaluators have a few hundred tokens."""
        if self.model is None or self.model.price is None:
            return None
        read = 2 * sum(count_tokens(text) for text in (query.text, query.context, answer.text)) + TEMPLATE_TOKENS
        return RUNS * self.model.price.cost(Usage(read, self.max_output_tokens))

    def read(self, replies: Sequence[Reply], author: str, cost_usd: float) -> Verdict:
        return self._as_callable(None).read(replies, author, cost_usd)

    def _as_callable(self, loop: asyncio.AbstractEventLoop | None) -> CallableJudge:
        return CallableJudge(partial(self._evaluate, loop), self.name, self.weight)

    async def _evaluate(self, loop: asyncio.AbstractEventLoop | None, query: Query, answer: Reply) -> Verdict:
        evaluator, metered = self.evaluator, None
        if self.model is not None:
            metered = _MeteredLLM.over(self.model.model, blocking=asyncio.get_running_loop() is not loop)
            evaluator = copy.copy(evaluator)
            evaluator._llm = metered
        contexts = [query.context] if query.context.strip() else None
        result = await evaluator.aevaluate(query=query.text, response=answer.text, contexts=contexts)
        cost = metered.cost_usd(self.model.price) if metered and self.model and self.model.price else 0.0
        score, reason = self._score(result)
        return Verdict(self.name, "", score, reason, cost)

    def _score(self, result: Any) -> tuple[float | None, str]:
        """Probability that the answer is good, between what a plain no and a plain yes are worth; and why."""
        said = " ".join(str(result.feedback or "").split())[:200]
        if result.invalid_result:
            return None, f"abstains: {result.invalid_reason or said or 'its result is invalid'}"
        low, high = self._range
        if result.score is None:
            if result.passing is None:
                return None, f"abstains: no score ({said})"
            return (YES if result.passing else NO), said
        if not low <= result.score <= high:
            return None, f"abstains: its score {result.score:g} is not in [{low:g}, {high:g}]"
        share = (float(result.score) - low) / (high - low)
        return NO + (YES - NO) * share, f"{result.score:g} in [{low:g}, {high:g}]: {said}"


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _MeteredLLM(LLM):
    """An evaluator's LLM for one run: adds up what it uses, and blocks a thread where the caller's request does."""

    _model: LLM = PrivateAttr()
    _blocking: bool = PrivateAttr()
    _used: list[Usage] = PrivateAttr(default_factory=list)

    @classmethod
    def over(cls, model: LLM, *, blocking: bool) -> _MeteredLLM:
        settings = {name: getattr(model, name) for name in LLM.model_fields}
        made = cls.model_construct(**settings)
        made._model, made._blocking = model, blocking
        return made

    def cost_usd(self, price: Price) -> float:
        return sum(price.cost(usage) for usage in self._used)

    @property
    def metadata(self) -> LLMMetadata:
        return self._model.metadata

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        response = self._model.chat(messages, **kwargs)
        self._count(response, " ".join(m.content or "" for m in messages), response.message.content)
        return response

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        if self._blocking:
            return await asyncio.to_thread(self.chat, messages, **kwargs)
        response = await self._model.achat(messages, **kwargs)
        self._count(response, " ".join(m.content or "" for m in messages), response.message.content)
        return response

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        response = self._model.complete(prompt, formatted=formatted, **kwargs)
        self._count(response, prompt, response.text)
        return response

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        if self._blocking:
            return await asyncio.to_thread(self.complete, prompt, formatted, **kwargs)
        response = await self._model.acomplete(prompt, formatted=formatted, **kwargs)
        self._count(response, prompt, response.text)
        return response

    def _count(self, response: Any, read: str, written: str | None) -> None:
        estimate = Usage(count_tokens(read), count_tokens(written or ""), estimated=True)
        self._used.append(usage_of(response) or estimate)

    # An evaluator that streams gets the whole answer as the one chunk: nobody watches it, and its usage is told.

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        response = self.chat(messages, **kwargs)
        yield response.model_copy(update={"delta": response.message.content})

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        response = await self.achat(messages, **kwargs)

        async def chunks() -> ChatResponseAsyncGen:
            yield response.model_copy(update={"delta": response.message.content})

        return chunks()

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        response = self.complete(prompt, formatted, **kwargs)
        yield response.model_copy(update={"delta": response.text})

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        response = await self.acomplete(prompt, formatted, **kwargs)

        async def chunks() -> CompletionResponseAsyncGen:
            yield response.model_copy(update={"delta": response.text})

        return chunks()
