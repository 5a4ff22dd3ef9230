"""EMAFusion for LangChain: ``ChatEMAFusion`` in the place of a chat model, ``EMAFusionRouter`` to branch on."""

from __future__ import annotations

from langchain_emafusion.chat_model import ChatEMAFusion
from langchain_emafusion.resolve import resolve
from langchain_emafusion.router import EMAFusionRouter

__all__ = ["ChatEMAFusion", "EMAFusionRouter", "resolve"]
