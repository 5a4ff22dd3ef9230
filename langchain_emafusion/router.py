"""``EMAFusionRouter``: from an input to the candidate that would be asked, with no model called."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.runnables import Runnable, RunnableConfig

from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = ["EMAFusionRouter"]
