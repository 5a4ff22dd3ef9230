"""Estimators: what is expected of each candidate on a query before any answer exists."""

from __future__ import annotations

from emafusion.estimators.forecaster import Forecaster
from emafusion.estimators.forecasts import Forecasts

__all__ = ["Forecaster", "Forecasts"]
