"""Requests that turn out too long: whoever has no longer a window than the model that said so is not asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.exceptions import LangChainException

from emafusion.engine.retries import is_context_overflow
from emafusion.fusion import Fusion
from emafusion.types import Call

__all__ = ["TooLong", "Windows"]


class TooLong(LangChainException):
    """A candidate was left out: one with as long a window refused this very request for its length."""

    billed = False


class Windows:
    """What one request has shown of its own length; counts of tokens beforehand are estimates."""

    def __init__(self, fusion: Fusion) -> None:
        self._fusion = fusion
        self._exceeded = 0

    def note(self, call: Call, error: Exception) -> None:
        """Remember that ``call`` failed with ``error``, if that was for its length."""
        if call.prompt is None and is_context_overflow(error):
            self._exceeded = max(self._exceeded, self._window(call.candidate) or 0)

    def check(self, call: Call) -> None:
        """Raises :class:`TooLong` if a call of the caller's request can but fail as an earlier one did."""
        window = self._window(call.candidate)
        if call.prompt is None and window is not None and window <= self._exceeded:
            raise TooLong(
                f"the request exceeds a window of {self._exceeded} tokens, and {call.candidate!r} has {window}"
            )

    @contextmanager
    def noted(self, call: Call) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.note(call, error)
            raise

    def _window(self, name: str) -> int | None:
        return self._fusion.model(name).context_window
