"""``FeedbackCallback``: from a trace's runs to the decisions that are meant, and what came after an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from pydantic import BaseModel

from emafusion.attribution import Attribution
from emafusion.errors import ConfigError

if TYPE_CHECKING:
    from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = ["FeedbackCallback"]

ROLE_TAG = "emafusion:"
"""Beginning of the tags of the calls that a request makes."""


class FeedbackCallback(BaseCallbackHandler):
    """Tells a :class:`ChatEMAFusion` what became of its answers; pass it in ``config={"callbacks": [...]}``.

    - A step that fails on an answer (``OutputParserException``, pydantic's ``ValidationError``, an error of JSON)
      counts against it, once: the signal "schema_failure" (:meth:`ChatEMAFusion.signal`). A parser that makes an object
      of an answer counts for it. Which answer it was is told by the message that the step was given; where it was given
      something else, it is the last answer before it in the same chain. What fails within a request (drafts, structured
      output) is known to the router's judges already and counts no more here, and tools are not looked at.
    - :meth:`create_feedback` takes a run's id, as LangSmith's client does.

    One callback serves any number of calls, threads and event loops. It remembers the last 16,384 runs of this process;
    where feedback comes later than that, or to another process, keep the decision's id instead
    (``response_metadata["emafusion"]["id"]``).

    Parameters
    ----------
    llm
        The model whose answers are meant; other models' in the same trace are left alone.

    Examples
    --------
    >>> from langchain_core.language_models import FakeListChatModel
    >>> from emafusion import Candidate, Price
    >>> from langchain_emafusion import ChatEMAFusion
    >>> llm = ChatEMAFusion([Candidate(FakeListChatModel(responses=["42"]), name="m", price=Price(input=1, output=2))])
    >>> told, run = FeedbackCallback(llm), UUID(int=7)
    >>> answer = llm.invoke("What is 6 times 7?", {"callbacks": [told], "run_id": run})
    >>> told.create_feedback(run, "user_score", score=True) == answer.response_metadata["emafusion"]["id"]
    True
    """

    def __init__(self, llm: ChatEMAFusion) -> None:
        self._trace = Attribution(llm.fusion, (OutputParserException,))

    def create_feedback(
        self,
        run_id: UUID | str | None = None,
        key: str = "unnamed",
        *,
        score: float | bool | None = None,
        value: Any = None,
        comment: str | None = None,
        feedback_id: UUID | str | None = None,
        trace_id: UUID | str | None = None,
        **unused: Any,
    ) -> str:
        """Feedback on the answer of a run, with the arguments of ``langsmith.Client.create_feedback``.

        Parameters
        ----------
        run_id
            Of the model's run, or of any run above it: then it is about the last answer below. A decision's id, too.
        key
            What the feedback is called; under one key the last word on a decision counts.
        score
            A bool is thumbs, a number must lie in [0, 1].
        value
            Taken where there is no score. Under the keys "ground_truth", "reference" and "truth" it is the true answer,
            by which every candidate's answer is graded; else a bool or a number, as for ``score``. (Under "correctness"
            a text is a verdict's name to LangSmith, and no answer: give the score.)
        feedback_id
            Identity of this piece of feedback; the same one again replaces it. By default the decision and ``key``.
        trace_id
            Stands in for a missing ``run_id``.
        comment, **unused
            What LangSmith takes besides; nothing is learned from it.

        Returns
        -------
        str
            Id of the decision.

        Raises
        ------
        emafusion.errors.ConfigError
            If the run is unknown, or what is said tells nothing of the answer.
        """
        named = trace_id if run_id is None else run_id
        if named is None:
            raise ConfigError("create_feedback: say which run is meant, run_id=...")
        return self._trace.create_feedback(named, key, score, value, feedback_id)

    # -- what the tracing of this package tells ----------------------------------------------------------------

    def on_decision(self, decision_id: str, *, run_id: UUID, parent_run_id: UUID | None) -> None:
        """A request of ours was answered; its run is about to end."""
        self._trace.decided(str(run_id), decision_id, _id(parent_run_id))

    # -- what LangChain tells ----------------------------------------------------------------------------------

    @property
    def ignore_chat_model(self) -> bool:
        """Models' runs are known by their end."""
        return True

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        run_type: str | None = None,
        **kwargs: Any,
    ) -> None:
        inside = any(tag.startswith(ROLE_TAG) for tag in tags or ())
        # What a step that transforms a stream is given is not known when it begins.
        streamed = isinstance(inputs, Mapping) and inputs.get("input") == "" and len(inputs) == 1
        self._trace.began(
            str(run_id),
            _id(parent_run_id),
            inside=inside,
            parses=run_type == "parser",
            streamed=streamed,
            given=_decision_of(inputs),
        )

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._trace.ended(str(run_id), parsed=isinstance(outputs, (Mapping, BaseModel)))

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        self._trace.failed(str(run_id), error)

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        self._trace.began(str(run_id), _id(parent_run_id))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self._trace.ended(str(run_id))

    def on_tool_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """What a tool raises may be about anything that it read."""
        self._trace.failed_inside(_id(parent_run_id), error)
        self._trace.ended(str(run_id))

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """``generate`` and v3 events open no run of ours; and the others' answers are to be told from ours."""
        for generations in response.generations:
            for generation in generations:
                decision = _decision_of(generation.message) if isinstance(generation, ChatGeneration) else None
                if decision:
                    self._trace.decided(str(run_id), decision, _id(parent_run_id))
                else:
                    self._trace.another_answered(_id(parent_run_id))

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        self._trace.failed_inside(_id(parent_run_id), error)


def _id(run: UUID | None) -> str | None:
    return None if run is None else str(run)


def _decision_of(message: Any) -> str | None:
    """Id of the decision that an answer carries; "" for another model's answer, None for what is no answer."""
    if not isinstance(message, AIMessage):
        return None
    told = message.response_metadata.get("emafusion")
    return str(told.get("id", "")) if isinstance(told, Mapping) else ""
