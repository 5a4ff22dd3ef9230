"""A ledger that many processes share: each leases a little of a window from the database, and spends that by itself.

* A call that the lease at hand pays for does not ask the database. When it is used up the next part is taken, of
  :attr:`Budgets.lease` of the whole, or just what the call needs where so much is not left.
* What was spent is reported when a lease is extended, and every few seconds by a thread, which also gives back what an
  idle window holds and charges the leases of processes that are gone.
* While the database is away calls go on with what is leased; then ``unreachable`` says what happens.
* Windows are the calendar's by each machine's own clock.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emafusion.budgets.budget import Budget, Budgets
from emafusion.budgets.ledger import Account, Claim, Ledger, Reservation, exceeded, standing
from emafusion.store.budget_tables import KEPT

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from emafusion.store.budget_tables import Lease

__all__ = ["SharedLedger"]

RENEWED = 5.0
"""Seconds between two reports."""
EXPIRES = 60.0
"""Seconds without a report after which a process is taken to be gone."""
STALE = 1.0
"""Seconds for which what the database said of a window is good enough to plan with."""
LONGEST_KEY = 128

log = logging.getLogger("emafusion")


@dataclass(slots=True)
class _Leased(Account):
    """An account of which ``held`` is leased; ``spent`` and ``reserved`` are this process's own."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    others: int = 0
    """Spent and reserved by other processes, when the database was last asked."""
    asked: float = 0.0
    used: bool = True
    """Whether it was drawn on since the last report."""
    reported: int = 0
    expires_at: float = float("inf")
    """Until when the database was told to hold it."""


class SharedLedger(Ledger):
    """Accounts over a database; SQLite or PostgreSQL.

    Parameters
    ----------
    engine
        The open database of a :class:`~emafusion.store.Store`.
    budgets
        For ``lease`` and ``unreachable``.
    clock
        Seconds since 1970.
    expires, renewed
        Seconds after which a silent process counts as gone, and between two reports.
    """

    waits = True

    def __init__(
        self,
        engine: Engine,
        budgets: Budgets,
        clock: Callable[[], float] = time.time,
        *,
        expires: float = EXPIRES,
        renewed: float = RENEWED,
    ) -> None:
        super().__init__(clock)
        self.engine, self.budgets, self.expires, self.renewed = engine, budgets, expires, renewed
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._asking = threading.Lock()  # one thread at a time has the database extend a lease
        self._warned = float("-inf")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._end = weakref.finalize(self, self._stop.set)
        atexit.register(_closed, weakref.ref(self))

    def _in_this_process(self) -> None:
        """After a fork the leases belong to the parent: begin anew."""
        if self._process != os.getpid():
            self._end.detach()
            self.engine.dispose(close=False)
            self._lock = threading.Lock()
            self._accounts.clear()
            self._begin()

    # -- reserving ---------------------------------------------------------------------------------------------

    def take(self, claims: Sequence[Claim], amount: int) -> Reservation | None:
        self._in_this_process()
        found = super().take(claims, amount)
        for account in () if found is None else found.accounts:
            if isinstance(account, _Leased):
                account.used = True
        return found

    def reserve(self, claims: Sequence[Claim], amount: int) -> Reservation:
        found = self.take(claims, amount)
        while found is None:
            with self._asking:
                found = self.take(claims, amount)  # another thread may have extended the lease meanwhile
                if found is None:
                    self._extend(claims, amount)
                    found = self.take(claims, amount)
        self._watch()
        return found

    def _extend(self, claims: Sequence[Claim], amount: int) -> None:
        """Lease what is lacking of each account. Raises BudgetExceeded if one cannot be had."""
        for claim in claims:
            with self._lock:
                account = self._leased(claim)
                lacking = amount - account.free
            if lacking <= 0:
                continue
            part = int(claim.budget.limit * self.budgets.lease)
            wanted = (max(lacking, part), lacking) if part > lacking else (lacking,)
            try:
                granted, spent, reserved = self._exchange(account, wanted)
            except Exception as error:
                self._unreachable(claim, account, lacking, amount, error)
                continue
            if not granted:
                raise exceeded(claim, spent, reserved, amount)

    def _exchange(self, account: _Leased, wanted: tuple[int, ...] = (), *, close: bool = False) -> tuple[int, int, int]:
        """Report on an account's lease and extend it: what was granted; spent and reserved by all processes."""
        from emafusion.store.budget_tables import exchange

        limit = account.claim.budget.limit
        with self._lock:
            spent, kept = account.spent, account.reserved if close else max(account.held - account.spent, 0)
            kept = max(kept, account.reserved)
            account.held = spent + kept  # what is given back is no longer at hand, whether or not that succeeds
            lease = self._lease(account, spent, kept)
        with self.engine.begin() as connection:
            granted, total, reserved = exchange(connection, lease, limit, wanted)
        with self._lock:
            account.held += granted
            account.reported, account.expires_at = spent, lease.expires_at
            account.others = max(0, total + reserved - spent - kept - granted)
            account.asked = self.clock()
        return granted, total, reserved

    def _lease(self, account: _Leased, spent: int, kept: int) -> Lease:
        from emafusion.store.budget_tables import Lease, Row

        claim, now = account.claim, self.clock()
        row = Row(claim.budget.label, _short(claim.key), claim.start)
        # A conversation has no end that anybody is told of: it is needed as long as it is drawn on.
        needed = now if claim.end is None and claim.budget.per == "session" else claim.end
        new = account.expires_at == float("inf")
        return Lease(account.id, row, spent, kept, now + self.expires, new, needed)

    def _unreachable(self, claim: Claim, account: _Leased, lacking: int, amount: int, error: Exception) -> None:
        now = time.monotonic()
        if now - self._warned > 60.0:
            self._warned = now
            log.warning(
                "emafusion: the database of the budgets cannot be reached (%s: %s); calls go on %s",
                type(error).__name__,
                str(error).splitlines()[0] if str(error) else "",
                "uncounted, to be entered later" if self.budgets.unreachable == "allow" else "with what is leased",
            )
        if self.budgets.unreachable == "allow":
            with self._lock:
                account.held += lacking
            return
        spent, reserved = self.seen(claim)
        raise exceeded(claim, spent, reserved, amount, f"the ledger cannot be reached ({type(error).__name__})")

    # -- reading -----------------------------------------------------------------------------------------------

    def look(self, claims: Sequence[Claim]) -> None:
        """Ask the database about windows of which nothing recent is known. Never raises: a plan may be mistaken."""
        from emafusion.store.budget_tables import windows

        self._in_this_process()
        now = self.clock()
        with self._lock:
            stale = [a for c in claims if (a := self._leased(c)).asked + STALE < now]
            if not stale:
                return
            for account in stale:
                account.asked = now
        try:
            with self.engine.connect() as connection:
                for account in stale:
                    claim = account.claim
                    found = windows(connection, {claim.budget.label: claim.start}, _short(claim.key))
                    with self._lock:
                        total = sum(spent + reserved for _, spent, reserved in found)
                        account.others = max(0, total - account.held)  # of which the database has us with ``held``
        except Exception as error:
            log.debug("emafusion: the database of the budgets cannot be read: %s", error)

    def seen(self, claim: Claim) -> tuple[int, int]:
        with self._lock:
            account = self._accounts.get(claim.account)
            if not isinstance(account, _Leased):
                return 0, 0
            return account.spent + account.others, account.reserved

    def standing(self, budgets: Sequence[Budget]) -> list[dict[str, Any]]:
        """Of all processes, as far as they have reported; what this one has spent and reserved is up to date."""
        from emafusion.store.budget_tables import windows

        self._in_this_process()
        now = self.clock()
        self.report()
        by_name = {b.label: b for b in budgets}
        with self.engine.connect() as connection:
            found = windows(connection, {name: b.span(now).start for name, b in by_name.items()})
        return [standing(by_name[row.budget], row.key, now, spent, reserved) for row, spent, reserved in found]

    # -- reporting ---------------------------------------------------------------------------------------------

    def report(self) -> None:
        """Report all that was spent, give back what idle windows hold, charge what others left behind."""
        from emafusion.store import budget_tables

        now = self.clock()
        # Looked at first: if the database is away nothing is given back, for that could not be used any more.
        with self.engine.connect() as connection:
            gone = budget_tables.expired(connection, now)
        with self._lock:
            accounts = [a for a in self._accounts.values() if isinstance(a, _Leased)]
        for account in accounts:
            with self._asking:
                with self._lock:
                    if self._outlived(account):
                        continue
                    over = account.claim.end is not None and account.claim.end <= now
                    idle = over or not account.used
                    account.used = account.reserved > 0
                    nothing = idle and account.held == account.spent == account.reported and not account.reserved
                if not nothing:
                    self._exchange(account, close=idle)
                elif self._accounts.get(account.claim.account) is account:
                    with self._lock:
                        del self._accounts[account.claim.account]
        for lease in gone:
            with self.engine.begin() as connection:
                budget_tables.charge_expired(connection, lease, now)
        if gone:
            with self.engine.begin() as connection:
                budget_tables.prune(connection, now - KEPT)

    def close(self) -> None:
        """Report, give everything back that is not reserved, and stop. What is reserved is charged in time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
        with self._lock:
            accounts = [a for a in self._accounts.values() if isinstance(a, _Leased)]
        try:
            for account in accounts:
                with self._asking:
                    if not self._outlived(account):
                        self._exchange(account, close=True)
        except Exception as error:
            log.warning("emafusion: what was spent of the budgets could not be reported: %s", error)

    def _watch(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._stop.is_set():
                    watching = threading.Thread(
                        target=_reports, args=(weakref.ref(self), self._stop), name="emafusion-budgets", daemon=True
                    )
                    self._thread = watching
                    watching.start()

    # -- inside ------------------------------------------------------------------------------------------------

    def _opened(self, claim: Claim) -> Account:
        return _Leased(claim, held=0)

    def _leased(self, claim: Claim) -> _Leased:
        account = self._account(claim)
        assert isinstance(account, _Leased)
        if self._outlived(account):
            account = self._account(claim)
            assert isinstance(account, _Leased)
        return account

    def _outlived(self, account: _Leased) -> bool:
        """Whether a lease ended so long ago that the database may have forgotten it: it was charged whole, so there is
        nothing to report. Under the lock."""
        if account.expires_at + KEPT / 2 >= self.clock():
            return False
        if self._accounts.get(account.claim.account) is account:
            del self._accounts[account.claim.account]
        return True

    def _forget(self) -> None:
        """Nothing: an account is dropped when it has been reported and holds nothing."""


def _reports(ledger: weakref.ref[SharedLedger], stop: threading.Event) -> None:
    """The thread's loop. It keeps no ledger alive, and outlives outages."""
    wait = RENEWED
    while not stop.wait(wait):
        one = ledger()
        if one is None:
            return
        wait = one.renewed
        try:
            one.report()
        except Exception as error:
            log.debug("emafusion: the budgets could not be reported: %s", error)
        del one


def _closed(ledger: weakref.ref[SharedLedger]) -> None:
    """At the end of the process, what is not used goes back at once."""
    one = ledger()
    if one is not None:
        one.close()


def _short(key: str) -> str:
    """A key that fits the column: a long one by its digest."""
    return key if len(key) <= LONGEST_KEY else hashlib.blake2b(key.encode(), digest_size=24).hexdigest()
