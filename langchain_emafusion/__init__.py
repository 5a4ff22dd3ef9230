"""EMAFusion for LangChain: ``ChatEMAFusion`` in the place of a chat model, ``EMAFusionRouter`` to branch on."""

from __future__ import annotations

try:
    from langchain_emafusion.chat_model import ChatEMAFusion
    from langchain_emafusion.feedback import FeedbackCallback
    from langchain_emafusion.resolve import resolve
    from langchain_emafusion.router import EMAFusionRouter
except ModuleNotFoundError as missing:
    if (missing.name or "").startswith("langchain"):
        message = f"{missing.name} is not installed: pip install 'emafusion[langchain]'"
        raise ModuleNotFoundError(message, name=missing.name) from missing
    raise

__all__ = ["ChatEMAFusion", "EMAFusionRouter", "FeedbackCallback", "resolve"]
