"""The state of a store: what was decided, spent, saved, how good it was, and whether anything drifts.

Everything comes from sums that the database makes (:mod:`emafusion.store.sums`): it takes as long as the database needs
to read its decisions, and no memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from emafusion.store import sums
from emafusion.store.alarms import Raised, alarms
from emafusion.store.drift import Drift, drifts
from emafusion.store.existing import ExistingStore
from emafusion.store.health import Health, health_of
from emafusion.store.quality import Quality, qualities
from emafusion.store.savings import Saving, savings

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Spending", "Status", "Traffic", "budget_rows", "status_of"]

RECENT, FEWEST_RECENT = 0.1, 100
"""Share, and least number, of the decisions that drift counts as recent."""

Budgets = Callable[["Connection"], Mapping[str, list[dict[str, Any]]]]


def budget_rows(connection: Connection) -> Mapping[str, list[dict[str, Any]]]:
    """The tables of budgets, where there are any, as they are."""
    return sums.rows_of_tables(connection, "budget_")


@dataclass(frozen=True, slots=True)
class Spending:
    """Of the decisions in a window; windows begin at midnight UTC."""

    window: str
    decisions: int
    usd: float
    judges_usd: float

    @property
    def usd_per_query(self) -> float | None:
        return self.usd / self.decisions if self.decisions else None


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much one candidate answered of what users asked."""

    candidate: str
    decisions: int
    share: float
    usd: float


@dataclass(frozen=True)
class Status:
    """All of it; see the fields' own classes."""

    at: datetime
    span: sums.Span
    spending: tuple[Spending, ...]
    savings: tuple[Saving, ...]
    quality: tuple[Quality, ...]
    traffic: tuple[Traffic, ...]
    drift: tuple[Drift, ...]
    budgets: Mapping[str, list[dict[str, Any]]]
    health: Health
    policies: list[dict[str, Any]] = field(default_factory=list)
    alarms: tuple[Raised, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        plain: dict[str, Any] = _plain(self)
        for row, spending in zip(plain["spending"], self.spending):
            row["usd_per_query"] = spending.usd_per_query
        return plain


def status_of(store: ExistingStore, *, now: datetime | None = None, budgets: Budgets = budget_rows) -> Status:
    """Look at a store.

    Parameters
    ----------
    now
        UTC, without time zone.
    budgets
        Reads what there is of budgets.
    """
    at = now or datetime.now(timezone.utc).replace(tzinfo=None)
    with store.engine.connect() as connection:
        span = sums.span(connection)
        spent, expected, calls = sums.spent(connection), sums.expected(connection), sums.calls(connection)
        told = sums.told(connection, max(FEWEST_RECENT, int(RECENT * span.decisions)))
        windows = _windows(at.date())
        return Status(
            at=at,
            span=span,
            spending=tuple(_spending(name, start, spent) for name, start in windows),
            savings=tuple(savings(windows, expected, calls, told)),
            quality=tuple(qualities(told)),
            traffic=tuple(_traffic(spent)),
            drift=tuple(drifts(told)),
            budgets=budgets(connection),
            health=health_of(store.engine, connection),
            policies=store.policies(),
            alarms=tuple(alarms(connection)),
        )


def _windows(today: date) -> tuple[tuple[str, date], ...]:
    return (
        ("today", today),
        ("7 days", today - timedelta(days=6)),
        ("month", today.replace(day=1)),
        ("all", date.min),
    )


def _spending(name: str, start: date, spent: Iterable[sums.Spent]) -> Spending:
    here = [s for s in spent if s.day >= start]
    return Spending(
        name,
        sum(s.decisions for s in here),
        float(sum(s.cost_usd for s in here)),
        float(sum(s.judge_cost_usd for s in here)),
    )


def _traffic(spent: Iterable[sums.Spent]) -> list[Traffic]:
    count: dict[str, int] = defaultdict(int)
    usd: dict[str, float] = defaultdict(float)
    for s in (s for s in spent if not s.anchors):
        count[s.candidate] += s.decisions
        usd[s.candidate] += s.cost_usd
    total = sum(count.values())
    return [Traffic(n, count[n], count[n] / total, usd[n]) for n in sorted(count, key=lambda n: -count[n])]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat() + ("Z" if isinstance(value, datetime) else "")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    return str(value)
