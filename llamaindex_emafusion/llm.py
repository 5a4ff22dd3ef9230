"""``EMAFusion``: one LlamaIndex LLM over many, which asks the candidate that is worth its price for each request."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.async_utils import run_jobs
from llama_index.core.base.llms.generic_utils import prompt_to_messages
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_serializer
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.prompts import BasePromptTemplate, SelectorPromptTemplate
from llama_index.core.tools.types import BaseTool

from emafusion.config import Objective
from emafusion.engine.retries import Retries
from emafusion.errors import ConfigError
from emafusion.steering import Steered
from emafusion.types import Decision
from llamaindex_emafusion.asked import filled_from
from llamaindex_emafusion.bound import BoundModels
from llamaindex_emafusion.messages import FilledMessages
from llamaindex_emafusion.replies import acompletions, as_completion, completions
from llamaindex_emafusion.request import Request, query_from
from llamaindex_emafusion.resolve import calls_functions, metadata_of, resolve
from llamaindex_emafusion.tools import ToolOffer, selections
from llamaindex_emafusion.transport import ModelTransport

if TYPE_CHECKING:
    from emafusion.budgets.batch import Batch
    from emafusion.explanation import Explanation
    from emafusion.fusion import Fusion
    from emafusion.learning.fitting import FitReport

__all__ = ["EMAFusion"]

_OFFER = "emafusion_offer"
"""Argument under which offered tools travel from ``*_chat_with_tools`` to the chat methods."""
_WITHIN = "emafusion_within"
"""Argument under which a batch's budget travels to the requests of the batch."""

_BUILT_FROM = frozenset(
    {
        "abstain_below",
        "budgets",
        "candidates",
        "encoder",
        "judges",
        "learning",
        "router",
        "slow_classifier",
        "slow_weight",
        "store",
        "stream_mode",
    }
)
"""Fields that the core is made from, once."""


class EMAFusion(Steered, FunctionCallingLLM):
    """A LlamaIndex LLM that routes, cascades and judges over a pool of LLMs.

    Parameters
    ----------
    candidates
        LLM objects, strings ``"provider:model"``, or ``Candidate(model, price=..., ...)``.
    objective
        What you want: ``Objective(usd_per_query=...)``, ``(usd_value=...)`` or ``(quality_floor=...)``; by default the
        reference candidate's quality at the least cost.
    router
        A router, or the path of a fitted one (``router.json``).
    judges
        E.g. ``[LLMJudge("openai:gpt-4o-mini")]``; by default a judge drawn from the pool, asked only when its verdict
        is worth its cost; ``[]`` for none. Checks by rule and by agreement are always on.
    encoder
        What turns questions into vectors; by default the one that ships with the package.
    store
        Where decisions, feedback and what was learned are kept: the path of an SQLite file, a database's URL, or a
        :class:`emafusion.store.Store` with options of one's own.
    learning
        True, or :class:`emafusion.Learning`: learn from every answer and from :meth:`feedback` while serving.
    stream_mode
        "auto" streams as soon as nothing could change the choice any more, "live" commits before the first token,
        "buffered" judges whole answers first.
    abstain_below
        Confidence under which an answer is marked as not to be trusted (``["emafusion"]["abstained"]``); 0 never marks.
    slow_classifier, slow_weight
        A model, or a candidate's name, that labels what is asked before it is routed, and how much its labels count;
        a call more for every request, so none by default.
    max_retries, max_retry_wait
        How often a call that met a transient error (rate limit, server error, timeout, lost connection) is made anew
        before the next candidate is asked, and the seconds that it may spend waiting for that in all.
        Retries that a client makes by itself (``OpenAI`` makes three) count among these, so they never multiply.
    budgets
        Hard limits, e.g. ``[Budget(5.0, per="key", window="day")]`` (:class:`emafusion.Budget`), kept in ``store``
        where there is one, for all processes that share it.

    Notes
    -----
    Four arguments of the chat and complete methods are ours, all others go to the candidates as they are:
    ``objective=Objective(...)`` for one request, ``model="name"`` to have one candidate answer it, ``thread="key"`` to
    tell apart conversations that happen to begin alike, ``budget_key="tenant-7"`` to say whose request it is, for
    budgets per key.

    ``response.additional_kwargs["emafusion"]`` of every answer tells the decision; ``response.raw`` is what the
    answering model's client gave. Metadata reports the smallest context window and output length of the pool, since
    query engines size their prompts by it; one candidate that calls functions is enough to report function calling,
    since requests with tools go only to those that do.

    Raises
    ------
    ConfigError
        If the pool is empty or ambiguous, a price is not known, or a candidate is not a LlamaIndex LLM.

    Examples
    --------
    >>> from llama_index.core.llms import MockLLM
    >>> from emafusion import Candidate, Price
    >>> llm = EMAFusion(candidates=[Candidate(MockLLM(), name="mock", price=Price(input=1, output=2))])
    >>> llm.complete("Hello").additional_kwargs["emafusion"]["answered_by"]
    'mock'
    """

    candidates: Sequence[Any] = Field(default=(), description="Models to choose from.", exclude=True, repr=False)
    objective: Objective | None = Field(default=None, description="What to spend, or what quality to keep.")
    router: Any = Field(default=None, description="A router or the path of a fitted one.", repr=False)
    judges: Sequence[Any] | None = Field(default=None, description="Judges of answers.", exclude=True, repr=False)
    encoder: Any = Field(default=None, description="Encoder of questions.", exclude=True, repr=False)
    store: Any = Field(default=None, description="Where decisions are kept.", exclude=True, repr=False)
    learning: Any = Field(default=None, description="Learning while serving.", exclude=True, repr=False)
    stream_mode: Literal["auto", "live", "buffered"] = Field(
        default="auto", description="When an answer may be streamed."
    )
    abstain_below: float = Field(default=0.0, description="Confidence under which answers are marked.")
    slow_classifier: Any = Field(default=None, exclude=True, description="Model that labels what is asked.")
    slow_weight: float = Field(default=0.5, description="How much the slow classifier's labels count.")
    max_retries: int = Field(default=2, description="Calls after the first that met a transient error.")
    max_retry_wait: float = Field(default=30.0, description="Seconds that a call may wait for that in all.")
    budgets: Any = Field(default=(), exclude=True, repr=False, description="Hard limits of what may be spent.")

    _fusion: Fusion = PrivateAttr()
    _bound: BoundModels = PrivateAttr(default_factory=BoundModels)

    def __init__(self, candidates: Iterable[Any] = (), **fields: Any) -> None:
        if isinstance(candidates, (str, LLM)):  # an LLM is iterable too, over its fields
            raise ConfigError(
                f"candidates must be a list of models, got {type(candidates).__name__}: write [...] around it"
            )
        for name in fields.keys() - type(self).model_fields.keys():
            close = get_close_matches(name, type(self).model_fields, 1)
            hint = f"did you mean {close[0]!r}?" if close else "the class's docstring lists what there is"
            raise ConfigError(f"{type(self).__name__} has no argument {name!r}: {hint}")
        super().__init__(candidates=tuple(candidates), **fields)
        Retries(self.max_retries, self.max_retry_wait)  # raises if they make no sense
        self._fusion = self._build(self.router, self.store, self.learning)

    def _build(self, router: Any, store: Any, learning: Any) -> Fusion:
        from emafusion.fusion import Fusion

        return Fusion(
            self.candidates,
            resolve=resolve,
            objective=self.objective,
            router=router,
            judges=self.judges,
            encoder=self.encoder,
            store=store,
            learning=learning,
            stream_mode=self.stream_mode,
            abstain_below=self.abstain_below,
            slow_classifier=self.slow_classifier,
            slow_weight=self.slow_weight,
            budgets=self.budgets,
        )

    # -- what the framework asks of an LLM -------------------------------------------------------------------

    @classmethod
    def class_name(cls) -> str:
        return "EMAFusion"

    @property
    def metadata(self) -> LLMMetadata:
        known = [(c, metadata_of(c.model)) for c in self._fusion.pool]
        windows = [c.context_window or m.context_window for c, m in known if c.context_window or m]  # type: ignore[union-attr]
        outputs = [n for c, m in known if (n := c.max_output_tokens or (m.num_output if m else -1)) > 0]
        return LLMMetadata(
            context_window=min(windows, default=DEFAULT_CONTEXT_WINDOW),
            num_output=min(outputs, default=-1),
            is_chat_model=True,
            is_function_calling_model=any(calls_functions(c.model) for c, _ in known),
            model_name="emafusion",
        )

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._request(messages, kwargs).run()

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return await self._request(messages, kwargs).arun()

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._request(messages, kwargs).stream()

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        return self._request(messages, kwargs).astream()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return as_completion(self._request(prompt_to_messages(prompt), kwargs).run())

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return as_completion(await self._request(prompt_to_messages(prompt), kwargs).arun())

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        return completions(self._request(prompt_to_messages(prompt), kwargs).stream())

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        return acompletions(self._request(prompt_to_messages(prompt), kwargs).astream())

    # -- batches ---------------------------------------------------------------------------------------------

    def complete_all(self, prompts: Sequence[str], *, budget: float, workers: int = 8, **kwargs: Any) -> list[Any]:
        """Complete many prompts for ``budget`` USD together, which are never exceeded.

        Each is sent to one candidate, so that the expected quality of all is highest; what is left is assigned anew as
        answers come in.

        Returns
        -------
        list of CompletionResponse
            In the order of the prompts. In place of a prompt that failed, or that the budget did not reach for
            (:class:`emafusion.errors.BudgetExceeded`), its exception.
        """
        going = self._batch(prompts, budget, kwargs)

        def answer(one: tuple[int, str | None]) -> Any:
            i, assigned = one
            given = {**kwargs, _WITHIN: going.allowance}
            try:
                return going.answer(i, assigned, lambda name: self.complete(prompts[i], model=name, **given))
            except Exception as error:
                return error

        done: dict[int, Any] = {}
        with ThreadPoolExecutor(workers, thread_name_prefix="emafusion-batch") as threads:
            for round_ in going:
                contexts = [contextvars.copy_context() for _ in round_]
                answers = threads.map(lambda context, one: context.run(answer, one), contexts, round_)
                done |= zip((i for i, _ in round_), answers)
        return [done[i] for i in range(len(prompts))]

    async def acomplete_all(
        self, prompts: Sequence[str], *, budget: float, workers: int = 8, **kwargs: Any
    ) -> list[Any]:
        """:meth:`complete_all` for asyncio."""
        going = self._batch(prompts, budget, kwargs)

        async def answer(one: tuple[int, str | None]) -> Any:
            i, assigned = one
            given = {**kwargs, _WITHIN: going.allowance}
            try:
                return await going.aanswer(i, assigned, lambda name: self.acomplete(prompts[i], model=name, **given))
            except Exception as error:
                return error

        done: dict[int, Any] = {}
        for round_ in going:
            done |= zip((i for i, _ in round_), await run_jobs([answer(one) for one in round_], workers=workers))
        return [done[i] for i in range(len(prompts))]

    def _batch(self, prompts: Sequence[str], budget: float, kwargs: dict[str, Any]) -> Batch:
        if "model" in kwargs:
            raise ConfigError("complete_all: the budget assigns the candidates; leave model=... out")
        return self._fusion.batch([query_from(prompt_to_messages(p), dict(kwargs)) for p in prompts], budget)

    # -- tools and structured output -------------------------------------------------------------------------

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Arguments for the chat methods: the tools as they were offered, for no candidate is chosen yet."""
        messages = list(chat_history or ())
        if isinstance(user_msg, ChatMessage):
            messages.append(user_msg)
        elif user_msg:
            messages.append(ChatMessage(role=MessageRole.USER, content=user_msg))
        if not tools:
            return {"messages": messages, **kwargs}
        offer = ToolOffer.of(tools, allow_parallel_tool_calls, tool_required, tool_choice)
        return {"messages": messages, _OFFER: offer, **kwargs}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """Tool calls of an answer, as the candidate that wrote it reads them."""
        return selections(response, self._fusion, error_on_no_tool_call=error_on_no_tool_call, **kwargs)

    def _structured_stream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> Generator[Any, None, None]:
        chunks: Generator[Any, None, None]
        chunks = self._program(output_cls, prompt).stream_call(llm_kwargs=llm_kwargs, **prompt_args)
        return chunks

    async def _structured_astream_call(
        self, output_cls: Any, prompt: Any, llm_kwargs: dict[str, Any] | None = None, **prompt_args: Any
    ) -> AsyncGenerator[Any, None]:
        chunks: AsyncGenerator[Any, None]
        chunks = await self._program(output_cls, prompt).astream_call(llm_kwargs=llm_kwargs, **prompt_args)
        return chunks

    def _program(self, output_cls: Any, prompt: Any) -> Any:
        """The framework's program, made to require the call: when streaming it asks for one, but takes any text."""
        from llama_index.core.program.utils import get_program_for_llm

        forced = {"tool_choice": "required"} if self.metadata.is_function_calling_model else {}
        return get_program_for_llm(output_cls, prompt, self, pydantic_program_mode=self.pydantic_program_mode, **forced)

    # -- what is ours ----------------------------------------------------------------------------------------

    @property
    def fusion(self) -> Fusion:
        """The core behind this LLM: pool, decisions, store, learning, budgets."""
        return self._fusion

    @property
    def last_decision(self) -> Decision | None:
        """The decision on the last finished request."""
        return self._fusion.last

    def explain(self, prompt: str | Sequence[ChatMessage], *, objective: Objective | None = None) -> Explanation:
        """What would be asked first, and why; calls no model."""
        messages = prompt_to_messages(prompt) if isinstance(prompt, str) else prompt
        return self._fusion.explain(query_from(messages, {}), objective or self.objective)

    def _pool_changed(self) -> None:
        super().__setattr__("candidates", tuple(self._fusion.pool))

    def _ask(self, text: str, name: str) -> CompletionResponse:
        return self.complete(text, model=name)

    async def _aask(self, text: str, name: str) -> CompletionResponse:
        return await self.acomplete(text, model=name)

    def fit(self, log: str | Path | Iterable[Mapping[str, Any]], **options: Any) -> FitReport:
        """Fit the router on an outcome log."""
        return self._fusion.fit(log, **options)

    def save_router(self, path: str | Path) -> None:
        """Write the fitted router, for ``router=path`` later."""
        self._fusion.save_router(path)

    # -- inside ----------------------------------------------------------------------------------------------

    def _request(self, messages: Sequence[ChatMessage], kwargs: dict[str, Any]) -> Request:
        arguments = dict(kwargs)
        offer: ToolOffer | None = arguments.pop(_OFFER, None)
        objective = arguments.pop("objective", None) or self.objective
        thread = arguments.pop("thread", None)
        key, within = arguments.pop("budget_key", None), arguments.pop(_WITHIN, None)
        only = self._named(arguments.pop("model", None))
        filled = getattr(messages, "filled", None)
        transport = ModelTransport(
            model=self._fusion.model,
            messages=tuple(messages),
            arguments=arguments,
            offer=offer,
            callback_manager=self.callback_manager,
            bound=self._bound,
            limiter=getattr(self, "rate_limiter", None),  # older cores have none
            retries=Retries(self.max_retries, self.max_retry_wait),
        )
        query = query_from(messages, arguments, filled=filled, offer=offer, thread=thread)
        return Request(self._fusion, query, transport, objective, only, key, within)

    def _named(self, name: str | None) -> tuple[str, ...] | None:
        if name is None or name in self._fusion.pool:
            return None if name is None else (name,)
        raise ConfigError(f"model={name!r} is not a candidate (those are: {', '.join(self._fusion.pool.names)})")

    def _get_messages(self, prompt: BasePromptTemplate, **prompt_args: Any) -> list[ChatMessage]:
        """The filled template, with what its variables said: there the question needs no guessing."""
        messages = super()._get_messages(prompt, **prompt_args)
        chosen = prompt.select(self) if isinstance(prompt, SelectorPromptTemplate) else prompt
        return FilledMessages(messages, filled_from({**chosen.kwargs, **prompt_args}))

    # -- copies and dumps ------------------------------------------------------------------------------------

    @field_serializer("router")
    def _dump_router(self, router: Any) -> str | None:
        return str(router) if isinstance(router, (str, Path)) else None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield "candidates", list(self._fusion.pool.names)
        yield from super().__repr_args__()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _BUILT_FROM and getattr(self, "_fusion", None) is not None:
            raise ConfigError(
                f"{name} is fixed once the LLM is built: take a copy, llm.model_copy(update={{{name!r}: ...}})"
            )
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Any:
        """A copy that shares clients and what was learned. Where ``update`` touches what the core is built from, the
        copy has a core of its own, over the same candidates, fitted router, store, learning and budgets where these are
        not updated. (Learning is shared with the store and the encoder: with another of these it begins anew.)"""
        changed = dict(update or {})
        if _BUILT_FROM & changed.keys():
            changed.setdefault("candidates", tuple(self._fusion.pool))  # as they are now
        copied = super().model_copy(update=changed)
        Retries(copied.max_retries, copied.max_retry_wait)
        if _BUILT_FROM & changed.keys():
            router = copied.router if "router" in changed else self._fusion.routing_model or self.router
            store = copied.store if "store" in changed else self._fusion.store
            anew = {"learning", "store", "encoder"} & changed.keys()
            copied._fusion = copied._build(router, store, copied.learning if anew else self._fusion.learning)
            if not {"budgets", "store"} & changed.keys():
                copied._fusion.share_ledger(self._fusion)
        return copied

    def __copy__(self) -> EMAFusion:
        copied: EMAFusion = super().__copy__()
        copied._bound = BoundModels()  # each has its own callback manager, which these follow
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> EMAFusion:
        """A shallow copy: clients and what was learned are shared, not doubled."""
        return self.__copy__()

    def __getstate__(self) -> dict[Any, Any]:
        raise TypeError(
            "EMAFusion cannot be pickled: its candidates hold clients and API keys. Build it again where it is needed; "
            "router.json and the store carry what was learned"
        )
