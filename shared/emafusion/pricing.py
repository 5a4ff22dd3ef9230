"""List prices by model name, from the ``genai-prices`` package (offline). A price given by the user always wins."""

from __future__ import annotations

from functools import lru_cache

from emafusion.config import Price

__all__ = ["list_price"]


@lru_cache(maxsize=1024)
def list_price(model: str, provider: str | None = None) -> Price | None:
    """USD per million tokens of ``model``, or None where the price list does not know it.

    Parameters
    ----------
    model
        Name as the provider spells it, e.g. ``"gpt-4o-mini"``.
    provider
        E.g. ``"openai"``, ``"anthropic"``; None searches all.

    Examples
    --------
    >>> list_price("gpt-4o-mini", "openai").input
    0.15
    >>> list_price("no-such-model-anywhere") is None
    True
    """
    # Imported late: it takes over half a second.
    from genai_prices import Usage, calc_price

    # A thousand tokens, not a million: long prompts have a tier of their own in several lists.
    fresh = Usage(input_tokens=1000, output_tokens=1000, cache_read_tokens=0)
    cached = Usage(input_tokens=1000, output_tokens=0, cache_read_tokens=1000)
    for provider_id in (provider, None) if provider else (None,):
        try:
            found = calc_price(fresh, model, provider_id=provider_id)
            from_cache = calc_price(cached, model, provider_id=provider_id)
        except LookupError:
            continue
        return Price(
            input=round(float(found.input_price) * 1000, 9),
            output=round(float(found.output_price) * 1000, 9),
            cached_input=round(float(from_cache.input_price) * 1000, 9),
            source=f"genai-prices: {found.provider.id}/{found.model.id}",
        )
    return None
