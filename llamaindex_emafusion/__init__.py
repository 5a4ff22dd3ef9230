"""EMAFusion for LlamaIndex: ``Settings.llm = EMAFusion(candidates=[...])``."""

from __future__ import annotations

from llamaindex_emafusion.events import EMAFusionDecisionEvent
from llamaindex_emafusion.llm import EMAFusion

__all__ = ["EMAFusion", "EMAFusionDecisionEvent"]
