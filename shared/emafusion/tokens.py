"""Token counts where the provider reports none: ``quicktok`` if it is installed, else characters / 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from emafusion.types import Message

__all__ = ["count_bytes", "count_messages", "count_tokens"]

MEDIA_TOKENS = 800
"""What one image, page or clip is taken to cost where nothing better is known."""
TURN_TOKENS = 4
"""Framing of one turn in chat formats."""


@lru_cache(maxsize=1)
def _quicktok() -> Any:
    try:
        import quicktok  # type: ignore[import-not-found, unused-ignore]

        encoding = quicktok.get_encoding("o200k_base")
        encoding.encode("probe")
        return encoding
    except Exception:  # absent, or a version with another interface: the estimate below is good enough
        return None


def count_tokens(text: str) -> int:
    """Tokens of ``text``, rounded up.

    Examples
    --------
    >>> count_tokens("")
    0
    >>> 1 <= count_tokens("four score and seven years ago") <= 10
    True
    """
    if not text:
        return 0
    encoding = _quicktok()
    if encoding is not None:
        return len(encoding.encode(text))
    return -(-len(text) // 4)


def count_messages(messages: Iterable[Message], tools: Iterable[Mapping[str, Any]] = ()) -> int:
    """Tokens of a request: turns, their tool calls, media at a flat rate, and tool schemas."""
    total = 0
    for m in messages:
        total += TURN_TOKENS + count_tokens(m.text) + MEDIA_TOKENS * len(m.media)
        for call in m.tool_calls:
            total += count_tokens(call.name) + count_tokens(str(dict(call.arguments)))
    for tool in tools:
        total += count_tokens(str(dict(tool)))
    return total


def count_bytes(messages: Iterable[Message], tools: Iterable[Mapping[str, Any]] = ()) -> int:
    """UTF-8 bytes of the same request; a turn's framing and media at a flat rate, as if a token had four bytes."""
    total = 0
    for m in messages:
        total += 4 * (TURN_TOKENS + MEDIA_TOKENS * len(m.media)) + _bytes(m.text)
        for call in m.tool_calls:
            total += _bytes(call.name) + _bytes(str(dict(call.arguments)))
    return total + sum(_bytes(str(dict(tool))) for tool in tools)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
