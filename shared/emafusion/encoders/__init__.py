"""Encoders: texts -> unit vectors.

`default_encoder()` is what everything uses unless told otherwise: a static table distilled from all-MiniLM-L6-v2, numpy only.
"""

from __future__ import annotations

from functools import lru_cache

from emafusion.encoders.base import Encoder, unit_rows
from emafusion.encoders.static import StaticEncoder

__all__ = ["Encoder", "StaticEncoder", "default_encoder", "unit_rows"]


@lru_cache(maxsize=1)
def default_encoder() -> Encoder:
    """Return the shipped static encoder; one instance a process, its table read on the first use."""
    return StaticEncoder()
