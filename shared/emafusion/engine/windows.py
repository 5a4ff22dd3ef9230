"""Requests that turn out too long: whoever has no longer a window than the model that said so is not asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from emafusion.config import Candidate
from emafusion.engine.retries import is_context_overflow
from emafusion.errors import EMAFusionError
from emafusion.types import Call

__all__ = ["TooLong", "Windows"]


class TooLong(EMAFusionError):
    """A candidate was left out: one with as long a window refused this very request for its length."""

    billed = False


class Windows:
    """What one request has shown of its own length; counts of tokens beforehand are estimates.

    Parameters
    ----------
    model
        The candidate of a name.
    """

    def __init__(self, model: Callable[[str], Candidate]) -> None:
        self._model = model
        self._exceeded = 0

    def note(self, call: Call, error: Exception) -> None:
        """Remember that ``call`` failed with ``error``, if that was for its length."""
        if call.prompt is None and is_context_overflow(error):
            self._exceeded = max(self._exceeded, self._model(call.candidate).context_window or 0)

    def check(self, call: Call) -> None:
        """Raises :class:`TooLong` if a call of the caller's request can but fail as an earlier one did."""
        if call.prompt is not None or not self._exceeded:
            return
        window = self._model(call.candidate).context_window
        if window is not None and window <= self._exceeded:
            raise TooLong(
                f"the request exceeds a window of {self._exceeded} tokens, and {call.candidate!r} has {window}"
            )

    @contextmanager
    def noted(self, call: Call) -> Iterator[None]:
        """Around the making of ``call``: its failure is learnt from."""
        try:
            yield
        except Exception as error:
            self.note(call, error)
            raise
