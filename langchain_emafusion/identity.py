"""What tells one router from another: the key under which its answers may be cached, and its parameters in a trace.

Nothing of a candidate but its name, its price and a digest of its settings goes in: settings may hold keys.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_emafusion.chat_model import ChatEMAFusion

__all__ = ["identity_of"]


def identity_of(llm: ChatEMAFusion) -> dict[str, Any]:
    """All that can change an answer."""
    fusion = llm.fusion
    objective = llm.objective.model_dump(exclude_none=True) if llm.objective is not None else None
    return {
        "candidates": [
            {
                "name": c.name,
                "price": None if c.price is None else [c.price.input, c.price.output, c.price.cached_input],
                "limits": [c.context_window, c.max_output_tokens],
                "abilities": None if c.abilities is None else sorted(c.abilities),
                "strength": [c.ability, c.rating],
                "settings": _digest(_settings(c.model)),
            }
            for c in fusion.pool
        ],
        "objective": objective,
        "router": _router(llm),
        "policy": fusion.engine.identity or None,
        "judges": None if llm.judges is None else [_judge(judge) for judge in llm.judges],
        "encoder": None if llm.encoder is None else type(llm.encoder).__name__,
        "stream_mode": llm.stream_mode,
        "abstain_below": llm.abstain_below,
        "slow_weight": llm.slow_weight if llm.slow_classifier is not None else None,
        "budgets": [f"{b.label}:{b.usd}:{b.at_limit}" for b in llm.budgets],
        "fits": llm.fits,
        "temperature": llm.temperature,
        "max_tokens": llm.max_tokens,
    }


def _settings(model: Any) -> str:
    # A bound method's own state is in the parameters that LangChain keys its caches with.
    return f"{type(model).__module__}.{type(model).__qualname__}:{model._get_llm_string()}"


def _judge(judge: Any) -> str:
    model = judge.model if judge.model is None or isinstance(judge.model, str) else type(judge.model).__name__
    samples = getattr(judge, "samples", 1)
    return f"{type(judge).__qualname__}:{judge.name}:{model}:{judge.weight}" + (f":{samples}" if samples != 1 else "")


def _router(llm: ChatEMAFusion) -> str | None:
    """A saved router by its content; a fitted one by what it is now."""
    if isinstance(llm.router, (str, Path)):
        return _digest(Path(llm.router).read_bytes())
    return None if llm.router is None else f"{type(llm.router).__name__}@{id(llm.router)}"


def _digest(content: str | bytes) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.blake2b(raw, digest_size=12).hexdigest()
