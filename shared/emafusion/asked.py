"""What is being asked: from a conversation to the :class:`Query` that routers read.

The rules, in order:

1. The last human turn is the question. The system prompt, tool calls and tool output never are.
2. A turn that cannot stand alone ("and for Paris?", "ok, go on", "why?") borrows the human turns before it, nearest
   first, until the text stands; an assistant's turn is never borrowed, for it would route on a model's style.
3. What comes after the last human turn is a tool loop: same question, same session, ``mid_turn`` is set.
4. With no human turn at all, the last turn with text stands in (a chain that only sends a system prompt asks there).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emafusion.tokens import count_bytes, count_messages
from emafusion.types import Message, Query

__all__ = ["asked_text", "build_query", "conversation_key", "session_key"]

STANDS_ALONE_WORDS = 6
"""A human turn with at least so many words (or ``STANDS_ALONE_CHARS`` characters, for scripts without spaces)..."""
STANDS_ALONE_CHARS = 40
BORROWED_TURNS = 3
BORROWED_CHARS = 2000


def _stands_alone(text: str) -> bool:
    stripped = text.strip()
    return len(stripped.split()) >= STANDS_ALONE_WORDS or len(stripped) >= STANDS_ALONE_CHARS


def asked_text(messages: Sequence[Message]) -> str:
    """The text to route on.

    Examples
    --------
    >>> asked_text([Message("system", "You are terse."), Message("user", "What is the weather in Rome today?"),
    ...             Message("assistant", "Sunny."), Message("user", "and for Paris?")])
    'What is the weather in Rome today?\\nand for Paris?'
    """
    human = [m.text for m in messages if m.role == "user" and m.text.strip()]
    if not human:
        texts = [m.text for m in messages if m.text.strip() and m.role != "tool"]
        return texts[-1].strip() if texts else ""
    parts = [human[-1].strip()]
    for earlier in reversed(human[:-1][-BORROWED_TURNS:]):
        if any(_stands_alone(p) for p in parts):
            break
        parts.insert(0, earlier.strip()[:BORROWED_CHARS])
    return "\n".join(parts)


def session_key(messages: Sequence[Message], thread: str | None = None) -> str:
    """Key of a conversation up to and including its last human turn, equal on every step of one tool loop.

    Frameworks resend the whole history, so the history itself is the identity; ``thread`` tells apart users who
    happen to write the same.
    """
    last = max((i for i, m in enumerate(messages) if m.role == "user"), default=len(messages) - 1)
    digest = hashlib.blake2b((thread or "").encode(), digest_size=12)
    for m in messages[: last + 1]:
        digest.update(f"\x00{m.role}\x01".encode())
        digest.update(m.text.encode("utf-8", "replace"))
    return digest.hexdigest()


def conversation_key(messages: Sequence[Message], thread: str | None = None) -> str:
    """Key of a whole conversation: ``thread`` where the caller names one, else its beginning.

    Every later request repeats what came up to the first human turn. Conversations without a thread that begin alike
    are taken for one.
    """
    if thread is not None:
        return thread
    first = min((i for i, m in enumerate(messages) if m.role == "user"), default=len(messages) - 1)
    return session_key(messages[: first + 1])


def build_query(
    messages: Iterable[Message],
    *,
    tools: Iterable[Mapping[str, Any]] = (),
    schema: Mapping[str, Any] | None = None,
    context: str = "",
    thread: str | None = None,
    max_output_tokens: int | None = None,
    id: str | None = None,
) -> Query:
    """Build the :class:`Query` for a request."""
    turns = tuple(messages)
    tools = tuple(tools)
    needs: set[str] = set()
    for m in turns:
        needs |= m.media
    if tools:
        needs.add("tools")
    if schema is not None:
        needs.add("schema")
    last_human = max((i for i, m in enumerate(turns) if m.role == "user"), default=-1)
    mid_turn = any(m.role in ("assistant", "tool") for m in turns[last_human + 1 :]) if last_human >= 0 else False
    return Query(
        text=asked_text(turns),
        prompt_tokens=count_messages(turns, tools),
        prompt_bytes=count_bytes(turns, tools),
        needs=frozenset(needs),
        tools=tools,
        schema=schema,
        context=context,
        session=session_key(turns, thread) if turns else None,
        conversation=conversation_key(turns, thread) if turns else thread,
        thread_named=thread is not None,
        mid_turn=mid_turn,
        max_output_tokens=max_output_tokens,
        id=id,
    )
