"""(being written)"""

from __future__ import annotations

from typing import Any


class RoutingModel: ...


def load_router(path: Any) -> RoutingModel:
    raise ValueError(path)
