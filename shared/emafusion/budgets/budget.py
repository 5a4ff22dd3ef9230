"""`Budget`: so many USD, for whom, in which time, and what happens when they are spent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, NamedTuple, TypeAlias, get_args

from emafusion.errors import ConfigError

__all__ = ["AtLimit", "Budget", "Budgets", "Per", "Window", "dollars", "least_units", "units"]

Per: TypeAlias = Literal["request", "session", "key", "total"]
Window: TypeAlias = Literal["minute", "day", "month"]
AtLimit: TypeAlias = Literal["cheapest", "queue", "raise"]

UNITS = 10**12
"""Amounts are kept as whole millionths of a millionth of a USD: sums of them are exact, in Python and in databases."""
MOST_USD = 1e6
"""So that amounts fit the databases' 64-bit integers."""


def units(usd: float) -> int:
    """An amount as it is charged: rounded up."""
    return math.ceil(round(usd * UNITS, 3))


def least_units(usd: float) -> int:
    """An amount as it is granted: rounded down."""
    return math.floor(round(usd * UNITS, 3))


def dollars(amount: int) -> float:
    return amount / UNITS


class Span(NamedTuple):
    """A window in time: seconds since 1970 UTC; ``end`` None: for ever."""

    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on what may be spent, kept before the spending: what a call may cost at most is set aside beforehand.

    Parameters
    ----------
    usd
        USD that may be spent, in each window and for each of what ``per`` names.
    per
        "request": each request, with all its drafts, judges and retries. "session": each conversation (the thread that
        the caller names, else the conversation's beginning). "key": each key that the caller gives with a request: a
        user, a tenant; requests without one share a part of their own. "total": all together.
    window
        "minute", "day" or "month" of the calendar, UTC; None: for ever, as long as the ledger lasts.
    at_limit
        What is done when a call no longer fits. "cheapest": go on with the candidates that still fit, and once there is
        an answer, accept the best. "queue": wait for calls under way to cost less than was set aside for them, or for
        the next window; then as for "cheapest". "raise": fail, unless there is an answer already.
        When nothing fits at all, :class:`~emafusion.errors.BudgetExceeded` is raised in each case.
    name
        Shown in errors and in :meth:`Fusion.budgets`; under it the ledger keeps what was spent. By default after
        ``per`` and ``window``.
    max_wait
        Seconds that a call waits at most, for "queue".

    Raises
    ------
    ConfigError
        If something is out of range or contradicts itself.

    Examples
    --------
    >>> Budget(5.0, per="key", window="day").label
    'key/day'
    >>> Budget(0.01, per="request", at_limit="queue")
    Traceback (most recent call last):
    emafusion.errors.ConfigError: Budget(per='request'): a request cannot wait for itself; use at_limit='cheapest'
    """

    usd: float
    per: Per = "total"
    window: Window | None = None
    at_limit: AtLimit = "cheapest"
    name: str | None = None
    max_wait: float = 60.0

    def __post_init__(self) -> None:
        usd = self.usd
        if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not 0 < usd <= MOST_USD:
            raise ConfigError(f"Budget(usd={usd!r}): give a number of USD above 0 and at most {MOST_USD:,.0f}")
        for field, allowed in (("per", get_args(Per)), ("at_limit", get_args(AtLimit))):
            if getattr(self, field) not in allowed:
                listed = ", ".join(map(repr, allowed))
                raise ConfigError(f"Budget({field}={getattr(self, field)!r}): give one of {listed}")
        if self.window is not None and self.window not in get_args(Window):
            raise ConfigError(f"Budget(window={self.window!r}): give 'minute', 'day', 'month' or None")
        if self.per == "request" and self.window is not None:
            raise ConfigError("Budget(per='request'): a request has no window; leave it out")
        if self.per == "request" and self.at_limit == "queue":
            raise ConfigError("Budget(per='request'): a request cannot wait for itself; use at_limit='cheapest'")
        if not (isinstance(self.max_wait, (int, float)) and self.max_wait >= 0):
            raise ConfigError(f"Budget(max_wait={self.max_wait!r}): give seconds, 0 or more")
        if self.name is not None and not 0 < len(self.name) <= 128:
            raise ConfigError(f"Budget(name={self.name!r}): give 1 to 128 characters")

    @property
    def label(self) -> str:
        """Its name, given or not."""
        return self.name or (f"{self.per}/{self.window}" if self.window else self.per)

    @property
    def limit(self) -> int:
        """``usd`` in the ledger's units."""
        return least_units(self.usd)

    def span(self, now: float) -> Span:
        """The window that ``now`` (seconds since 1970) is in.

        Examples
        --------
        >>> Budget(1.0, window="minute").span(125.0)
        Span(start=120, end=180)
        """
        if self.window is None:
            return Span(0, None)
        at = datetime.fromtimestamp(now, timezone.utc).replace(second=0, microsecond=0)
        if self.window == "minute":
            return Span(int(at.timestamp()), int(at.timestamp()) + 60)
        start = at.replace(hour=0, minute=0)
        end = start + timedelta(days=1)
        if self.window == "month":
            start = start.replace(day=1)
            end = (start + timedelta(days=32)).replace(day=1)
        return Span(int(start.timestamp()), int(end.timestamp()))


@dataclass(frozen=True)
class Budgets:
    """Several budgets, of which each call needs the grant of all, and how they are kept.

    Parameters
    ----------
    budgets
        Of different names.
    bytes_per_token
        By which the most tokens of a prompt are reckoned from its bytes in UTF-8, before a call. Prose has about four,
        code and JSON about three, Chinese and Japanese two to four: the default of 2 is a margin over these. No
        tokenizer over bytes makes more than one token of a byte, so 1 is certain. (Images and files count at a flat
        rate.)
    output_tokens
        The limit that a call is given which has none: neither the caller's ``max_output_tokens`` nor the candidate's is
        known, or only a greater one of the candidate. Longer answers are cut by the model; say ``max_output_tokens``
        in the call to allow them.
    lease
        Share of a budget that one process takes out of a shared ledger at a time, for its next calls; with it calls
        go on while the database is away, and most need not ask it. Up to so much a process may be left unspent at the
        end of a window, and is counted as spent if the process dies.
    unreachable
        What to do when the database is away and the lease is used up. "limit": as at the limit. "allow": go on; what
        was spent is entered as soon as the database is back, so a budget may be exceeded.

    Raises
    ------
    ConfigError
        If two budgets have one name, or a number is out of range.
    """

    budgets: tuple[Budget, ...]
    bytes_per_token: float = 2.0
    output_tokens: int = 4096
    lease: float = 0.01
    unreachable: Literal["limit", "allow"] = "limit"

    def __init__(
        self,
        budgets: Iterable[Budget],
        *,
        bytes_per_token: float = 2.0,
        output_tokens: int = 4096,
        lease: float = 0.01,
        unreachable: Literal["limit", "allow"] = "limit",
    ) -> None:
        given = tuple(budgets) if isinstance(budgets, Iterable) else ()
        if isinstance(budgets, Budget) or not given or not all(isinstance(b, Budget) for b in given):
            raise ConfigError(f"budgets: give a list of Budget, got {budgets!r}")
        labels = [b.label for b in given]
        if len(set(labels)) < len(labels):
            raise ConfigError(f"budgets need different names, got {labels}: give Budget(..., name='...')")
        if not 1.0 <= bytes_per_token <= 8.0:
            raise ConfigError(f"budgets: bytes_per_token must be from 1 to 8, got {bytes_per_token!r}")
        if not output_tokens >= 1:
            raise ConfigError(f"budgets: output_tokens must be 1 or more, got {output_tokens!r}")
        if not 0.0 < lease <= 1.0:
            raise ConfigError(f"budgets: lease must be above 0 and at most 1, got {lease!r}")
        if unreachable not in ("limit", "allow"):
            raise ConfigError(f"budgets: unreachable must be 'limit' or 'allow', got {unreachable!r}")
        for name, value in (
            ("budgets", given),
            ("bytes_per_token", bytes_per_token),
            ("output_tokens", output_tokens),
            ("lease", lease),
            ("unreachable", unreachable),
        ):
            object.__setattr__(self, name, value)

    def __iter__(self) -> Iterator[Budget]:
        return iter(self.budgets)
