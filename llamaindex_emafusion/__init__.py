"""EMAFusion for LlamaIndex: ``Settings.llm = EMAFusion(candidates=[...])``."""

from __future__ import annotations

try:
    from llamaindex_emafusion.evaluators import EvaluatorJudge
    from llamaindex_emafusion.events import EMAFusionDecisionEvent
    from llamaindex_emafusion.feedback import SpanFeedback
    from llamaindex_emafusion.llm import EMAFusion
except ModuleNotFoundError as missing:
    if (missing.name or "").startswith("llama_index"):
        message = f"{missing.name} is not installed: pip install 'emafusion[llamaindex]'"
        raise ModuleNotFoundError(message, name=missing.name) from missing
    raise

__all__ = ["EMAFusion", "EMAFusionDecisionEvent", "EvaluatorJudge", "SpanFeedback"]
