"""``EMAFusionMiddleware``: routing for ``create_agent``, anew for every model call of the agent's loop.

Needs the ``langchain`` package, so it is imported from here and not from ``langchain_emafusion`` itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.messages import AIMessage

from emafusion.judges.rules import rule_verdicts
from langchain_emafusion.chat_model import ChatEMAFusion
from langchain_emafusion.messages import core_messages
from langchain_emafusion.tools import tool_specs

__all__ = ["EMAFusionMiddleware"]


class EMAFusionMiddleware(AgentMiddleware[Any, Any]):
    """Has an agent's model calls answered by the candidates, whatever model the agent was created with.

    Parameters
    ----------
    candidates
        As for :class:`ChatEMAFusion`, or a :class:`ChatEMAFusion`.
    max_escalations
        How often, in one model call, an answer whose tool calls cannot be carried out (unknown tool, arguments that do
        not fit its schema, broken JSON) is replaced by that of the next dearer candidate. The router itself already
        counts such calls against an answer; this is for those that were accepted unseen.
    **fields
        As for :class:`ChatEMAFusion`; answers are not streamed live unless ``stream_mode`` says so, for what was
        streamed could not be replaced.

    Examples
    --------
    >>> from langchain.agents import create_agent
    >>> from langchain_core.language_models import FakeListChatModel
    >>> from emafusion import Candidate, Price
    >>> model = FakeListChatModel(responses=["42"])
    >>> routing = EMAFusionMiddleware([Candidate(model, name="m", price=Price(input=1, output=2))])
    >>> agent = create_agent(model, middleware=[routing])
    >>> agent.invoke({"messages": [("user", "What is 6 times 7?")]})["messages"][-1].text
    '42'
    """

    def __init__(self, candidates: Iterable[Any] | ChatEMAFusion, *, max_escalations: int = 1, **fields: Any) -> None:
        super().__init__()
        fields = {"stream_mode": "buffered", **fields}
        self.llm = candidates if isinstance(candidates, ChatEMAFusion) else ChatEMAFusion(candidates, **fields)
        self.max_escalations = max_escalations

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        routed = request.override(model=self.llm)
        response = handler(routed)
        for _ in range(self.max_escalations):
            dearer = self._dearer(request, response)
            if dearer is None:
                break
            response = handler(_pinned(routed, dearer))
        return response

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        routed = request.override(model=self.llm)
        response = await handler(routed)
        for _ in range(self.max_escalations):
            dearer = self._dearer(request, response)
            if dearer is None:
                break
            response = await handler(_pinned(routed, dearer))
        return response

    def _dearer(self, request: ModelRequest[Any], response: ModelResponse[Any]) -> str | None:
        """The candidate to ask instead; None where the answer will do, or nobody is left."""
        said = next((m for m in response.result if isinstance(m, AIMessage)), None)
        decision = (said.response_metadata if said is not None else {}).get("emafusion")
        if said is None or decision is None or not _is_broken(said, request):
            return None
        pool = self.llm.fusion.pool
        asked = {attempt["candidate"] for attempt in decision["attempts"]}
        bar = pool.price(decision["answered_by"]).output
        left = [n for n in pool.names if n not in asked and pool.price(n).output > bar]
        return min(left, key=lambda name: pool.price(name).output, default=None)


def _pinned(request: ModelRequest[Any], candidate: str) -> ModelRequest[Any]:
    return request.override(model_settings={**request.model_settings, "model": candidate})


def _is_broken(said: AIMessage, request: ModelRequest[Any]) -> bool:
    """Whether a tool call in ``said`` cannot be carried out."""
    if said.invalid_tool_calls:
        return True
    if not said.tool_calls or request.response_format is not None:  # its tools are not among the request's own
        return False
    (message,) = core_messages([said])
    found = rule_verdicts("", "", tools=tool_specs(request.tools), tool_calls=message.tool_calls)
    return any(finding.name == "tool_call_violation" for finding in found)
