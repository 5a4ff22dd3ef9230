"""The nouns here wrap the embedding models that an application already has, LangChain's or LlamaIndex's.

By duck typing: neither framework is imported. Such encoders may call a network when they encode; the shipped ones never
do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emafusion.encoders.base import unit_rows
from emafusion.errors import ConfigError

__all__ = ["LangChainEncoder", "LlamaIndexEncoder"]


class _Embeddings(Protocol):
    def embed_documents(self, texts: list[str]) -> list[list[float]]: ...


class _EmbedModel(Protocol):
    def get_text_embedding_batch(self, texts: list[str], **kwargs: Any) -> list[list[float]]: ...


class _WrappedEncoder:
    """What both wrappers share: identity from class and model name, width found on first use, blank texts not sent."""

    def __init__(self, model: object, kind: str, identity: str | None) -> None:
        self._dim: int | None = None
        self.identity = identity or f"{kind}:{type(model).__name__}:{_model_name(model)}"

    @property
    def dim(self) -> int:
        """Width of a vector; asks the model once when nothing has been encoded yet."""
        if self._dim is None:
            self.encode(["width"])
        assert self._dim is not None
        return self._dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into shape (n, dim), rows of L2 norm 1 (0 for a blank text)."""
        if isinstance(texts, str):
            raise TypeError("encode takes a sequence of texts, not one text: write encode([text])")
        filled = [position for position, text in enumerate(texts) if text.strip()]
        if not filled:
            return np.zeros((len(texts), self.dim), dtype=np.float32)
        vectors = np.asarray(self._embed([texts[position] for position in filled]), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(filled):
            raise ConfigError(
                f"{self.identity} gave shape {vectors.shape} for {len(filled)} texts; expected one vector each"
            )
        if self._dim is not None and vectors.shape[1] != self._dim:
            raise ConfigError(f"{self.identity} changed its width from {self._dim} to {vectors.shape[1]}")
        self._dim = int(vectors.shape[1])
        rows = np.zeros((len(texts), self._dim), dtype=np.float32)
        rows[filled] = vectors
        return unit_rows(rows)

    def _embed(self, texts: list[str]) -> list[list[float]]:
        raise NotImplementedError


class LangChainEncoder(_WrappedEncoder):
    """Any LangChain ``Embeddings``: an object with ``embed_documents``.

    Parameters
    ----------
    embeddings : object
        The embedding model.
    identity : str, optional
        What artefacts record; class and model name unless given. Give one when the name does not pin the weights.
    """

    def __init__(self, embeddings: _Embeddings, *, identity: str | None = None) -> None:
        if not callable(getattr(embeddings, "embed_documents", None)):
            raise ConfigError(f"{type(embeddings).__name__} has no embed_documents; give a LangChain Embeddings object")
        super().__init__(embeddings, "langchain", identity)
        self._embeddings = embeddings

    def _embed(self, texts: list[str]) -> list[list[float]]:
        return self._embeddings.embed_documents(texts)


class LlamaIndexEncoder(_WrappedEncoder):
    """Any LlamaIndex ``BaseEmbedding``: an object with ``get_text_embedding_batch``; see `LangChainEncoder`."""

    def __init__(self, embed_model: _EmbedModel, *, identity: str | None = None) -> None:
        if not callable(getattr(embed_model, "get_text_embedding_batch", None)):
            raise ConfigError(
                f"{type(embed_model).__name__} has no get_text_embedding_batch; give a LlamaIndex embedding"
            )
        super().__init__(embed_model, "llama-index", identity)
        self._embed_model = embed_model

    def _embed(self, texts: list[str]) -> list[list[float]]:
        return self._embed_model.get_text_embedding_batch(texts)


def _model_name(model: object) -> str:
    for attribute in ("model", "model_name", "model_id", "deployment_name"):
        name = getattr(model, attribute, None)
        if isinstance(name, str) and name:
            return name
    return "unnamed"
