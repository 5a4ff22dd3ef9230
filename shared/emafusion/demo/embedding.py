"""The shipped encoder as a LlamaIndex embedding, so that the demo's index needs no other model."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from emafusion.encoders import default_encoder

__all__ = ["ShippedEmbedding", "shipped_embedding"]


class ShippedEmbedding(BaseEmbedding):
    """Embeds with the encoder that ships with the package."""

    _encoder: Any = PrivateAttr(default_factory=default_encoder)

    def _get_text_embedding(self, text: str) -> list[float]:
        vector: list[float] = self._encoder.encode([text])[0].tolist()
        return vector

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def shipped_embedding() -> ShippedEmbedding:
    """The embedding, named so that an index shows where its vectors come from."""
    return ShippedEmbedding(model_name=default_encoder().identity)
