"""LangChain's own suites, for each way in which an answer can come about."""

from __future__ import annotations

from typing import Any

import pytest

from emafusion.policies.moves import Accept, Ask, Try
from tests.langchain.conformance import IntegrationSuite, UnitSuite

# Both are the client's own: a parsed object whose type its response model does not declare, and a file without a name.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.filterwarnings("ignore:OpenAI may require a filename"),
]


class TestUnit(UnitSuite):
    """Construction, binding, parameters."""


class TestDirect(IntegrationSuite):
    """One candidate is committed to, and streams live."""

    moves = (Try(("dear",), commit=True),)


class TestCascade(IntegrationSuite):
    """A draft is judged and rejected; the next candidate is committed to."""

    moves = (Try(("cheap",)), Ask(("dear",), "cheap"), Try(("dear",), commit=True))


class TestJudged(IntegrationSuite):
    """Two drafts at once, both judged; one is accepted and handed over in one piece."""

    moves = (Try(("cheap", "dear")), Ask(("cheap",), "dear"), Ask(("dear",), "cheap"), Accept("dear"))


class TestFailover(IntegrationSuite):
    """The first candidate fails at every request."""

    moves = (Try(("cheap",), commit=True), Try(("dear",), commit=True))

    @pytest.fixture(autouse=True)
    def _break_the_first(self, _serve: Any) -> None:
        from tests.loopback import LoopbackModel

        self.server.add(LoopbackModel("cheap", error_status=500))


class TestUnscripted(IntegrationSuite):
    """The router as it comes, with its own policy."""
