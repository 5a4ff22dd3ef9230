"""The demo's table: quality, cost and latency of each way to serve, with standard errors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emafusion.demo.replay import Served

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Row", "row_of", "table_of"]


@dataclass(frozen=True)
class Row:
    """One way to serve: means over n queries, each with its standard error.

    Attributes
    ----------
    quality, quality_se
        Mean score.
    usd_per_1000, usd_per_1000_se
        USD per 1,000 queries, rejected drafts included.
    seconds, seconds_se
        Of all calls of a query, one after the other.
    quality_gap, quality_gap_se
        Against the reference candidate on the same queries.
    calls
        Calls per query.
    answered_by
        Candidate -> share of the queries that it answered.
    """

    name: str
    kind: str
    n: int
    quality: float
    quality_se: float
    usd_per_1000: float
    usd_per_1000_se: float
    seconds: float
    seconds_se: float
    quality_gap: float
    quality_gap_se: float
    calls: float
    answered_by: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def row_of(name: str, kind: str, served: Sequence[Served], reference: Sequence[Served]) -> Row:
    """Sum up what was served, paired with what the reference served."""
    score = [s.score for s in served]
    gap = [s.score - r.score for s, r in zip(served, reference)]
    quality, quality_se = _mean(score)
    usd, usd_se = _mean([1000 * s.cost_usd for s in served])
    seconds, seconds_se = _mean([s.seconds for s in served])
    gap_mean, gap_se = _mean(gap)
    calls = sum(len(s.decision.attempts) if s.decision else 1 for s in served) / len(served)
    shares = {n: count / len(served) for n, count in Counter(s.answered_by for s in served).most_common()}
    return Row(
        name, kind, len(served), quality, quality_se, usd, usd_se, seconds, seconds_se, gap_mean, gap_se, calls, shares
    )


def table_of(rows: Sequence[Row], reference: str) -> Table:
    """The rows for a terminal."""
    from rich.table import Table

    n = rows[0].n
    table = Table(
        title=f"{n} prompts that the router was not fitted on; ± is one standard error",
        caption=f"Cost and seconds count every call, rejected drafts included; the reference is {reference}.",
        title_justify="left",
        caption_justify="left",
    )
    for heading in ("", "quality", "vs reference", "USD per 1,000", "seconds", "calls"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=bool(heading))
    kind = rows[0].kind
    for row in rows:
        if row.kind != kind:
            table.add_section()
            kind = row.kind
        table.add_row(
            row.name,
            f"{row.quality:.3f} ± {row.quality_se:.3f}",
            "-" if row.name == reference else f"{row.quality_gap:+.3f} ± {row.quality_gap_se:.3f}",
            f"{row.usd_per_1000:.4f} ± {row.usd_per_1000_se:.4f}",
            f"{row.seconds:.2f} ± {row.seconds_se:.2f}",
            f"{row.calls:.2f}",
            style="bold" if row.kind == "EMAFusion" else None,
        )
    return table


def _mean(values: Sequence[float]) -> tuple[float, float]:
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1)) / math.sqrt(len(array)) if len(array) > 1 else math.nan
    return float(array.mean()), error
