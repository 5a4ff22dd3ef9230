"""Sums of how much candidates write, by candidate and epoch, that all processes add to.

A decision is added in the transaction that inserts it, so it counts once, however often it is sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from emafusion.store.tables import table
from emafusion.store.upserts import add_up

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from emafusion.store.rows import Rows

__all__ = ["add", "fold", "known", "lengths"]

Row = tuple[str, int]


def known(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of these decisions that are in the database already."""
    from sqlalchemy import select

    decisions = table("decisions")
    return set(connection.execute(select(decisions.c.id).where(decisions.c.id.in_(ids))).scalars()) if ids else set()


def add(connection: Connection, made: Iterable[Rows]) -> None:
    """Add the answers of decisions that are new, where their providers told how long they were."""
    from emafusion.learning.online.lengths import counted
    from emafusion.learning.online.observation import EPOCH

    sums: dict[Row, NDArray[np.float64]] = {}
    for rows in made:
        epoch = int((rows.decision["tick"] or 0.0) // EPOCH)
        for attempt in rows.attempts:
            expected, written = attempt.get("expected_tokens"), attempt["output_tokens"]
            if expected is None or written is None or attempt["tokens_estimated"]:
                continue
            key, one = (attempt["candidate"], epoch), counted(expected, written)
            sums[key] = sums[key] + one if key in sums else one
    add_up(connection, table("lengths"), [_row(key, sums[key]) for key in sorted(sums)])


def _row(key: Row, sums: NDArray[np.float64]) -> dict[str, Any]:
    answers, hoped, told = sums.tolist()
    return {"candidate": key[0], "epoch": key[1], "answers": answers, "expected": hoped, "written": told}


def lengths(connection: Connection) -> dict[Row, NDArray[np.float64]]:
    """(candidate, epoch) -> answers, tokens expected, tokens written (3,)."""
    from sqlalchemy import select

    rows = connection.execute(select(table("lengths"))).mappings()
    return {(row["candidate"], row["epoch"]): _sums(dict(row)) for row in rows}


def fold(connection: Connection, into: int) -> None:
    """Put the sums of epochs up to ``into`` together in it; what they come to stays the same."""
    from sqlalchemy import delete, select, tuple_

    from emafusion.learning.online.lengths import total

    kept = table("lengths")
    key = kept.c.candidate, kept.c.epoch
    chosen = select(kept).where(kept.c.epoch <= into).order_by(*key).with_for_update()
    found: dict[str, dict[int, NDArray[np.float64]]] = defaultdict(dict)
    for row in connection.execute(chosen).mappings():
        found[row["candidate"]][row["epoch"]] = _sums(dict(row))
    old = {candidate: rows for candidate, rows in found.items() if min(rows) < into}
    gone = [(candidate, epoch) for candidate, rows in old.items() for epoch in rows]
    if gone:  # what others add meanwhile is not among them
        connection.execute(delete(kept).where(tuple_(*key).in_(gone)))
        add_up(connection, kept, [_row((candidate, into), total(old[candidate])) for candidate in sorted(old)])


def _sums(row: Mapping[str, Any]) -> NDArray[np.float64]:
    import numpy as np

    return np.array([row["answers"], row["expected"], row["written"]])
