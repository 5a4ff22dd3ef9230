"""Routers that read the query (being written)."""

from __future__ import annotations

from typing import Any

from emafusion.routers.prior import PriceRouter


class PriorRouter(PriceRouter):
    def __init__(self, pool: Any, encoder: Any = None) -> None:
        super().__init__(pool)


class HybridRouter(PriceRouter):
    def __init__(self, pool: Any, model: Any, encoder: Any = None) -> None:
        super().__init__(pool)
