"""The tables of shared budgets, and the few statements on them.

``budget_windows`` has a row for each window of each budget and key; ``budget_leases`` what each process took out of it.
Amounts are whole numbers. ``reserved`` of a window is the sum of its open leases. The database compares and adds in
one ``UPDATE``, so no grant takes ``spent + reserved`` beyond the limit.

* A lease whose process does not renew it is charged whole: it moves from ``reserved`` to ``spent``. Its row stays a
  while, so that the process, should it come back, can tell what it had really spent.
* A process reports all that it spent under a lease, not what is new: a report may be repeated when nobody knows
  whether the first one arrived.
* ``needed_until`` of a window is when its day or month ends, or when a conversation last drew on it; null: for ever.
  Windows that are no longer needed may be forgotten, once no lease of them is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emafusion.store.tables import table
from emafusion.store.upserts import insert_new

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

__all__ = ["KEPT", "Lease", "Row", "charge_expired", "exchange", "expired", "prune", "prune_windows", "windows"]

KEPT = 2 * 86_400.0
"""Seconds for which leases that ended are remembered; a process relies on half of it."""
LONGEST = 31 * 86_400
"""Seconds of the longest window, for those of which an older version did not write down when they end."""


@dataclass(frozen=True, slots=True)
class Row:
    """Which window: of a budget, of a key, from when (seconds since 1970 UTC; 0: for ever)."""

    budget: str
    key: str
    start: int

    def as_dict(self) -> dict[str, Any]:
        return {"budget": self.budget, "key": self.key, "start": self.start}


@dataclass(frozen=True, slots=True)
class Lease:
    """What a process says of its lease: ``spent`` under it in all, ``kept`` for what is under way or comes."""

    id: str
    row: Row
    spent: int
    kept: int
    expires_at: float
    new: bool = True
    """Whether the database may not have it yet."""
    needed_until: float | None = None
    """Of its window: see above."""


def exchange(connection: Connection, lease: Lease, limit: int, wanted: tuple[int, ...]) -> tuple[int, int, int]:
    """Report on a lease, give back what is not kept, and take the first amount ``wanted`` that ``limit`` allows.

    Returns
    -------
    (granted, spent, reserved)
        What was taken; and of the window, all processes together, after it.
    """
    from sqlalchemy import select, update

    held, leases = table("budget_windows"), table("budget_leases")
    row, mine = lease.row, leases.c.id == lease.id
    window = update(held).where(*_same(held, row))
    if lease.new:
        insert_new(connection, held, [{**row.as_dict(), "spent": 0, "reserved": 0}])
        empty = {"amount": 0, "reported": 0, "expires_at": lease.expires_at, "charged": False}
        insert_new(connection, leases, [{"id": lease.id, **row.as_dict(), **empty}])
    # The row of the window is locked before its leases are read: whoever holds it is alone with them.
    connection.execute(window.values(spent=held.c.spent))
    had = connection.execute(select(leases.c.amount, leases.c.reported, leases.c.charged).where(mine)).one()
    spent = lease.spent - had.reported - (had.amount if had.charged else 0)
    kept = lease.kept - (0 if had.charged else had.amount)
    needed = held.c.needed_until if lease.needed_until is None else lease.needed_until
    moved = window.values(spent=held.c.spent + spent, reserved=held.c.reserved + kept, needed_until=needed)
    now = connection.execute(moved.returning(held.c.spent, held.c.reserved)).one()
    granted = 0
    for amount in wanted:
        fits = held.c.spent + held.c.reserved + amount <= limit
        grant = window.where(fits).values(reserved=held.c.reserved + amount)
        found = connection.execute(grant.returning(held.c.spent, held.c.reserved)).first()
        if found is not None:
            granted, now = amount, found
            break
    told = {"amount": lease.kept + granted, "reported": lease.spent, "charged": False, "expires_at": lease.expires_at}
    connection.execute(update(leases).where(mine).values(**told))
    return granted, int(now.spent), int(now.reserved)


def expired(connection: Connection, now: float) -> list[str]:
    """Leases that were not renewed in time and are to be charged."""
    from sqlalchemy import select

    leases = table("budget_leases")
    gone = select(leases.c.id).where(leases.c.expires_at < now, leases.c.charged.is_(False), leases.c.amount > 0)
    return list(connection.execute(gone).scalars())


def charge_expired(connection: Connection, id: str, now: float) -> bool:
    """Charge a lease that was not renewed; False if it was renewed or charged meanwhile."""
    from sqlalchemy import select, update

    held, leases = table("budget_windows"), table("budget_leases")
    found = connection.execute(select(leases).where(leases.c.id == id)).first()
    if found is None:
        return False
    window = update(held).where(*_same(held, Row(found.budget, found.key, found.start)))
    connection.execute(window.values(spent=held.c.spent))  # locks it, so that the lease stands still
    mine = (leases.c.id == id, leases.c.expires_at < now, leases.c.charged.is_(False))
    amount = connection.execute(select(leases.c.amount).where(*mine)).scalar()
    if amount is None:
        return False
    connection.execute(update(leases).where(leases.c.id == id).values(charged=True))
    connection.execute(window.values(spent=held.c.spent + amount, reserved=held.c.reserved - amount))
    return True


def prune(connection: Connection, before: float) -> None:
    """Forget leases that ended before then."""
    from sqlalchemy import delete, or_

    leases = table("budget_leases")
    over = or_(leases.c.charged.is_(True), leases.c.amount == 0)
    connection.execute(delete(leases).where(leases.c.expires_at < before, over))


def prune_windows(connection: Connection, before: float, most: int) -> int:
    """Forget up to so many windows that were not needed any more by then and of which no lease is left; how many."""
    from sqlalchemy import case, delete, func, select, tuple_

    held, leases = table("budget_windows"), table("budget_leases")
    guessed = case((held.c.start > 0, held.c.start + LONGEST))
    key = [held.c[name] for name in ("budget", "key", "start")]
    leased = select(leases.c.id).where(*(leases.c[column.name] == column for column in key)).exists()
    over = select(*key).where(func.coalesce(held.c.needed_until, guessed) < before, ~leased).order_by(*key).limit(most)
    gone = [tuple(row) for row in connection.execute(over)]
    if gone:
        connection.execute(delete(held).where(tuple_(*key).in_(gone), ~leased))
    return len(gone)


def windows(connection: Connection, budgets: dict[str, int], key: str | None = None) -> list[tuple[Row, int, int]]:
    """``(window, spent, reserved)`` of every key, or of one; of budgets by name and the start of their windows."""
    from sqlalchemy import and_, or_, select

    held = table("budget_windows")
    wanted = [and_(held.c.budget == name, held.c.start == start) for name, start in budgets.items()]
    chosen = select(held).where(or_(*wanted)).order_by(held.c.budget, held.c.key)
    found = connection.execute(chosen if key is None else chosen.where(held.c.key == key))
    return [(Row(r.budget, r.key, r.start), int(r.spent), int(r.reserved)) for r in found]


def _same(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(table.c[name] == value for name, value in row.as_dict().items())
