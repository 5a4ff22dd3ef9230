"""Sums over all stored decisions, made by the database: nothing here reads decisions one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from emafusion.store.tables import table
from emafusion.store.truths import truths

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, TableValuedAlias

__all__ = ["Calls", "Expected", "Span", "Spent", "Told", "calls", "expected", "span", "spent", "told"]


@dataclass(frozen=True, slots=True)
class Span:
    """How many decisions there are, from when to when, and what kinds."""

    decisions: int
    first: datetime | None
    last: datetime | None
    explored: int
    audited: int
    audits_agreeing: int
    """Audits whose answer was the same as the one that the user saw."""
    without_text: int
    abstained: int
    anchors: int
    """Questions that were put to new candidates, to place them."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Decisions of one day (UTC) that one candidate answered: those of users, or anchors."""

    day: date
    candidate: str
    anchors: bool
    decisions: int
    cost_usd: float
    judge_cost_usd: float


@dataclass(frozen=True, slots=True)
class Expected:
    """What one candidate was forecast to cost and achieve, over the decisions of one day that forecast it. Anchors
    cost, but nobody else would have been paid for them.

    ``usd`` and ``spent`` are the forecast cost of its call, and what the decision cost; ``_squared`` and ``product``
    are sums of squares and of products.
    """

    day: date
    candidate: str
    decisions: int
    p_good: float
    usd: float
    usd_squared: float
    spent: float
    spent_squared: float
    product: float


@dataclass(frozen=True, slots=True)
class Calls:
    """A candidate's answered calls: what they cost, were forecast to cost, and sums of squares and products."""

    candidate: str
    calls: int
    usd: float
    usd_squared: float
    expected: float
    expected_squared: float
    product: float


@dataclass(frozen=True, slots=True)
class Told:
    """A candidate's answers to users, recent or earlier: what judges believed, what turned out, and the forecast.

    ``judged*`` are sums of the confidence over all; ``known``, ``truth*``, ``known_*`` over those whose truth is known.
    ``*_residual`` is what was believed, or true, less what was forecast, over those that were forecast.
    """

    candidate: str
    recent: bool
    decisions: int
    judged: float
    judged_squared: float
    known: int
    truth: float
    truth_squared: float
    known_judged: float
    known_judged_squared: float
    product: float
    forecast: int
    judged_residual: float
    judged_residual_squared: float
    known_forecast: int
    truth_residual: float
    truth_residual_squared: float


def span(connection: Connection) -> Span:
    """Of all decisions."""
    from sqlalchemy import case, func, select

    d = table("decisions")
    mine, beside = table("attempts").alias("mine"), table("attempts").alias("beside")

    def count(condition: Any) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)

    row = connection.execute(
        select(
            func.count(),
            func.min(d.c.created_at),
            func.max(d.c.created_at),
            count(d.c.explored.is_(True)),
            count(d.c.audited.is_not(None)),
            count(d.c.text.is_(None)),
            count(d.c.abstained.is_(True)),
            count(d.c.anchor.is_(True)),
        ).select_from(d)
    ).one()
    agreeing = connection.execute(
        select(func.count(d.c.id.distinct()))
        .join(mine, (mine.c.decision_id == d.c.id) & (mine.c.candidate == d.c.answered_by))
        .join(beside, (beside.c.decision_id == d.c.id) & (beside.c.candidate == d.c.audited))
        .where(d.c.audited.is_not(None), mine.c.cluster >= 0, mine.c.cluster == beside.c.cluster)
    ).scalar_one()
    total, first, last, explored, audited, without_text, abstained, anchors = row
    return Span(
        total, first, last, int(explored), int(audited), agreeing, int(without_text), int(abstained), int(anchors)
    )


def spent(connection: Connection) -> list[Spent]:
    """By day and candidate, anchors apart."""
    from sqlalchemy import case, func, select

    d = table("decisions")
    day, anchors = func.date(d.c.created_at), case((d.c.anchor.is_(True), 1), else_=0)
    rows = connection.execute(
        select(
            day, d.c.answered_by, anchors, func.count(), func.sum(d.c.cost_usd), func.sum(d.c.judge_cost_usd)
        ).group_by(day, d.c.answered_by, anchors)
    )
    return [
        Spent(_day(when), name, bool(anchor), n, float(usd), float(judges))
        for when, name, anchor, n, usd, judges in rows
    ]


def expected(connection: Connection) -> list[Expected]:
    """By day and candidate."""
    from sqlalchemy import case, func, select

    d = table("decisions")
    each, number = _forecasts(connection)
    read = select(
        func.date(d.c.created_at).label("day"),
        each.c.key.label("candidate"),
        number("p_good").label("p"),
        case((d.c.anchor.is_(True), 0.0), else_=number("cost_usd")).label("usd"),
        d.c.cost_usd.label("spent"),
    )
    # The offset keeps SQLite from reading every number again at each place where it is used.
    r = read.select_from(d.join(each, _always())).offset(0).subquery()
    rows = connection.execute(
        select(
            r.c.day,
            r.c.candidate,
            func.count(),
            func.sum(r.c.p),
            func.sum(r.c.usd),
            func.sum(r.c.usd * r.c.usd),
            func.sum(r.c.spent),
            func.sum(r.c.spent * r.c.spent),
            func.sum(r.c.usd * r.c.spent),
        ).group_by(r.c.day, r.c.candidate)
    )
    return [Expected(_day(when), name, n, *map(float, sums)) for when, name, n, *sums in rows]


def calls(connection: Connection) -> list[Calls]:
    """By candidate; of those that answered and had been forecast."""
    from sqlalchemy import func, select

    d, a = table("decisions"), table("attempts")
    each, number = _forecasts(connection)
    usd, forecast = a.c.cost_usd, number("cost_usd")
    rows = connection.execute(
        select(
            a.c.candidate,
            func.count(),
            func.sum(usd),
            func.sum(usd * usd),
            func.sum(forecast),
            func.sum(forecast * forecast),
            func.sum(usd * forecast),
        )
        .select_from(d.join(each, _always()).join(a, (a.c.decision_id == d.c.id) & (a.c.candidate == each.c.key)))
        .where(a.c.error.is_(None))
        .group_by(a.c.candidate)
    )
    return [Calls(name, n, *map(float, sums)) for name, n, *sums in rows]


def told(connection: Connection, newest: int) -> list[Told]:
    """By candidate, apart for the ``newest`` decisions and those before them."""
    from sqlalchemy import and_, case, false, func, select

    d, known = table("decisions"), truths()
    each, number = _forecasts(connection)
    border = connection.execute(
        select(d.c.created_at).order_by(d.c.created_at.desc()).offset(max(newest - 1, 0)).limit(1)
    ).scalar()
    recent = false() if border is None else d.c.created_at >= border
    recent = case((recent, 1), else_=0)
    truth, judged, p = known.c.truth, d.c.confidence, number("p_good")
    seen = case((truth.is_not(None), judged))
    rows = connection.execute(
        select(
            d.c.answered_by,
            recent,
            func.count(),
            func.sum(judged),
            func.sum(judged * judged),
            func.count(truth),
            *(func.coalesce(func.sum(x), 0.0) for x in (truth, truth * truth, seen, seen * seen, seen * truth)),
            func.count(p),
            *(func.coalesce(func.sum(x), 0.0) for x in (judged - p, (judged - p) * (judged - p))),
            func.count(p * truth),
            *(func.coalesce(func.sum(x), 0.0) for x in (truth - p, (truth - p) * (truth - p))),
        )
        .select_from(
            d.outerjoin(known, known.c.decision_id == d.c.id).outerjoin(each, and_(each.c.key == d.c.answered_by))
        )
        .where(d.c.anchor.is_not(True))
        .group_by(d.c.answered_by, recent)
    )
    return [Told(name, bool(new), *sums) for name, new, *sums in rows]


def _forecasts(connection: Connection) -> tuple[TableValuedAlias, Any]:
    """The stored forecast as rows of candidate (``key``) and ``value``, and how to read a number in one."""
    from sqlalchemy import Float, cast, func, literal_column

    each = func.json_each(table("decisions").c.forecast).table_valued("key", "value", name="each_forecast")
    each = each.render_derived() if connection.dialect.name == "postgresql" else each

    def number(name: str) -> ColumnElement[float]:
        if connection.dialect.name == "postgresql":
            return cast(each.c.value.op("->>")(literal_column(f"'{name}'")), Float)
        return func.json_extract(each.c.value, f"$.{name}", type_=Float)

    return each, number


def _always() -> Any:
    from sqlalchemy import true

    return true()


def _day(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def rows_of_tables(connection: Connection, prefix: str, limit: int = 50) -> Mapping[str, list[dict[str, Any]]]:
    """Whatever tables there are whose name begins so, with their first rows."""
    from sqlalchemy import MetaData, Table, inspect, select

    names = sorted(n for n in inspect(connection).get_table_names() if n.startswith(prefix))
    found = {}
    for name in names:
        read = Table(name, MetaData(), autoload_with=connection)
        order = list(read.primary_key.columns)
        found[name] = [dict(row) for row in connection.execute(select(read).order_by(*order).limit(limit)).mappings()]
    return found
