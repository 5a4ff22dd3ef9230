"""What a router is: from a query to a forecast."""

from __future__ import annotations

from typing import Protocol

from emafusion.types import Forecast, Query

__all__ = ["Router"]


class Router(Protocol):
    """Forecasts, for each of ``candidates``, how good its answer will be and what it will cost. Pure."""

    def forecast(self, query: Query, candidates: tuple[str, ...]) -> Forecast: ...
