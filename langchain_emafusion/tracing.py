"""The story of a request as a tracer tells it.

    ChatEMAFusion                 a chain run
    ├── draft: cheap              an LLM run, hidden from consumers of streams
    ├── judge: llm:mini           hidden as well
    └── answer: dear              an LLM run that streams to the consumer as it is written

Hidden runs are seen by recorders (tracers) alone. Consumers, which is every other handler (those behind
``astream_events`` and LangGraph's streams, those that queue tokens or count usage), see one LLM run a request, as they
would of a plain model: the answer's. Where it comes from a hidden draft, :func:`show` and :func:`ashow` replay it to
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import (
    AsyncCallbackHandler,
    AsyncCallbackManager,
    AsyncCallbackManagerForChainRun,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManager,
    CallbackManagerForChainRun,
    StreamingStdOutCallbackHandler,
)
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.context import _configure_hooks

from emafusion.types import Call
from langchain_emafusion.feedback import FeedbackCallback
from langchain_emafusion.rendering import as_chunk
from langchain_emafusion.request import Request

try:  # newer versions only
    from langchain_core.language_models._compat_bridge import message_to_events
    from langchain_core.tracers._streaming import _V2StreamingCallbackHandler
except ImportError:  # pragma: no cover
    message_to_events = None  # type: ignore[assignment]
    _V2StreamingCallbackHandler = None  # type: ignore[assignment, misc]

if TYPE_CHECKING:
    from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = [
    "abegin",
    "ashow",
    "begin",
    "call_config",
    "is_recorder",
    "is_streaming",
    "muted",
    "show",
    "streams_to",
    "tell",
]

HIDDEN_TAG = "nostream"
"""LangGraph's own tag for model calls that its streams leave out."""


def begin(llm: ChatEMAFusion, request: Request) -> CallbackManagerForChainRun:
    """Open the request's chain run."""
    config = request.config
    manager: CallbackManager = CallbackManager.configure(
        config.get("callbacks"), None, False, config.get("tags"), None, config.get("metadata"), None
    )
    _inherit(manager, llm)
    name, run_id = request.run_name or llm.get_name(), config.get("run_id")
    return manager.on_chain_start(None, {"messages": list(request.messages)}, name=name, run_id=run_id)


async def abegin(llm: ChatEMAFusion, request: Request) -> AsyncCallbackManagerForChainRun:
    """:func:`begin` for asyncio."""
    config = request.config
    manager: AsyncCallbackManager = AsyncCallbackManager.configure(
        config.get("callbacks"), None, False, config.get("tags"), None, config.get("metadata"), None
    )
    _inherit(manager, llm)
    name, run_id = request.run_name or llm.get_name(), config.get("run_id")
    return await manager.on_chain_start(None, {"messages": list(request.messages)}, name=name, run_id=run_id)


def _inherit(manager: BaseCallbackManager, llm: ChatEMAFusion) -> None:
    """Constructor callbacks, tags and metadata reach the nested LLM runs: there a plain model would show them."""
    own = llm.callbacks
    for handler in own.handlers if isinstance(own, BaseCallbackManager) else own or ():
        manager.add_handler(handler)
    manager.add_tags(llm.tags or [])
    manager.add_metadata(llm.metadata or {})


def tell(run: CallbackManagerForChainRun | AsyncCallbackManagerForChainRun, answer: AIMessage) -> None:
    """Tell those who follow decisions which one ``run`` ended in; what it hands over need not say it."""
    for handler in run.handlers:
        if isinstance(handler, FeedbackCallback):
            decision_id = answer.response_metadata["emafusion"]["id"]
            handler.on_decision(decision_id, run_id=run.run_id, parent_run_id=run.parent_run_id)


def is_streaming(handler: BaseCallbackHandler) -> bool:
    """Whether ``handler`` feeds a stream, and so makes LangChain stream even where ``invoke`` was called."""
    if isinstance(handler, _StreamingCallbackHandler):
        return True
    return _V2StreamingCallbackHandler is not None and isinstance(handler, _V2StreamingCallbackHandler)


def is_recorder(handler: BaseCallbackHandler) -> bool:
    """Whether ``handler`` records the whole story, rather than handing on what a model says.

    A tracer follows chains as well as models; a handler that does not cannot tell a draft from an answer.
    """
    if is_streaming(handler) or isinstance(handler, StreamingStdOutCallbackHandler):
        return False
    return isinstance(handler, BaseTracer) or _overrides(handler, "on_chain_start")


def _overrides(handler: BaseCallbackHandler, method: str) -> bool:
    own = getattr(type(handler), method, None)
    return own is not getattr(BaseCallbackHandler, method) and own is not getattr(AsyncCallbackHandler, method)


def streams_to(run: CallbackManagerForChainRun | AsyncCallbackManagerForChainRun) -> bool:
    """Whether a consumer reads a stream of the runs below ``run``."""
    return any(is_streaming(h) for h in run.inheritable_handlers)


def call_config(
    run: CallbackManagerForChainRun | AsyncCallbackManagerForChainRun,
    call: Call,
    *,
    hidden: bool,
    run_name: str | None = None,
    watch: BaseCallbackHandler | None = None,
) -> RunnableConfig:
    """Config for one nested call; ``watch`` is a handler that listens to this call alone."""
    child = run.get_child()
    if hidden:
        _keep(child, is_recorder)
    if watch is not None:
        child.add_handler(watch)
    if call.purpose == "draft":
        # A consumer that filters events by the name it gave must find the answer under that name.
        name = f"draft: {call.candidate}" if hidden else run_name or f"answer: {call.candidate}"
    else:
        name = f"{call.purpose}: {call.judge or call.candidate}"
    role = "answer" if call.purpose == "draft" and not hidden else call.purpose
    tags = [f"emafusion:{role}", *([HIDDEN_TAG] if hidden else [])]
    return RunnableConfig(callbacks=child, run_name=name, tags=tags)


@contextmanager
def muted(hidden: bool) -> Iterator[None]:
    """While a hidden call is made, keep LangChain from adding the consumers that a context announces.

    ``get_usage_metadata_callback()`` and its like are looked up whenever a run begins.
    """
    tokens = []
    for var, *_ in _configure_hooks if hidden else ():
        handler = var.get()
        if handler is not None and not is_recorder(handler):
            tokens.append((var, var.set(None)))
    try:
        yield
    finally:
        for var, token in tokens:
            var.reset(token)


def _keep(manager: BaseCallbackManager, wanted: Callable[[BaseCallbackHandler], bool]) -> None:
    manager.handlers = [h for h in manager.handlers if wanted(h)]
    manager.inheritable_handlers = [h for h in manager.inheritable_handlers if wanted(h)]


def _listens(handler: BaseCallbackHandler) -> bool:
    return not is_streaming(handler) and not is_recorder(handler)


def show(
    run: CallbackManagerForChainRun, request: Request, answer: AIMessage, model: Any, *, tokens: bool, streaming: bool
) -> None:
    """Replay an answer that came from a hidden draft to the consumers, who did not see it.

    Parameters
    ----------
    model
        The chat model that wrote it.
    tokens
        False: only the end is told (``disable_streaming``).
    streaming
        Whether the caller streams. If not, handlers that do not themselves ask for a stream are only told the end.
    """
    for wanted, in_tokens in ((is_streaming, tokens), (_listens, tokens and streaming)):
        if not any(map(wanted, run.inheritable_handlers)):
            continue
        child = run.get_child("emafusion:answer")
        _keep(child, wanted)
        child.add_metadata(_metadata(model, request), inherit=False)
        (llm_run,) = child.on_chat_model_start({}, [list(request.messages)], **_start(request, answer))
        if in_tokens:
            llm_run.on_llm_new_token(str(answer.text), chunk=ChatGenerationChunk(message=as_chunk(answer)))
        for event in _events(child, answer):
            llm_run.on_stream_event(event)
        llm_run.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]))


async def ashow(
    run: AsyncCallbackManagerForChainRun,
    request: Request,
    answer: AIMessage,
    model: Any,
    *,
    tokens: bool,
    streaming: bool,
) -> None:
    """:func:`show` for asyncio."""
    for wanted, in_tokens in ((is_streaming, tokens), (_listens, tokens and streaming)):
        if not any(map(wanted, run.inheritable_handlers)):
            continue
        child = run.get_child("emafusion:answer")
        _keep(child, wanted)
        child.add_metadata(_metadata(model, request), inherit=False)
        (llm_run,) = await child.on_chat_model_start({}, [list(request.messages)], **_start(request, answer))
        if in_tokens:
            await llm_run.on_llm_new_token(str(answer.text), chunk=ChatGenerationChunk(message=as_chunk(answer)))
        for event in _events(child, answer):
            await llm_run.on_stream_event(event)
        await llm_run.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]))


def _metadata(model: Any, request: Request) -> dict[str, Any]:
    return dict(model._get_ls_params(stop=request.stop))


def _start(request: Request, answer: AIMessage) -> dict[str, Any]:
    """What a client tells when it starts a run."""
    answered_by = answer.response_metadata["emafusion"]["answered_by"]
    options = {"stop": request.stop, **request.tracing}
    parameters = {"model": answered_by, "stop": request.stop, **request.arguments}
    name = request.run_name or f"answer: {answered_by}"
    return {"name": name, "invocation_params": parameters, "options": options, "batch_size": 1}


def _events(manager: BaseCallbackManager, answer: AIMessage) -> list[Any]:
    """The answer as content-block events, where a handler of the newer protocol listens."""
    if _V2StreamingCallbackHandler is None or not any(
        isinstance(h, _V2StreamingCallbackHandler) for h in manager.handlers
    ):
        return []
    return list(message_to_events(answer, message_id=answer.id))
