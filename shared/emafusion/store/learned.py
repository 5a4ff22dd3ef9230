"""Learned sums: what each answer taught, added up by candidate and epoch by as many processes as there are.

An answer's contribution may change: a judge's word comes first, a user's later. So ``credits`` keeps what is known of
each answer, every hint under its key, and a change subtracts what was added before and adds what is now known. Locks
are taken in sorted order, credits before sums, so that processes wait for each other but never in a circle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from emafusion.errors import ConfigError
from emafusion.store import lengths
from emafusion.store.database import Database
from emafusion.store.records import Learned
from emafusion.store.tables import table
from emafusion.store.upserts import insert_new
from emafusion.store.vectors import vector_from_bytes, vector_to_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from emafusion.learning.online.hints import Answer
    from emafusion.learning.online.observation import Observation

__all__ = ["Sums", "learn"]


def learn(connection: Connection, learned: Sequence[Learned]) -> None:
    """Add observations to the sums, in one transaction that may write; what is known already changes nothing.

    Raises
    ------
    ValueError
        If a contribution has another length than the sums that it belongs to.
    """
    by_answer: dict[tuple[str, str], list[Learned]] = defaultdict(list)
    for x in learned:
        by_answer[x.observation.decision_id, x.observation.candidate].append(x)
    credits = table("credits")
    insert_new(connection, credits, [_unheard(by_answer[answer][0]) for answer in sorted(by_answer)])
    before = _locked(connection, "credits", ("decision_id", "candidate"), by_answer)
    changes: dict[tuple[str, int], NDArray[np.float64]] = {}
    after = []
    for answer, said in by_answer.items():
        row = before[answer]
        like, now = said[0].observation, {**row, "hints": dict(row["hints"] or {})}
        for x in said:
            _hear(now, x)
        if now == {**row, "hints": row["hints"] or {}}:
            continue
        old, new = _answer(like, row).observation, _answer(like, now).observation
        after.append(now)
        change = new.contribution() - old.contribution()
        changes[new.key] = changes[new.key] + change if new.key in changes else change
    if not after:
        return
    _rewrite(connection, "credits", ("decision_id", "candidate"), after)
    zero = {key: {"candidate": key[0], "epoch": key[1], "values": bytes(8 * len(changes[key]))} for key in changes}
    insert_new(connection, table("statistics"), [zero[key] for key in sorted(zero)])
    sums = _locked(connection, "statistics", ("candidate", "epoch"), changes)
    for key, change in changes.items():
        total = vector_from_bytes(sums[key]["values"])
        if total.shape != change.shape:
            raise ValueError(
                f"the sums of {key[0]!r} hold {len(total)} numbers and an observation adds {len(change)}: "
                "another encoder or version learned them; forget the candidate to begin anew"
            )
        sums[key] = {**sums[key], "values": vector_to_bytes(total + change)}
    _rewrite(connection, "statistics", ("candidate", "epoch"), list(sums.values()))


def _unheard(learned: Learned) -> dict[str, Any]:
    """The row of an answer of which nobody has said anything: it contributes nothing."""
    seen = learned.observation
    return {
        "decision_id": seen.decision_id,
        "candidate": seen.candidate,
        "tick": float(seen.tick),
        "features": vector_to_bytes(seen.features),
        "forecast": float(seen.forecast),
        "judge": None,
        "weight": float(seen.weight),
        "judged_at": None,
        "truth": None,
        "propensity": float(seen.propensity),
        "told_at": None,
        "created_at": learned.at,
        "hints": None,
    }


def _hear(row: dict[str, Any], learned: Learned) -> None:
    """Take in the words that are new; the last one counts, whichever process it came through."""
    seen, at = learned.observation, learned.at
    for hint in learned.hints:
        said = [hint.judge, hint.weight, at.isoformat(timespec="microseconds")]
        known = row["hints"].get(hint.key)
        if known is None or (said[2] >= known[2] and said[:2] != known[:2]):
            row["hints"][hint.key] = said
    if seen.judge is not None and _is_news(row["judge"], row["judged_at"], seen.judge, at):
        row |= {"judge": float(seen.judge), "weight": float(seen.weight), "judged_at": at}
    if seen.truth is not None and _is_news(row["truth"], row["told_at"], seen.truth, at):
        row |= {"truth": float(seen.truth), "propensity": float(seen.propensity), "told_at": at}


def _is_news(known: float | None, known_at: datetime | None, said: float, at: datetime) -> bool:
    return known_at is None or (at >= known_at and said != known)


def _answer(like: Observation, row: Mapping[str, Any]) -> Answer:
    """What is known of an answer. Of what the first observation said only the words are ever replaced."""
    from emafusion.learning.online.hints import Answer, Hint

    seen = replace(
        like,
        tick=row["tick"],
        features=vector_from_bytes(row["features"]),
        forecast=row["forecast"],
        weight=row["weight"],
        propensity=row["propensity"],
        judge=row["judge"],
        truth=row["truth"],
    )
    hints = sorted((row["hints"] or {}).items())
    return Answer(seen, tuple(Hint(key, judge, weight) for key, (judge, weight, _) in hints))


def _locked(
    connection: Connection, name: str, key: tuple[str, str], wanted: Mapping[Any, object]
) -> dict[tuple[Any, Any], dict[str, Any]]:
    """Rows by their key, locked until the transaction ends. (On SQLite the transaction itself is the lock.)"""
    from sqlalchemy import select, tuple_

    rows = table(name)
    columns = [rows.c[k] for k in key]
    chosen = select(rows).where(tuple_(*columns).in_(list(wanted))).order_by(*columns).with_for_update()
    return {(row[key[0]], row[key[1]]): dict(row) for row in connection.execute(chosen).mappings()}


def _rewrite(connection: Connection, name: str, key: tuple[str, str], rows: list[dict[str, Any]]) -> None:
    from sqlalchemy import bindparam, update

    changed = table(name)
    renamed = [{(f"old_{k}" if k in key else k): v for k, v in row.items()} for row in rows]
    where = [changed.c[k] == bindparam(f"old_{k}") for k in key]
    connection.execute(
        update(changed).where(*where).values({k: bindparam(k) for k in rows[0] if k not in key}), renamed
    )


class Sums(Database):
    """The store's learned sums."""

    def statistics(self) -> dict[tuple[str, int], NDArray[np.float64]]:
        """(candidate, epoch) -> what all processes have learned and written by now."""
        from sqlalchemy import select

        rows = self._look(lambda connection: connection.execute(select(table("statistics"))).all())
        return {(row.candidate, row.epoch): vector_from_bytes(row[2]) for row in rows}  # "values" is a method of rows

    def lengths(self) -> dict[tuple[str, int], NDArray[np.float64]]:
        """(candidate, epoch) -> how many answers all processes saw, tokens expected of them, tokens written (3,)."""
        return self._look(lengths.lengths)

    def answers(self, decision_id: str) -> list[Answer]:
        """What is known of the answers of a decision, in the order of their candidates' names."""
        from sqlalchemy import select

        from emafusion.learning.online.observation import Observation

        credits = table("credits")
        chosen = select(credits).where(credits.c.decision_id == decision_id).order_by(credits.c.candidate)
        rows = self._look(lambda connection: connection.execute(chosen).mappings().all())
        bare = (Observation(decision_id, row["candidate"], 0.0, vector_from_bytes(b""), 0.0) for row in rows)
        return [_answer(like, dict(row)) for like, row in zip(bare, rows)]

    def fold(self, into: int, scaled: Callable[[NDArray[np.float64], int], NDArray[np.float64]]) -> None:
        """Add the sums of epochs before ``into`` to those of it, and remove them.

        Parameters
        ----------
        scaled
            A row, and how many epochs it is carried forward -> the row as it is to be added.
        """
        self._change(partial(_fold, into=into, scaled=scaled))

    def next_ticks(self, n: int) -> int:
        """The first of ``n`` decision numbers in a row that no other process gets; the very first is 0."""
        if n < 1:
            raise ConfigError(f"next_ticks hands out one number or more, not {n!r}")
        return self._change(partial(_count_on, n=n))

    def forget(self, candidate: str) -> None:
        """Remove what was learned of a candidate, for good; what other processes have queued comes after that."""
        self.flush()
        self._change(partial(_forget, candidate=candidate))


def _count_on(connection: Connection, n: int) -> int:
    from sqlalchemy import select, update

    counters = table("counters")
    mine = counters.c.name == "ticks"
    insert_new(connection, counters, [{"name": "ticks", "value": 0}])
    connection.execute(update(counters).where(mine).values(value=counters.c.value + n))
    return int(connection.execute(select(counters.c.value).where(mine)).scalar_one()) - n


def _fold(connection: Connection, into: int, scaled: Callable[[NDArray[np.float64], int], NDArray[np.float64]]) -> None:
    from sqlalchemy import delete, select

    lengths.fold(connection, into)
    sums = table("statistics")
    chosen = select(sums).where(sums.c.epoch <= into).order_by(sums.c.candidate, sums.c.epoch).with_for_update()
    rows = connection.execute(chosen).all()
    old = [row for row in rows if row.epoch < into]
    if not old:
        return
    totals: dict[tuple[str, int], NDArray[np.float64]] = {}
    for row in rows:
        values = scaled(vector_from_bytes(row[2]), into - row.epoch)
        key = (row.candidate, into)
        totals[key] = totals[key] + values if key in totals else values
    connection.execute(delete(sums).where(sums.c.epoch < into))
    zero = [{"candidate": key[0], "epoch": key[1], "values": bytes(8 * len(totals[key]))} for key in sorted(totals)]
    insert_new(connection, sums, zero)
    after = [{"candidate": key[0], "epoch": key[1], "values": vector_to_bytes(totals[key])} for key in sorted(totals)]
    _rewrite(connection, "statistics", ("candidate", "epoch"), after)


def _forget(connection: Connection, candidate: str) -> None:
    from sqlalchemy import delete

    for name in ("lengths", "credits", "statistics"):
        rows = table(name)
        connection.execute(delete(rows).where(rows.c.candidate == candidate))
