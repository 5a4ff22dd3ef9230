"""One request: the query that it makes, the transport that carries it, and its four ways to an answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse

from emafusion.asked import asked_text, build_query
from emafusion.config import Objective
from emafusion.engine.drivers import Steps, arun, astream, run, stream
from emafusion.errors import AllCandidatesFailed
from emafusion.types import Query, Result
from llamaindex_emafusion import replies
from llamaindex_emafusion.asked import Filled, split_turns
from llamaindex_emafusion.events import announce
from llamaindex_emafusion.messages import to_turns
from llamaindex_emafusion.tools import ToolOffer
from llamaindex_emafusion.transport import ModelTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emafusion.budgets.purse import Allowance
    from emafusion.fusion import Fusion

__all__ = ["Request", "query_from"]


def query_from(
    messages: Sequence[ChatMessage],
    arguments: dict[str, Any],
    *,
    filled: Filled | None = None,
    offer: ToolOffer | None = None,
    thread: str | None = None,
) -> Query:
    """What is asked: routed on the question, sized by the whole prompt, with the retrieved context set apart."""
    turns = to_turns(messages)
    questions, context = split_turns(turns, filled)
    query = build_query(
        turns,
        tools=offer.specs() if offer else arguments.get("tools") or (),
        schema=_schema_in(arguments.get("response_format")),
        context=context,
        thread=thread,
        max_output_tokens=arguments.get("max_tokens"),
    )
    return replace(query, text=asked_text(questions))


def _schema_in(response_format: Any) -> dict[str, Any] | None:
    """The JSON schema of an OpenAI-style ``response_format``; ``{}`` where any JSON will do."""
    if not isinstance(response_format, dict) or response_format.get("type") == "text":
        return None
    schema = response_format.get("json_schema", {}).get("schema", {})
    return schema if isinstance(schema, dict) else {}


@dataclass(frozen=True, slots=True)
class Request:
    """A request under way. Made when the caller's method is entered; nothing is called before it is run."""

    fusion: Fusion
    query: Query
    transport: ModelTransport
    objective: Objective | None = None
    only: tuple[str, ...] | None = None
    key: str | None = None
    """Whose request it is, for budgets per key."""
    within: Allowance | None = None
    """The budget of the batch that it belongs to."""

    def run(self) -> ChatResponse:
        with _only_failure_as_cause():
            return self._answer(run(self._steps(), self.transport))

    async def arun(self) -> ChatResponse:
        with _only_failure_as_cause():
            return self._answer(await arun(self._steps(), self.transport))

    def stream(self) -> Generator[ChatResponse, None, None]:
        items = cast("Generator[Any, None, None]", stream(self._steps(), self.transport))
        with _only_failure_as_cause(), closing(items):
            for item in items:
                yield self._closing(item) if isinstance(item, Result) else item

    async def astream(self) -> AsyncGenerator[ChatResponse, None]:
        items = cast("AsyncGenerator[Any, None]", astream(self._steps(), self.transport))
        with _only_failure_as_cause():
            async with aclosing(items):
                async for item in items:
                    yield self._closing(item) if isinstance(item, Result) else item

    def _steps(self) -> Steps:
        return self.fusion.steps(self.query, self.objective, self.only, key=self.key, within=self.within)

    def _answer(self, result: Result) -> ChatResponse:
        self._record(result)
        return replies.answered(result)

    def _closing(self, result: Result) -> ChatResponse:
        self._record(result)
        return replies.closing(result)

    def _record(self, result: Result) -> None:
        self.fusion.finish(self.query, result)
        announce(result.decision, self.transport.span_id)


@contextmanager
def _only_failure_as_cause() -> Iterator[None]:
    """Where a single candidate was asked, its own error explains the failure best."""
    try:
        yield
    except AllCandidatesFailed as failed:
        if len(failed.errors) == 1:
            raise failed from next(iter(failed.errors.values()))
        raise
