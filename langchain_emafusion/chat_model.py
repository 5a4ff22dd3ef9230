"""``ChatEMAFusion``: a pool of chat models behind the interface of one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from pydantic import Field, PrivateAttr

from emafusion.config import Objective
from emafusion.engine.retries import Retries
from emafusion.errors import ConfigError
from emafusion.fusion import Fusion
from emafusion.steering import Steered
from emafusion.tokens import count_messages, count_tokens
from langchain_emafusion import batches, hooks, runs
from langchain_emafusion.identity import identity_of
from langchain_emafusion.messages import core_messages
from langchain_emafusion.profile import common_profile
from langchain_emafusion.rendering import as_chunk
from langchain_emafusion.request import Request
from langchain_emafusion.resolve import resolve
from langchain_emafusion.structured import StructuredEMAFusion
from langchain_emafusion.tools import tool_specs
from langchain_emafusion.transport import TracedTransport

__all__ = ["ChatEMAFusion"]


class ChatEMAFusion(Steered, BaseChatModel):
    """A chat model that asks, for each request, the candidate that is worth asking, and another if it is not enough.

    Parameters
    ----------
    candidates
        Chat models, strings ``"provider:model"``, or :class:`emafusion.Candidate` around either (for a name, a price
        in USD per million tokens, limits, abilities).
    objective
        What to spend or to keep: :class:`emafusion.Objective`; by default 99 % of the dearest candidate's quality at
        the least cost. A single call can have its own, as ``objective=...`` or, from outside a chain, as
        ``config={"configurable": {"emafusion_objective": ...}}``.
    router
        A fitted router, or the path of one that ``emafusion fit`` or :meth:`save_router` wrote.
    judges
        E.g. ``[LLMJudge("openai:gpt-4o-mini")]``; by default a judge drawn from the pool, asked only when its verdict
        is worth its cost; ``[]`` for none. Checks by rule and by agreement are always on.
    encoder
        Turns what is asked into a vector; by default one that ships with the package.
    store
        Where decisions, feedback and what was learned are kept: the path of an SQLite file, a database's URL, or a
        :class:`emafusion.store.Store` with options of one's own.
    learning
        True, or :class:`emafusion.Learning`: learn from every answer and from :meth:`feedback` while serving.
    stream_mode
        ``"auto"``: stream live when the answer will be accepted unseen, else in one piece once it is judged;
        ``"live"``: always live, never judged first; ``"buffered"``: always in one piece.
    abstain_below
        Confidence under which an answer is marked as not to be trusted (``["emafusion"]["abstained"]``); 0 never marks.
    slow_classifier, slow_weight
        A model, or a candidate's name, that labels what is asked before it is routed, and how much its labels count;
        a call more for every request, so none by default.
    budgets
        Hard limits, e.g. ``[Budget(5.0, per="key", window="day")]`` (:class:`emafusion.Budget`), kept in ``store``
        where there is one, for all processes that share it. The key of a request is ``budget_key=...`` in the call, or
        ``config={"configurable": {"emafusion_key": ...}}``, which chains hand on; a session is a ``thread_id``.
    max_retries, max_retry_wait
        How often a call that met a transient error (rate limit, server error, timeout, lost connection) is made anew
        before the next candidate is asked, and the seconds that it may spend waiting for that in all.
        Retries that a client makes by itself (``ChatOpenAI`` and ``ChatAnthropic`` do, twice) count as these: by
        default they leave none to the router. Give candidates ``max_retries=0`` to have it wait, and give up waiting
        for another candidate, by its own rules; candidates given as strings are made so.
    streaming
        Stream from the candidates even where ``invoke`` is called, for callbacks that listen to tokens.
    temperature, max_tokens, stop
        For every candidate that knows them, in place of its own; a call's arguments win.

    Raises
    ------
    emafusion.errors.ConfigError
        At construction: no candidates, two of one name, an unknown price, a string that names no model.
    emafusion.errors.BudgetExceeded
        When called: what is left of a budget pays for no candidate, or one with ``at_limit="raise"`` refused.
    emafusion.errors.NoCandidateFits
        When called: no candidate can take the request (length, images, tools).
    emafusion.errors.AllCandidatesFailed
        When called: every candidate that was asked raised; ``errors`` has each one's exception.

    Notes
    -----
    Every answer carries its decision in ``response_metadata["emafusion"]``: id, forecast, attempts, verdicts,
    confidence, cost and saving in USD, and the reason. ``usage_metadata`` is the answer's own; what rejected drafts
    and judges used is in the decision. In a trace a request is a chain run with an LLM run for every model called;
    ``generate`` and ``stream_events(version="v3")``, which LangChain traces itself, show one LLM run.

    ``model="..."`` in a call names the candidate that is to answer it.

    Examples
    --------
    >>> from langchain_core.language_models import FakeListChatModel
    >>> from emafusion import Candidate, Price
    >>> llm = ChatEMAFusion([Candidate(FakeListChatModel(responses=["42"]), name="m", price=Price(input=1, output=2))])
    >>> llm.invoke("What is 6 times 7?").text
    '42'
    """

    candidates: Sequence[Any] = Field(default=(), exclude=True)
    objective: Objective | None = None
    router: Any = Field(default=None, exclude=True)
    judges: Sequence[Any] | None = Field(default=None, exclude=True)
    encoder: Any = Field(default=None, exclude=True)
    store: Any = Field(default=None, exclude=True, repr=False)  # an address may hold a password
    learning: Any = Field(default=None, exclude=True)
    stream_mode: Literal["auto", "live", "buffered"] = "auto"
    abstain_below: float = 0.0
    slow_classifier: Any = Field(default=None, exclude=True)
    slow_weight: float = 0.5
    budgets: Any = Field(default=(), exclude=True)
    max_retries: int = 2
    max_retry_wait: float = 30.0
    streaming: bool = False
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | str | None = None

    fits: int = Field(default=0, exclude=True, repr=False)
    """How often :meth:`fit` was called; answers from before a fit are not served from a cache after it."""

    _fusion: Fusion = PrivateAttr()
    _retries: Retries = PrivateAttr()
    _identity: tuple[Any, dict[str, Any]] | None = PrivateAttr(default=None)
    """With the engine that it was made for."""
    _own_profile: bool = PrivateAttr(default=False)

    def __init__(self, candidates: Iterable[Any] = (), **fields: Any) -> None:
        super().__init__(**{"candidates": tuple(candidates), **fields})
        self._retries = Retries(self.max_retries, self.max_retry_wait)
        # Not in a validator: pydantic would wrap the core's errors in its own.
        self._fusion = Fusion(
            self.candidates,
            resolve=resolve,
            objective=self.objective,
            router=self.router,
            judges=self.judges,
            encoder=self.encoder,
            store=self.store,
            learning=self.learning,
            stream_mode=self.stream_mode,
            abstain_below=self.abstain_below,
            slow_classifier=self.slow_classifier,
            slow_weight=self.slow_weight,
            budgets=self.budgets,
        )
        self._own_profile = getattr(self, "profile", None) is not None
        self._derive_profile()

    def _derive_profile(self) -> None:
        if "profile" in type(self).model_fields and not self._own_profile:  # since langchain-core 1.1
            self.profile = common_profile(c.model for c in self._fusion.pool)  # type: ignore[assignment]

    @property
    def fusion(self) -> Fusion:
        """The core behind this model: pool, decisions, store, learning, budgets."""
        return self._fusion

    @property
    def retries(self) -> Retries:
        """How transient errors are met."""
        return self._retries

    # -- what is EMAFusion's own -------------------------------------------------------------------------------

    def explain(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """What would be asked first, and why, with no model called; ``str`` of it is in words."""
        request = self.request(input, config, **kwargs)
        return self._fusion.explain(request.query(), request.objective())

    def _pool_changed(self) -> None:
        self.candidates = tuple(self._fusion.pool)
        self._derive_profile()

    def _ask(self, text: str, name: str) -> AIMessage:
        return self.invoke(text, model=name)

    async def _aask(self, text: str, name: str) -> AIMessage:
        return await self.ainvoke(text, model=name)

    def fit(self, log: str | Path | Iterable[Mapping[str, Any]], **options: Any) -> Any:
        """Learn from an outcome log; returns the report of the fit."""
        report = self._fusion.fit(log, **options)
        self.fits += 1
        return report

    def save_router(self, path: str | Path) -> None:
        """Write what was learned to a file that ``router=`` takes."""
        self._fusion.save_router(path)

    # -- calls -------------------------------------------------------------------------------------------------

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        request = self.request(input, config, stop=stop, **kwargs)
        message: AIMessage = runs.answer(self, request, self._transport(request))
        return message

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        request = self.request(input, config, stop=stop, **kwargs)
        message: AIMessage = await runs.aanswer(self, request, self._transport(request))
        return message

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        if not self._should_stream(async_api=False, **{**kwargs, "stream": True}):
            yield as_chunk(self.invoke(input, config, stop=stop, **kwargs))
            return
        request = self.request(input, config, stop=stop, **kwargs)
        yield from runs.stream(self, request, self._transport(request))

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        if not self._should_stream(async_api=True, **{**kwargs, "stream": True}):
            yield as_chunk(await self.ainvoke(input, config, stop=stop, **kwargs))
            return
        request = self.request(input, config, stop=stop, **kwargs)
        async with aclosing(cast(Any, runs.astream(self, request, self._transport(request)))) as chunks:
            async for chunk in chunks:
                yield chunk

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        budget: float | None = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer many inputs, in parallel.

        Parameters
        ----------
        budget
            USD for all of them together, never exceeded. Each input is then sent to one candidate, so that the expected
            quality of all is highest; what is left is assigned anew as answers come in.

        Raises
        ------
        emafusion.errors.BudgetExceeded
            If an input finds no candidate that what is left of the budget pays for; ``return_exceptions`` returns it in
            its place.
        """
        if budget is None:
            return super().batch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        return batches.batch(self, inputs, config, budget, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        budget: float | None = None,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """:meth:`batch` for asyncio."""
        if budget is None:
            return await super().abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)
        return await batches.abatch(self, inputs, config, budget, return_exceptions=return_exceptions, **kwargs)

    def request(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        schema: Mapping[str, Any] | None = None,
        tracing: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Request:
        """What a call asks, as the parts of this package pass it on."""
        if stop is None and self.stop is not None:
            stop = [self.stop] if isinstance(self.stop, str) else self.stop
        defaults = {k: v for k in ("temperature", "max_tokens") if (v := getattr(self, k)) is not None}
        return Request(
            self._convert_input(input).to_messages(),
            stop=stop,
            only=self._pinned(kwargs.pop("model", None)),
            wanted=kwargs.pop("objective", None),
            budget_key=kwargs.pop("budget_key", None),
            within=kwargs.pop("within", None),
            arguments=kwargs,
            config=ensure_config(config),
            schema=schema,
            tracing=tracing or {},
            defaults=defaults,
        )

    def _pinned(self, model: Any) -> tuple[str, ...] | None:
        """``model=`` in a call names the candidate that is to answer."""
        if model is None:
            return None
        if model not in self._fusion.pool:
            names = ", ".join(self._fusion.pool.names)
            raise ConfigError(f"model={model!r} is not a candidate of this router (those are: {names})")
        return (str(model),)

    def streams_inside(self, request: Request) -> bool:
        """Whether ``invoke`` is to stream from the candidate (``streaming=True``, or ``stream=True`` in the call)."""
        return self._should_stream(async_api=False, **request.arguments)

    def _transport(self, request: Request) -> TracedTransport:
        silent = not self._should_stream(async_api=False, **{"stream": True, **request.arguments})
        blocks = self.output_version == "v1"
        return TracedTransport(self._fusion, request, retries=self.retries, silent=silent, blocks=blocks)

    # -- below LangChain's own runs: generate, v3 events ---------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return hooks.generate(self._fusion, self.request(messages, stop=stop, **kwargs), self.retries)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await hooks.agenerate(self._fusion, self.request(messages, stop=stop, **kwargs), self.retries)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in hooks.stream(self._fusion, self.request(messages, stop=stop, **kwargs), self.retries):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = self.request(messages, stop=stop, **kwargs)
        async with aclosing(cast(Any, hooks.astream(self._fusion, request, self.retries))) as chunks:
            async for chunk in chunks:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    # -- tools and structured output ---------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; each candidate that is asked is given them in its own client's terms."""
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        if strict is not None:
            kwargs["strict"] = strict
        return self.bind(tools=tool_specs(tools, strict), **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type | None = None, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers as instances of ``schema``: routed first, then asked for in the candidate's own way.

        ``method`` and ``strict`` are passed to candidates that know them. An answer that does not fit the schema
        counts against its author.
        """
        return StructuredEMAFusion(self, schema, include_raw=include_raw, options=kwargs)

    # -- what LangChain asks of a model ------------------------------------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "emafusion"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        engine = self._fusion.engine  # another one after a change of the pool, a fit, or a promotion
        if self._identity is None or self._identity[0] is not engine:
            self._identity = engine, identity_of(self)
        return self._identity[1]

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        name = str(kwargs.get("model") or "emafusion")
        params = LangSmithParams(ls_provider="emafusion", ls_model_name=name, ls_model_type="chat")
        if self.temperature is not None:
            params["ls_temperature"] = self.temperature
        if self.max_tokens is not None:
            params["ls_max_tokens"] = self.max_tokens
        if stop := stop or ([self.stop] if isinstance(self.stop, str) else self.stop):
            params["ls_stop"] = stop
        return params

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return False

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Candidates by name only: their own repr shows headers and addresses.
        if self.__pydantic_private__ and "_fusion" in self.__pydantic_private__:
            yield "candidates", list(self._fusion.pool.names)
        for name in ("objective", "stream_mode"):
            yield name, getattr(self, name)

    def get_num_tokens(self, text: str) -> int:
        """Tokens of ``text``, counted without a network (an estimate where no tokenizer is installed)."""
        return len(self.custom_get_token_ids(text)) if self.custom_get_token_ids else count_tokens(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Tokens of a request, counted without a network; images and files at a flat rate."""
        return count_messages(core_messages(messages), tool_specs(tools or (), None))

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids, where ``custom_get_token_ids`` gives them: the candidates share no vocabulary.

        Raises
        ------
        NotImplementedError
            If there is no ``custom_get_token_ids``.
        """
        if self.custom_get_token_ids is None:
            raise NotImplementedError(
                "candidates differ in their vocabularies, so there are no common token ids: use get_num_tokens, "
                "or construct ChatEMAFusion(..., custom_get_token_ids=...)"
            )
        return self.custom_get_token_ids(text)
