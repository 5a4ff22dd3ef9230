"""What a model can take, from its LangChain profile; and what all candidates of a pool can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

__all__ = ["abilities_of", "common_profile", "profile_of"]

ABILITIES = {
    "image": ("image_inputs",),
    "audio": ("audio_inputs",),
    "video": ("video_inputs",),
    "document": ("pdf_inputs",),
    "tools": ("tool_calling",),
    # A schema can be asked for through a tool call as well as through the provider's own mode.
    "schema": ("structured_output", "tool_calling"),
}


def profile_of(model: BaseChatModel) -> Mapping[str, Any]:
    """The profile that the provider's package ships for ``model``; empty where there is none."""
    try:
        profile = getattr(model, "profile", None)
    except ImportError:  # langchain-core 1.0 looks it up in a package that may not be installed
        return {}
    return profile if isinstance(profile, Mapping) else {}


def abilities_of(model: BaseChatModel) -> frozenset[str] | None:
    """Abilities as the core names them; None means unknown. What a profile does not mention is not denied."""
    if type(model).bind_tools is BaseChatModel.bind_tools:
        return frozenset()  # no way to hand it a tool: a plain text model
    profile = profile_of(model)
    if not profile:
        return None
    return frozenset(
        ability for ability, keys in ABILITIES.items() if any(profile.get(key) is not False for key in keys)
    )


def common_profile(models: Iterable[BaseChatModel]) -> dict[str, Any] | None:
    """What holds whichever candidate answers: the least of the numbers, the conjunction of the abilities.

    A key that one profile lacks is left out; None if any model has no profile at all.
    """
    profiles = [profile_of(m) for m in models]
    if not profiles or not all(profiles):
        return None
    common: dict[str, Any] = {}
    for key in profiles[0]:
        values = [p.get(key) for p in profiles]
        if all(isinstance(v, bool) for v in values):
            common[key] = all(values)
        elif all(isinstance(v, int) for v in values):
            common[key] = min(v for v in values if isinstance(v, int))
    return common
