"""``SpanFeedback``: from the framework's spans to the decisions that are meant, and what came after an answer."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.base import BaseEvent
from llama_index.core.instrumentation.span import BaseSpan
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.output_parsers.base import OutputParserException
from llama_index.core.types import BaseOutputParser, BasePydanticProgram

from emafusion.attribution import Attribution
from emafusion.recent import Recent
from emafusion.steering import Steered
from llamaindex_emafusion.events import EMAFusionDecisionEvent
from llamaindex_emafusion.messages import STAMP

if TYPE_CHECKING:
    from llamaindex_emafusion.llm import EMAFusion

__all__ = ["SpanFeedback"]

REMEMBERED = 4096
"""Answers that are known by their text."""
REQUESTS = (
    "chat",
    "stream_chat",
    "achat",
    "astream_chat",
    "complete",
    "stream_complete",
    "acomplete",
    "astream_complete",
)
"""Methods of an LLM that end in a call of its provider: what fails within is not due to what came after."""
PREDICTIONS = ("structured_predict", "astructured_predict")


class SpanFeedback:
    """Tells an :class:`EMAFusion` what became of its answers, from the spans of LlamaIndex's instrumentation.

    - An output parser, a program or a structured prediction that fails on an answer counts against it, once: the signal
      "schema_failure" (:meth:`EMAFusion.signal`). So does one that succeeds count for it. Any other span within which
      an answer was asked for does if what ends it is pydantic's ``ValidationError``, an error of JSON or LlamaIndex's
      ``OutputParserException``.
    - :meth:`create_feedback` takes the id of a span or of a decision.

    It listens from :meth:`attach` to :meth:`detach`, or as a context manager, at the root dispatcher. It remembers the
    last 16,384 spans of this process; where feedback comes later than that, or to another process, keep the decision's
    id instead (``response.additional_kwargs["emafusion"]["id"]``).

    Parameters
    ----------
    llm
        The LLM whose answers are meant; others' within the same spans are left alone.

    Examples
    --------
    >>> from llama_index.core.llms import MockLLM
    >>> from emafusion import Candidate, Price
    >>> from llamaindex_emafusion import EMAFusion
    >>> llm = EMAFusion([Candidate(MockLLM(), name="mock", price=Price(input=1, output=2))])
    >>> with SpanFeedback(llm) as told:
    ...     decision = llm.complete("Hello").additional_kwargs["emafusion"]["id"]
    ...     told.create_feedback(decision, "user_score", score=True) == decision
    True
    """

    def __init__(self, llm: EMAFusion) -> None:
        self._trace = Attribution(llm.fusion, (OutputParserException,))
        self._events, self._spans = _Decisions(self._trace), _Spans(self._trace)

    def attach(self) -> SpanFeedback:
        """Begin to listen; once more does nothing."""
        root = get_dispatcher()
        if not any(h is self._events for h in root.event_handlers):
            root.add_event_handler(self._events)
            root.add_span_handler(self._spans)
        return self

    def detach(self) -> None:
        """Listen no longer; feedback on what was seen can still be told."""
        root = get_dispatcher()
        root.event_handlers = [h for h in root.event_handlers if h is not self._events]
        root.span_handlers = [h for h in root.span_handlers if h is not self._spans]

    def __enter__(self) -> SpanFeedback:
        return self.attach()

    def __exit__(self, *raised: object) -> None:
        self.detach()

    def create_feedback(
        self,
        id: str,
        key: str = "unnamed",
        *,
        score: float | bool | None = None,
        value: Any = None,
        feedback_id: str | None = None,
    ) -> str:
        """Feedback on the answer of a span.

        Parameters
        ----------
        id
            Of the request's span (``EMAFusion.chat-...``), of any span above it (then it is about the last answer
            within), or of a decision.
        key
            What the feedback is called; under one key the last word on a decision counts.
        score
            A bool is thumbs, a number must lie in [0, 1].
        value
            Taken where there is no score. Under the keys "ground_truth", "reference" and "truth" it is the true answer,
            by which every candidate's answer is graded; else a bool or a number, as for ``score``.
        feedback_id
            Identity of this piece of feedback; the same one again replaces it. By default the decision and ``key``.

        Returns
        -------
        str
            Id of the decision.

        Raises
        ------
        emafusion.errors.ConfigError
            If the span is unknown, or what is said tells nothing of the answer.
        """
        return self._trace.create_feedback(id, key, score, value, feedback_id)


class _Decisions(BaseEventHandler):
    """Hears which span ended in which decision."""

    _trace: Attribution

    def __init__(self, trace: Attribution) -> None:
        super().__init__()
        self._trace = trace

    @classmethod
    def class_name(cls) -> str:
        return "EMAFusionDecisions"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        if isinstance(event, EMAFusionDecisionEvent) and event.span_id is not None:
            self._trace.decided(event.span_id, event.decision_id)


class _Spans(BaseSpanHandler[BaseSpan]):
    """Follows the spans; keeps none itself.

    A program's asynchronous call is no span, so that the parser's has none above it: then the text that it is given
    tells whose answer it is.
    """

    _trace: Attribution
    _answers: Recent[str]
    """Digest of an answer's text -> decision."""

    def __init__(self, trace: Attribution) -> None:
        super().__init__()
        self._trace, self._answers = trace, Recent[str](REMEMBERED)

    @classmethod
    def class_name(cls) -> str:
        return "EMAFusionSpans"

    def span_enter(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        parent_id: str | None = None,
        tags: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        calls = isinstance(instance, BaseLLM) and _method(id_) in REQUESTS
        parses = _parses(id_, instance)
        self._trace.began(
            id_,
            parent_id,
            inside=calls and isinstance(instance, Steered),
            answers=calls,
            parses=parses,
            given=self._answers.get(_digest(_text_given(bound_args))) if parses and parent_id is None else None,
        )

    def span_exit(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        result: Any | None = None,
        **kwargs: Any,
    ) -> None:
        self._trace.ended(id_, parsed=not isinstance(result, str))
        if isinstance(result, (ChatResponse, CompletionResponse)):
            told = result.additional_kwargs.get(STAMP, {})
            text = result.text if isinstance(result, CompletionResponse) else result.message.content
            if "id" in told:
                self._answers.put(_digest(text or ""), told["id"])

    def span_drop(
        self,
        id_: str,
        bound_args: inspect.BoundArguments,
        instance: Any | None = None,
        err: BaseException | None = None,
        **kwargs: Any,
    ) -> None:
        if err is None:
            self._trace.ended(id_, parsed=False)
        else:
            unusable = _parses(id_, instance) and isinstance(err, (ValueError, TypeError, AssertionError))
            self._trace.failed(id_, err, unusable=unusable)

    # What the base class is made of, which keeps every span.

    def new_span(self, *args: Any, **kwargs: Any) -> None:
        return None

    def prepare_to_exit_span(self, *args: Any, **kwargs: Any) -> None:
        return None

    def prepare_to_drop_span(self, *args: Any, **kwargs: Any) -> None:
        return None


def _text_given(bound_args: inspect.BoundArguments) -> str:
    return next((a for a in bound_args.arguments.values() if isinstance(a, str)), "")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=12).hexdigest()


def _method(span_id: str) -> str:
    """``chat`` of ``EMAFusion.chat-0b6c...``."""
    return span_id.partition("-")[0].rpartition(".")[2]


def _parses(span_id: str, instance: Any) -> bool:
    """Whether a span is that of something which makes an object of an answer."""
    method = _method(span_id)
    if isinstance(instance, BaseOutputParser):
        return method == "parse"
    return isinstance(instance, BasePydanticProgram) or (isinstance(instance, BaseLLM) and method in PREDICTIONS)
