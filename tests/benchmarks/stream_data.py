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

from emafusion import ratings
from emafusion.config import Candidate, Pool, Price
from emafusion.encoders import default_encoder
from emafusion.estimators.grouping import fold_of, groups
from emafusion.learning.fitting import fit_router
from emafusion.learning.table import infer_price, read_answers, tabulate
from emafusion.log import LoggedQuery, read_log
from emafusion.routers import shipped
from emafusion.routers.base import Router
from emafusion.routers.hybrid import HybridRouter, TaxonomyRouter
from emafusion.routers.prior import TYPICAL_CALL
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
    label : int (n, m)
        Which answers agree: a number for each group of one query's; -1 where there is nothing to compare.
    vectors : (n, dim)
    shipped, shipped_spread, shipped_cost : (n, m)
        Forecast before any outcome, by the taxonomy, and by public ratings of the candidates or by their prices alone.
    newcomer, newcomer_spread : (n,)
        The same for a further candidate that nobody has rated, cheaper than all others.
    fitted, fitted_spread, fitted_cost : (n, m)
        Forecast by a router that was fitted on queries that are not in this stream.
    prices : (m, 2)
        USD per million tokens of input and output.
    """

    names: tuple[str, ...]
    score: Array
    cost: Array
    label: NDArray[np.int_]
    vectors: Array
    shipped: Array
    shipped_spread: Array
    shipped_cost: Array
    newcomer: Array
    newcomer_spread: Array
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
        for name, value in kept.items():
            if np.ndim(value) == 2 and name not in ("prices", "vectors"):
                kept[name] = value[:, places]
        return Stream(**{**kept, "names": tuple(self.names[j] for j in places), "prices": self.prices[places]})

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


def streams(path: Path, cache: Path, *, rated: bool = True, log: Any = print) -> tuple[Stream, Stream]:
    """Both halves of a log, each as a stream with the router that was fitted on the other half.

    ``rated=False``: as if no leaderboard had rated any of the candidates, so that their prices are all that is known.
    """
    prior = (Path(ratings.__file__).with_name("ratings.json"), Path(ratings.__file__), Path(shipped.__file__))
    key = b"".join(file.read_bytes() for file in (path, *prior))
    kept = cache / f"streams-{hashlib.sha256(key).hexdigest()[:12]}{'' if rated else '-unrated'}.npz"
    if not kept.is_file():
        entries = read_log(path)
        half = fold_of(groups([e.query().text for e in entries]), 2, seed=1)
        parts = [[e for e, h in zip(entries, half) if h == k] for k in (0, 1)]
        arrays: dict[str, Any] = {}
        for k in (0, 1):
            log(f"fitting a router for stream {k} on the other {len(parts[1 - k])} queries ...")
            arrays |= {f"{k}.{name}": value for name, value in _stream(parts[k], parts[1 - k], rated).items()}
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **arrays)
    with np.load(kept, allow_pickle=False) as found:
        return tuple(_load(found, k) for k in (0, 1))  # type: ignore[return-value]


def _load(found: Any, k: int) -> Stream:
    arrays = {f.name: found[f"{k}.{f.name}"] for f in fields(Stream) if f.name != "names"}
    return Stream(names=tuple(json.loads(str(found[f"{k}.names"]))), **arrays)


def _stream(served: list[LoggedQuery], fitted_on: list[LoggedQuery], rated: bool) -> dict[str, Any]:
    model, _ = fit_router([e.model_dump(exclude_none=True) for e in fitted_on])
    other = tabulate(fitted_on)
    names = other.candidates
    prices = [infer_price(other, n) for n in names]
    pool = Pool([Candidate(None, name=n, price=p) for n, p in zip(names, prices)])
    known = [n if rated else f"candidate {j}" for j, n in enumerate(names)]
    cheapest = min(prices, key=lambda p: p.cost(TYPICAL_CALL))
    half = Price(cheapest.input / 2, cheapest.output / 2)
    shipping = Pool([Candidate(None, name=n, price=p) for n, p in zip([*known, "newcomer"], [*prices, half])])
    table = tabulate(served, names)
    queries = [e.query() for e in served]
    routers: tuple[Router, ...] = (
        HybridRouter(pool, model),
        TaxonomyRouter(Pool(list(shipping)[:-1])),
        TaxonomyRouter(shipping),
    )
    fitted, unfitted, wider = ([router.forecast(q) for q in queries] for router in routers)
    return {
        "names": json.dumps(names),
        "score": table.score,
        "cost": table.cost,
        "label": read_answers(served, table).label,
        "vectors": np.asarray(default_encoder().encode(table.texts), dtype=np.float64),
        "shipped": np.array([f.p_good for f in unfitted]),
        "shipped_spread": np.array([f.spread for f in unfitted]),
        "shipped_cost": np.array([f.cost_usd for f in unfitted]),
        "newcomer": np.array([f.p_good[-1] for f in wider]),
        "newcomer_spread": np.array([f.spread[-1] for f in wider]),
        "fitted": np.array([f.p_good for f in fitted]),
        "fitted_spread": np.array([f.spread for f in fitted]),
        "fitted_cost": np.array([f.cost_usd for f in fitted]),
        "prices": np.array([(p.input, p.output) for p in prices]),
    }
