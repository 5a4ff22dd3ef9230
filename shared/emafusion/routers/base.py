"""What a router is: from a query to a forecast."""

from __future__ import annotations

from typing import Protocol

from emafusion.types import Forecast, Query

__all__ = ["Router"]


class Router(Protocol):
    """Forecasts, for every candidate of the pool in its order, how good its answer will be and at what cost. Pure."""

    def forecast(self, query: Query) -> Forecast: ...
