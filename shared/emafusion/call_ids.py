"""Tool-call ids as a provider accepts them, the same in a call and in its result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

__all__ = ["CallIds"]

ACCEPTED: Mapping[str, re.Pattern[str]] = {
    "anthropic": re.compile(r"[a-zA-Z0-9_-]+"),
    "bedrock": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "mistral": re.compile(r"[a-zA-Z0-9]{9}"),
    "openai": re.compile(r".{1,40}"),
}
"""What providers check; those that are not named here accept any id."""
LENGTH: Mapping[str, int] = {"mistral": 9}


class CallIds:
    """Ids of one history, for one provider.

    An id that the provider accepts stays. Any other is replaced by a digest of itself, so that the call and its
    result, and the same history sent again (and found in a prompt cache), agree on it. A call without an id is given
    one, which the next results without one take over in their order.

    Examples
    --------
    >>> ids = CallIds("mistral")
    >>> ids.of_calls(["call_9pw4x8S0bQm7LrZ2tEaYkWcV", None])
    ['419657318', '54a332a63']
    >>> ids.of_result("call_9pw4x8S0bQm7LrZ2tEaYkWcV"), ids.of_result(None)
    ('419657318', '54a332a63')
    """

    def __init__(self, provider: str | None) -> None:
        self._accepted = ACCEPTED.get(provider or "")
        self._length = LENGTH.get(provider or "", 24)
        self._given = 0
        self._waiting: list[str] = []

    def of_calls(self, ids: Iterable[str | None]) -> list[str | None]:
        """Ids for the calls of one message, in their order."""
        if self._accepted is None:
            return list(ids)
        self._waiting = []
        return [self._spelled(given) if given else self._new() for given in ids]

    def of_result(self, given: str | None) -> str | None:
        """The id of the call whose result this is."""
        if self._accepted is None:
            return given
        wanted = self._spelled(given) if given else self._next()
        if wanted in self._waiting:
            self._waiting.remove(wanted)
        return wanted

    def _new(self) -> str:
        self._given += 1
        self._waiting.append(self._digest(f"call {self._given}"))
        return self._waiting[-1]

    def _next(self) -> str:
        return self._waiting[0] if self._waiting else self._digest("no call")

    def _spelled(self, given: str) -> str:
        assert self._accepted is not None
        return given if self._accepted.fullmatch(given) else self._digest(given)

    def _digest(self, given: str) -> str:
        # Hexadecimal: letters and digits, which every provider accepts.
        return hashlib.blake2b(given.encode(), digest_size=16).hexdigest()[: self._length]
