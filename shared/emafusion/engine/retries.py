"""Retries: which errors pass by themselves, how long to wait for that, and the calls made anew meanwhile.

Errors are told apart without their libraries, by status, by kind and by name, so that any client's are understood.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from emafusion.errors import ConfigError

__all__ = ["NEVER", "Retries", "is_context_overflow", "is_transient", "may_have_cost", "retry_after"]

T = TypeVar("T")

TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
TRANSIENT_NAMES = frozenset(
    {
        "APIConnectionError",
        "APITimeoutError",
        "ClientConnectionError",
        "ConnectTimeout",
        "DeadlineExceeded",
        "EndpointConnectionError",
        "InternalServerError",
        "ModelConnectionError",
        "ModelRateLimitError",
        "ModelTimeoutError",
        "OverloadedError",
        "RateLimitError",
        "ReadTimeoutError",
        "ResourceExhausted",
        "ServiceUnavailable",
        "ThrottlingException",
        "TooManyRequests",
        "TransportError",  # the base of httpx's connection, timeout and protocol errors
    }
)
REFUSED_STATUS = frozenset({*range(400, 500), 503, 529}) - {408, 499}
"""With these a server says that it has not done the work; after any other a model may have written, and be paid."""
UNREACHED_NAMES = frozenset(
    {"ClientConnectorError", "ConnectError", "ConnectTimeout", "EndpointConnectionError", "PoolTimeout", "gaierror"}
)
"""Errors before the request was sent."""
SPENT_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Sent with status 429, but no wait of seconds helps."""
OVERFLOW_CODES = frozenset({"context_length_exceeded", "string_above_max_length", "request_too_large"})
OVERFLOW_WORDS = (
    "context length",
    "context window",
    "prompt is too long",
    "input is too long",
    "too many input tokens",
    "input token count",
    "reduce the length of the messages",
)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently a call that met a transient error is made anew, before another model is asked.

    Parameters
    ----------
    limit
        Calls after the first; 0 makes every failure final.
    max_wait
        Seconds that one call may spend waiting in all. A server that asks for more is not waited for.
    first_wait
        Seconds before the second call; doubled for each further one; up to as much again is added by chance, so
        that many clients do not come back at once. ``Retry-After`` makes it longer, never shorter.
    pause, apause
        What waits; tests replace them.

    Raises
    ------
    ConfigError
        If a number is negative.

    Notes
    -----
    Clients that retry by themselves (OpenAI's and Anthropic's do, twice) do so within each call counted here:
    :meth:`beside` counts theirs in, lest the numbers multiply.
    """

    limit: int = 2
    max_wait: float = 30.0
    first_wait: float = 0.5
    pause: Callable[[float], None] | None = None
    apause: Callable[[float], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "max_wait", "first_wait"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"retries: {name} must be 0 or more, got {getattr(self, name)!r}")

    def beside(self, own: int) -> Retries:
        """These retries for a client that makes each call anew ``own`` times by itself: as many requests in all.

        Examples
        --------
        >>> Retries(2).beside(0).limit, Retries(2).beside(2).limit, Retries(5).beside(2).limit
        (2, 0, 1)
        """
        return replace(self, limit=max(0, (1 + self.limit) // (1 + own) - 1)) if own else self

    def call(self, make: Callable[[], T], final: Callable[[Exception], bool] = lambda error: False) -> T:
        """What ``make`` returns, made anew after transient errors that are not ``final``. Raises the last error."""
        try:
            return make()
        except Exception as error:
            if not self.limit:
                raise
            failed = [error]
        from tenacity import Retrying

        def made() -> T:  # the call that failed is the first of those that tenacity counts
            if failed:
                raise failed.pop()
            return make()

        return Retrying(sleep=self.pause or time.sleep, **self._rules(final))(made)

    async def acall(
        self, make: Callable[[], Awaitable[T]], final: Callable[[Exception], bool] = lambda error: False
    ) -> T:
        """:meth:`call` on the running loop; a cancellation passes at once, also while it waits."""
        try:
            return await make()
        except Exception as error:
            if not self.limit:
                raise
            failed = [error]
        from tenacity import AsyncRetrying

        async def made() -> T:  # tenacity awaits nothing but what is declared to be a coroutine
            if failed:
                raise failed.pop()
            return await make()

        return await AsyncRetrying(sleep=self.apause or asyncio.sleep, **self._rules(final))(made)

    def _rules(self, final: Callable[[Exception], bool]) -> dict[str, Any]:
        # Made for each call: tenacity keeps its state in the object, which calls of one loop would share.
        from tenacity import retry_if_exception, stop_after_attempt, wait_exponential, wait_random

        backoff = wait_exponential(self.first_wait, max=self.max_wait) + wait_random(0.0, self.first_wait)

        def wait(state: Any) -> float:
            return max(backoff(state), retry_after(state.outcome.exception()) or 0.0)

        def spent(state: Any) -> bool:
            return bool(state.idle_for + state.upcoming_sleep > self.max_wait)

        def again(error: BaseException) -> bool:
            return isinstance(error, Exception) and is_transient(error) and not final(error)

        stop = stop_after_attempt(self.limit + 1)
        return {
            "wait": wait,
            "stop": lambda s: stop(s) or spent(s),
            "retry": retry_if_exception(again),
            "reraise": True,
        }


NEVER = Retries(0)


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed a little later: rate limits, server errors, timeouts, lost connections.

    Examples
    --------
    >>> is_transient(ConnectionResetError()), is_transient(ValueError("no such field"))
    (True, False)
    """
    for cause in _causes(error):
        if is_context_overflow(cause) or _code(cause) in SPENT_CODES:
            return False
        told = str(_headers(cause).get("x-should-retry", "")).lower()
        if told in ("true", "false"):
            return told == "true"
        status = _status(cause)
        if status is not None:
            return status in TRANSIENT_STATUS
        # On Python 3.10 asyncio's timeout is a class of its own.
        if isinstance(cause, (TimeoutError, asyncio.TimeoutError, ConnectionError)):
            return True
        if any(kind.__name__ in TRANSIENT_NAMES for kind in type(cause).__mro__):
            return True
    return False


def may_have_cost(error: BaseException) -> bool:
    """Whether the call that ended so may be billed: all but what was refused, or never reached its server.

    Examples
    --------
    >>> may_have_cost(TimeoutError()), may_have_cost(ConnectionRefusedError())
    (True, False)
    """
    for cause in _causes(error):
        if getattr(cause, "billed", None) is False or isinstance(cause, ConnectionRefusedError):
            return False
        status = _status(cause)
        if status is not None:
            return status not in REFUSED_STATUS
        if any(kind.__name__ in UNREACHED_NAMES for kind in type(cause).__mro__):
            return False
    return True


def is_context_overflow(error: BaseException) -> bool:
    """Whether the model refused the request for its length: only a model with a longer window helps."""
    if any(kind.__name__ == "ContextOverflowError" for kind in type(error).__mro__) or _code(error) in OVERFLOW_CODES:
        return True
    return _status(error) in (400, 413, 422) and any(words in str(error).lower() for words in OVERFLOW_WORDS)


def retry_after(error: BaseException | None) -> float | None:
    """Seconds that the server asked to wait: ``Retry-After`` (seconds or a date) or the error's own ``retry_after``.

    Examples
    --------
    >>> error = OSError("busy")
    >>> error.retry_after = 3
    >>> retry_after(error)
    3.0
    """
    for cause in _causes(error) if error is not None else ():
        own = _number(getattr(cause, "retry_after", None))
        if own is not None:
            return own
        headers = _headers(cause)
        milliseconds = _number(headers.get("retry-after-ms"))
        if milliseconds is not None:
            return milliseconds / 1000.0
        told = headers.get("retry-after")
        if told is not None:
            seconds = _number(told)
            return seconds if seconds is not None else _until(str(told))
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from: clients wrap those of their transports."""
    for _ in range(5):
        yield error
        if error.__cause__ is None:
            return
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    """HTTP status, under the names that clients give it."""
    response = getattr(error, "response", None)
    for owner, names in (
        (error, ("status_code", "status", "http_status", "code")),
        (response, ("status_code", "status")),
    ):
        for name in names:
            value = getattr(owner, name, None)
            if isinstance(value, int) and 100 <= value < 600:
                return int(value)
    if isinstance(response, dict):  # botocore
        value = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
        return value if isinstance(value, int) else None
    return None


def _code(error: BaseException) -> str | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else None


def _headers(error: BaseException) -> dict[str, Any]:
    response = getattr(error, "response", None)
    found = getattr(response, "headers", None) or getattr(error, "headers", None)
    if isinstance(response, dict):
        found = (response.get("ResponseMetadata") or {}).get("HTTPHeaders")
    try:
        return {str(k).lower(): v for k, v in dict(found or {}).items()}
    except (TypeError, ValueError):  # an attribute of that name which is no mapping
        return {}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0.0 <= number < float("inf") else None


def _until(date: str) -> float | None:
    try:
        then = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=timezone.utc)
    return max(0.0, (then - datetime.now(timezone.utc)).total_seconds())
