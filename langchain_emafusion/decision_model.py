"""``EMAFusionDecisionModel``: answers LangChain's ``ModelRouterMiddleware``, on this machine, with no model called.

Needs ``langchain-core>=1.8`` (``langchain_core.decisions``); on earlier versions ``HAS_DECISIONS`` is False and making
one raises :class:`emafusion.errors.ConfigError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

from emafusion.errors import ConfigError
from langchain_emafusion.chat_model import ChatEMAFusion
from langchain_emafusion.router import EMAFusionRouter

__all__ = ["HAS_DECISIONS", "EMAFusionDecisionModel"]

decisions: Any
try:
    decisions = import_module("langchain_core.decisions")
except ImportError:
    decisions = None

HAS_DECISIONS = decisions is not None


def _chosen(llm: ChatEMAFusion, state: Any, labels: Iterable[str]) -> tuple[str, dict[str, float]]:
    """The candidate that would be asked first, and how likely each one is to answer well."""
    wanted = list(labels)
    unknown = [label for label in wanted if label not in llm.fusion.pool]
    if unknown:
        raise ConfigError(
            f"the choice {unknown[0]!r} is not a candidate of this router (those are: "
            f"{', '.join(llm.fusion.pool.names)}); name ModelRouterMiddleware's choices after its candidates"
        )
    explained = EMAFusionRouter(llm, output="decision").invoke(_messages(state))
    chances = {label: explained.forecast.of(label)["p_good"] for label in wanted}
    first = next((n for n in explained.first if n in chances), None)
    return first or max(chances, key=chances.__getitem__), chances


def _messages(state: Any) -> list[BaseMessage]:
    if isinstance(state, BaseMessage):
        return [state]
    if isinstance(state, (list, tuple)) and all(isinstance(m, BaseMessage) for m in state):
        return list(state)
    if isinstance(state, Mapping) and "messages" in state:
        return _messages(state["messages"])
    return [HumanMessage(state if isinstance(state, str) else str(state))]


if HAS_DECISIONS:

    class EMAFusionDecisionModel(decisions.BaseDecisionModel):  # type: ignore[misc]
        """Chooses among candidates as :class:`ChatEMAFusion` would choose whom to ask first.

        It answers ``Choice`` questions whose labels are names of candidates; instructions and criteria are not read,
        for the choice is the router's. ``confidence`` is the forecast probability that the chosen one answers well;
        ``probabilities`` are those of all labels, scaled to add up to 1, and the choice weighs them against prices.

        Parameters
        ----------
        candidates, **fields
            As for :class:`ChatEMAFusion`, or a :class:`ChatEMAFusion`.
        """

        llm: Any = None

        def __init__(self, candidates: Iterable[Any] | ChatEMAFusion, **fields: Any) -> None:
            llm = candidates if isinstance(candidates, ChatEMAFusion) else ChatEMAFusion(candidates, **fields)
            super().__init__(model="emafusion", llm=llm)

        @property
        def _provider(self) -> str:
            return "emafusion"

        def _classify(self, state: Any, questions: dict[str, Any]) -> Any:
            answers = {name: self._answer(state, question) for name, question in questions.items()}
            return decisions.ClassifierResponse(model=self.model, answers=answers)

        def _answer(self, state: Any, question: Any) -> Any:
            if not isinstance(question, decisions.Choice):
                raise ConfigError(f"a router answers Choice questions, not {type(question).__name__}")
            chosen, chances = _chosen(self.llm, state, question.criteria)
            total = sum(chances.values()) or 1.0
            shares = {label: chance / total for label, chance in chances.items()}
            return decisions.ChoiceAnswer(
                type="choice", choice=chosen, probabilities=shares, confidence=min(1.0, chances[chosen])
            )

else:

    class EMAFusionDecisionModel:  # type: ignore[no-redef]
        """Stands in on versions of langchain-core that have no decision models."""

        def __init__(self, *args: Any, **fields: Any) -> None:
            raise ConfigError("decision models need langchain-core>=1.8; use EMAFusionMiddleware instead")
