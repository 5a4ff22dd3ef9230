"""How an answer looks when it leaves: its metadata, its chunks, its content version."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.tool import tool_call_chunk

__all__ = ["BlockIndex", "LastChunk", "added_up", "as_chunk", "says", "with_blocks", "with_decision"]

M = TypeVar("M", bound=AIMessage)


def with_decision(message: M, decision: Mapping[str, Any]) -> M:
    """A copy of ``message`` that carries the decision and the name of the model that answered."""
    told = {"model_name": decision["answered_by"], **message.response_metadata, "emafusion": dict(decision)}
    return message.model_copy(update={"response_metadata": told})


def as_chunk(message: AIMessage) -> AIMessageChunk:
    """A whole message as the one chunk of a stream."""
    if isinstance(message, AIMessageChunk):
        return message
    calls = [
        tool_call_chunk(name=c["name"], args=json.dumps(c["args"]), id=c.get("id"), index=i)
        for i, c in enumerate(message.tool_calls)
    ]
    broken = [
        tool_call_chunk(name=c.get("name"), args=c.get("args"), id=c.get("id"), index=len(calls) + i)
        for i, c in enumerate(message.invalid_tool_calls)
    ]
    return AIMessageChunk(
        content=message.content,
        additional_kwargs={k: v for k, v in message.additional_kwargs.items() if k != "tool_calls"},
        response_metadata=message.response_metadata,
        id=message.id,
        name=message.name,
        usage_metadata=message.usage_metadata,
        tool_call_chunks=calls + broken,
        chunk_position="last",
    )


def says(chunk: AIMessage) -> bool:
    """Whether a chunk tells anything: text, a call, reasoning. The first of many clients only opens the message."""
    if isinstance(chunk.content, str):
        written = bool(chunk.content)
    else:
        written = any(
            b if isinstance(b, str) else set(b) - {"type", "index", "id", "text"} or b.get("text")
            for b in chunk.content
        )
    return bool(written or chunk.additional_kwargs or getattr(chunk, "tool_call_chunks", None) or chunk.tool_calls)


class LastChunk:
    """Holds a live stream's last chunk back until the decision is known, so that the last chunk can carry it."""

    def __init__(self) -> None:
        self._held: AIMessageChunk | None = None

    def passed(self, chunk: AIMessageChunk) -> Iterator[AIMessageChunk]:
        """What may go on to the consumer now."""
        if self._held is not None:  # it was not the last after all: some clients say so twice
            yield self._held.model_copy(update={"chunk_position": None})
            self._held = None
        if chunk.chunk_position == "last":
            self._held = chunk
        else:
            yield chunk

    def ending(self, written: AIMessage, answer: AIMessage) -> AIMessageChunk:
        """The last chunk: what the candidate's own held, and what ``answer`` has besides what was ``written``.

        Chunks are added up by consumers, and strings are joined when they are, so nothing is said twice.
        """
        held = self._held or AIMessageChunk(content="" if isinstance(answer.content, str) else [], id=answer.id)
        besides = {k: v for k, v in answer.response_metadata.items() if k not in written.response_metadata}
        told = {**held.response_metadata, **besides}
        return held.model_copy(update={"response_metadata": told, "chunk_position": "last"})


def with_blocks(message: M) -> M:
    """``message`` with its content as standard blocks (``output_version="v1"``)."""
    told = {**message.response_metadata, "output_version": "v1"}
    return message.model_copy(update={"content": message.content_blocks, "response_metadata": told})


def added_up(chunks: list[AIMessageChunk]) -> AIMessage:
    """The whole message of a stream.

    Raises
    ------
    ValueError
        If the stream was empty.
    """
    if not chunks:
        raise ValueError("the stream ended without a chunk")
    whole = chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]
    message = message_chunk_to_message(whole)
    assert isinstance(message, AIMessage)
    return message


class BlockIndex:
    """Numbers the blocks of a stream's chunks, so that consumers can add them up."""

    def __init__(self) -> None:
        self._index = -1
        self._kind = ""

    def number(self, chunk: AIMessageChunk) -> AIMessageChunk:
        chunk = with_blocks(chunk)
        for block in chunk.content:
            if isinstance(block, dict):
                if block.get("type") != self._kind:
                    self._kind = str(block.get("type"))
                    self._index += 1
                block.setdefault("index", self._index)
        return chunk
