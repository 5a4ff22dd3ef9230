"""``EMAFusionRouter``: from an input to the candidate that would be asked, with no model called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import Runnable, RunnableConfig

from emafusion.explanation import Explanation
from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = ["EMAFusionRouter"]


class EMAFusionRouter(Runnable[LanguageModelInput, Any]):
    """Which candidate would be asked first.

    Parameters
    ----------
    candidates
        As for :class:`ChatEMAFusion`, or a :class:`ChatEMAFusion` whose choice is wanted.
    output
        ``"name"``: the candidate's name, to branch on; ``"decision"``: the whole
        :class:`emafusion.explanation.Explanation`.
    **fields
        As for :class:`ChatEMAFusion`.

    Examples
    --------
    >>> from langchain_core.language_models import FakeListChatModel
    >>> from emafusion import Candidate, Price
    >>> pool = [Candidate(FakeListChatModel(responses=["42"]), name="m", price=Price(input=1, output=2))]
    >>> EMAFusionRouter(pool).invoke("What is 6 times 7?")
    'm'
    """

    def __init__(
        self,
        candidates: Iterable[Any] | ChatEMAFusion,
        *,
        output: Literal["name", "decision"] = "name",
        **fields: Any,
    ) -> None:
        self.llm = candidates if isinstance(candidates, ChatEMAFusion) else ChatEMAFusion(candidates, **fields)
        self.output = output

    @property
    def OutputType(self) -> Any:  # noqa: N802
        return str if self.output == "name" else Explanation

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Nothing here waits for anything, so the asynchronous form is LangChain's own around this."""

        def route(input: LanguageModelInput) -> str | Explanation:
            explanation: Explanation = self.llm.explain(input, config, **kwargs)
            return explanation.first[0] if self.output == "name" else explanation

        return self._call_with_config(route, input, config)
