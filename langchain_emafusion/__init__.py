"""EMAFusion for LangChain."""

from __future__ import annotations

from langchain_emafusion.chat_model import ChatEMAFusion
from langchain_emafusion.resolve import resolve

__all__ = ["ChatEMAFusion", "resolve"]
