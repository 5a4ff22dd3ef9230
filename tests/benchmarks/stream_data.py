"""A benchmark log as two streams: one half to fit a router on, the other to serve, and the same the other way round.

What is slow (fitting, forecasting) is done once and kept as a file.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emafusion.config import Candidate, Pool
from emafusion.encoders import default_encoder
from emafusion.estimators.grouping import fold_of, groups
from emafusion.learning.fitting import fit_router
from emafusion.learning.table import infer_price, tabulate
from emafusion.log import LoggedQuery, read_log
from emafusion.routers.base import Router
from emafusion.routers.hybrid import HybridRouter, TaxonomyRouter
from emafusion.types import Forecast

__all__ = ["Stream", "streams"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stream:
    """n recorded queries to be served one after the other, with two routers' forecasts of m candidates.

    Attributes
    ----------
    names
    score, cost : (n, m)
        What every candidate would have got, and cost; NaN where it was not asked.
    vectors : (n, dim)
    shipped, shipped_spread, shipped_cost : (n, m)
        Forecast before any outcome, by the taxonomy and prices.
    fitted, fitted_spread, fitted_cost : (n, m)
        Forecast by a router that was fitted on queries that are not in this stream.
    prices : (m, 2)
        USD per million tokens of input and output.
    """

    names: tuple[str, ...]
    score: Array
    cost: Array
    vectors: Array
    shipped: Array
    shipped_spread: Array
    shipped_cost: Array
    fitted: Array
    fitted_spread: Array
    fitted_cost: Array
    prices: Array

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: NDArray[np.intp]) -> Stream:
        """Some of the queries, in this order."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return Stream(**{k: v[rows] if k not in ("names", "prices") else v for k, v in kept.items()})

    def columns(self, places: NDArray[np.intp]) -> Stream:
        """Some of the candidates, in this order."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        tables = {k: v[:, places] for k, v in kept.items() if k not in ("names", "prices", "vectors")}
        names = tuple(self.names[j] for j in places)
        return Stream(names=names, prices=self.prices[places], vectors=self.vectors, **tables)

    def forecast(self, i: int, *, fitted: bool = False, without: int | None = None) -> Forecast:
        """What the router says of query ``i``, of all candidates or of all but one."""
        p, spread, cost = (
            (self.fitted, self.fitted_spread, self.fitted_cost)
            if fitted
            else (self.shipped, self.shipped_spread, self.shipped_cost)
        )
        kept = [j for j in range(len(self.names)) if j != without]
        return Forecast(
            tuple(self.names[j] for j in kept),
            tuple(p[i, kept].tolist()),
            tuple(spread[i, kept].tolist()),
            tuple(cost[i, kept].tolist()),
            (250.0,) * len(kept),
            embedding=self.vectors[i],
        )


def streams(path: Path, cache: Path, *, log: Any = print) -> tuple[Stream, Stream]:
    """Both halves of a log, each as a stream with the router that was fitted on the other half."""
    kept = cache / f"streams-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}.npz"
    if not kept.is_file():
        entries = read_log(path)
        half = fold_of(groups([e.query().text for e in entries]), 2, seed=1)
        parts = [[e for e, h in zip(entries, half) if h == k] for k in (0, 1)]
        arrays: dict[str, Any] = {}
        for k in (0, 1):
            log(f"fitting a router for stream {k} on the other {len(parts[1 - k])} queries ...")
            arrays |= {f"{k}.{name}": value for name, value in _stream(parts[k], parts[1 - k]).items()}
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **arrays)
    with np.load(kept, allow_pickle=False) as found:
        return tuple(_load(found, k) for k in (0, 1))  # type: ignore[return-value]


def _load(found: Any, k: int) -> Stream:
    arrays = {f.name: found[f"{k}.{f.name}"] for f in fields(Stream) if f.name != "names"}
    return Stream(names=tuple(json.loads(str(found[f"{k}.names"]))), **arrays)


def _stream(served: list[LoggedQuery], fitted_on: list[LoggedQuery]) -> dict[str, Any]:
    model, _ = fit_router([e.model_dump(exclude_none=True) for e in fitted_on])
    other = tabulate(fitted_on)
    names = other.candidates
    pool = Pool([Candidate(None, name=n, price=infer_price(other, n)) for n in names])
    table = tabulate(served, names)
    queries = [e.query() for e in served]
    hybrid, shipped = (
        [router.forecast(q) for q in queries] for router in _routers(HybridRouter(pool, model), TaxonomyRouter(pool))
    )
    return {
        "names": json.dumps(names),
        "score": table.score,
        "cost": table.cost,
        "vectors": np.asarray(default_encoder().encode(table.texts), dtype=np.float64),
        "shipped": np.array([f.p_good for f in shipped]),
        "shipped_spread": np.array([f.spread for f in shipped]),
        "shipped_cost": np.array([f.cost_usd for f in shipped]),
        "fitted": np.array([f.p_good for f in hybrid]),
        "fitted_spread": np.array([f.spread for f in hybrid]),
        "fitted_cost": np.array([f.cost_usd for f in hybrid]),
        "prices": np.array([(pool.price(n).input, pool.price(n).output) for n in names]),
    }


def _routers(*routers: Router) -> tuple[Router, ...]:
    return routers
