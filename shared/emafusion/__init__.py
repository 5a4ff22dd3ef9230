"""EMAFusion: self-optimising model selection by taxonomy router, learned router and judged cascade.

The names here are the public interface of the core; ``langchain_emafusion`` and ``llamaindex_emafusion`` put it behind
a LangChain chat model and a LlamaIndex LLM.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from emafusion._version import __version__
from emafusion.budgets.budget import Budget, Budgets
from emafusion.config import Candidate, Objective, Pool, Price
from emafusion.errors import (
    AllCandidatesFailed,
    ArtefactError,
    BudgetExceeded,
    ConfigError,
    EMAFusionError,
    LogError,
    NoCandidateFits,
    NotFittedError,
    ObjectiveError,
    PriceError,
)
from emafusion.types import Attempt, Decision, Forecast, Message, Query, Reply, Result, ToolCall, Usage, Verdict

if TYPE_CHECKING:
    from emafusion.fusion import Fusion
    from emafusion.judges.callable import CallableJudge
    from emafusion.judges.llm import LLMJudge
    from emafusion.judges.log_probability import LogProbability
    from emafusion.judges.pairwise import PairwiseJudge
    from emafusion.judges.self_consistency import SelfConsistency
    from emafusion.judges.self_verification import SelfVerification
    from emafusion.learning.online.settings import Learning

# Loaded on first use: they bring numpy's linear algebra or a file with them.
_LATER = {
    "CallableJudge": "emafusion.judges.callable",
    "Fusion": "emafusion.fusion",
    "LLMJudge": "emafusion.judges.llm",
    "Learning": "emafusion.learning.online.settings",
    "LogProbability": "emafusion.judges.log_probability",
    "PairwiseJudge": "emafusion.judges.pairwise",
    "SelfConsistency": "emafusion.judges.self_consistency",
    "SelfVerification": "emafusion.judges.self_verification",
}

__all__ = [
    "AllCandidatesFailed",
    "ArtefactError",
    "Attempt",
    "Budget",
    "BudgetExceeded",
    "Budgets",
    "CallableJudge",
    "Candidate",
    "ConfigError",
    "Decision",
    "EMAFusionError",
    "Forecast",
    "Fusion",
    "LLMJudge",
    "Learning",
    "LogError",
    "LogProbability",
    "Message",
    "NoCandidateFits",
    "NotFittedError",
    "Objective",
    "ObjectiveError",
    "PairwiseJudge",
    "Pool",
    "Price",
    "PriceError",
    "Query",
    "Reply",
    "Result",
    "SelfConsistency",
    "SelfVerification",
    "ToolCall",
    "Usage",
    "Verdict",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
