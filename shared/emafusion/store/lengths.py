"""Sums of how much candidates write, by candidate and epoch, that all processes add to.

A decision is added in the transaction that inserts it, so it counts once, however often it is sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from emafusion.store.tables import table
from emafusion.store.upserts import insert_new

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
    from sqlalchemy import update

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
    kept = table("lengths")
    zero = {"answers": 0.0, "expected": 0.0, "written": 0.0}
    insert_new(connection, kept, [{"candidate": c, "epoch": e, **zero} for c, e in sorted(sums)])
    for candidate, epoch in sorted(sums):  # in one order, so that processes never wait for each other in a circle
        answers, hoped, told = sums[candidate, epoch].tolist()
        more = {
            "answers": kept.c.answers + answers,
            "expected": kept.c.expected + hoped,
            "written": kept.c.written + told,
        }
        connection.execute(update(kept).where(kept.c.candidate == candidate, kept.c.epoch == epoch).values(more))


def lengths(connection: Connection) -> dict[Row, NDArray[np.float64]]:
    """(candidate, epoch) -> answers, tokens expected, tokens written (3,)."""
    import numpy as np
    from sqlalchemy import select

    rows = connection.execute(select(table("lengths"))).mappings()
    return {(r["candidate"], r["epoch"]): np.array([r["answers"], r["expected"], r["written"]]) for r in rows}


def fold(connection: Connection, into: int) -> None:
    """Put the sums of epochs up to ``into`` together in it; what they come to stays the same."""
    from sqlalchemy import delete, insert, select

    from emafusion.learning.online.lengths import total

    kept = table("lengths")
    chosen = select(kept.c.candidate, kept.c.epoch).where(kept.c.epoch <= into)
    locked = connection.execute(chosen.order_by(kept.c.candidate, kept.c.epoch).with_for_update()).all()
    if all(row.epoch == into for row in locked):
        return
    found: dict[str, dict[int, NDArray[np.float64]]] = defaultdict(dict)
    for (candidate, epoch), row in lengths(connection).items():
        if epoch <= into:
            found[candidate][epoch] = row
    connection.execute(delete(kept).where(kept.c.epoch <= into))
    after = ((candidate, total(rows).tolist()) for candidate, rows in sorted(found.items()))
    connection.execute(
        insert(kept),
        [
            {"candidate": candidate, "epoch": into, "answers": answers, "expected": hoped, "written": told}
            for candidate, (answers, hoped, told) in after
        ],
    )
