"""Encoders: texts -> unit vectors.

`default_encoder()` is what everything uses unless told otherwise: a static table distilled from all-MiniLM-L6-v2,
numpy only.
"""

from __future__ import annotations

from emafusion.encoders.adapters import LangChainEncoder, LlamaIndexEncoder
from emafusion.encoders.base import Encoder, unit_rows
from emafusion.encoders.hashing import HashingEncoder
from emafusion.encoders.loading import default_encoder, load_encoder
from emafusion.encoders.static import StaticEncoder
from emafusion.encoders.tfidf import TfidfLsaEncoder

__all__ = [
    "Encoder",
    "HashingEncoder",
    "LangChainEncoder",
    "LlamaIndexEncoder",
    "StaticEncoder",
    "TfidfLsaEncoder",
    "default_encoder",
    "load_encoder",
    "unit_rows",
]
