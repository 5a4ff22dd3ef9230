"""The OpenAI wire format: what goes out as plain dicts, and what comes back as a :class:`Reply`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from emafusion.asked import build_query
from emafusion.tokens import count_messages, count_tokens
from emafusion.types import Message, Query, Reply, Role, ToolCall, Usage

__all__ = ["StreamedReply", "WireMessage", "from_wire", "query_of", "reply_of", "to_wire"]

WireMessage: TypeAlias = Mapping[str, Any]

MEDIA = {"image_url": "image", "input_audio": "audio", "video_url": "video", "file": "document"}
ROLES = {"developer": "system", "function": "tool"}


def to_wire(message: Message | WireMessage) -> dict[str, Any]:
    """A turn as the wire wants it; one that is on the wire's form already passes as a copy.

    Examples
    --------
    >>> to_wire(Message("user", "Hello"))
    {'role': 'user', 'content': 'Hello'}
    """
    if not isinstance(message, Message):
        return dict(message)
    turn: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id or f"call_{i}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
            }
            for i, call in enumerate(message.tool_calls)
        ]
    return turn


def from_wire(message: Message | WireMessage) -> Message:
    """A turn stripped to what routers and judges read.

    Examples
    --------
    >>> from_wire({"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url"}]})
    Message(role='user', text='What is this?', tool_calls=(), media=frozenset({'image'}))
    """
    if isinstance(message, Message):
        return message
    content = message.get("content")
    parts: Sequence[Mapping[str, Any]] = [] if content is None or isinstance(content, str) else content
    text = content if isinstance(content, str) else "\n".join(p["text"] for p in parts if p.get("type") == "text")
    return Message(
        role=cast(Role, ROLES.get(message["role"], message["role"])),
        text=text,
        tool_calls=tuple(_tool_call(call) for call in message.get("tool_calls") or ()),
        media=frozenset(MEDIA[p["type"]] for p in parts if p.get("type") in MEDIA),
    )


def query_of(
    messages: Iterable[Message | WireMessage],
    tools: Iterable[Mapping[str, Any]] = (),
    *,
    thread: str | None = None,
    context: str = "",
    id: str | None = None,
    **params: Any,
) -> Query:
    """The :class:`Query` of a chat request; ``params`` are its own (``response_format``, ``max_tokens``, ...).

    Examples
    --------
    >>> query_of([{"role": "user", "content": "List three primes."}], response_format={"type": "json_object"}).needs
    frozenset({'schema'})
    """
    wanted = params.get("response_format") or {}
    schema = {"type": "object"} if wanted.get("type") == "json_object" else None
    if wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema", {})
    return build_query(
        [from_wire(m) for m in messages],
        tools=tools,
        schema=schema,
        context=context,
        thread=thread,
        max_output_tokens=params.get("max_completion_tokens") or params.get("max_tokens"),
        id=id,
    )


def reply_of(completion: Mapping[str, Any], asked: Sequence[WireMessage], tools: Sequence[Mapping[str, Any]]) -> Reply:
    """The reply in a ``chat.completion``; ``native`` is the assistant's message as a dict.

    ``asked`` and ``tools`` serve to estimate the usage where the server reports none.

    Raises
    ------
    ValueError
        If the completion holds no choice.
    """
    choices = completion.get("choices") or ()
    if not choices:
        raise ValueError(f"the server's completion has no choices: {str(dict(completion))[:200]}")
    choice = choices[0]
    message = {k: v for k, v in choice["message"].items() if v is not None}
    message.setdefault("content", None)
    text = message.get("content") or message.get("refusal") or ""
    calls = tuple(_tool_call(call) for call in message.get("tool_calls") or ())
    return Reply(
        text=text,
        tool_calls=calls,
        finish_reason=choice.get("finish_reason"),
        usage=_usage(completion.get("usage")) or _estimate(asked, tools, text, calls),
        native=message,
        logprobs=_logprobs(choice.get("logprobs")),
        tokens=_tokens(choice.get("logprobs")),
    )


@dataclass(slots=True)
class StreamedReply:
    """Gathers the chunks of a stream into the completion that they make together."""

    text: str = ""
    refusal: str = ""
    tool_calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None

    def add(self, chunk: Mapping[str, Any]) -> dict[str, Any]:
        """Take a ``chat.completion.chunk``; returns what is new in it for a consumer (empty: nothing)."""
        self.usage = chunk.get("usage") or self.usage
        choices = chunk.get("choices") or ()
        if not choices:
            return {}
        choice = choices[0]
        delta = choice.get("delta") or {}
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        self.text += delta.get("content") or ""
        self.refusal += delta.get("refusal") or ""
        self.logprobs += (choice.get("logprobs") or {}).get("content") or ()
        for piece in delta.get("tool_calls") or ():
            self._add_call(piece)
        return {k: delta[k] for k in ("content", "refusal", "tool_calls") if delta.get(k)}

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        index = piece.get("index")
        if index is None:  # some servers leave it out and send each call whole
            index = len(self.tool_calls)
        call = self.tool_calls.setdefault(index, {"type": "function", "function": {"name": "", "arguments": ""}})
        if piece.get("id"):
            call["id"] = piece["id"]
        function = piece.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""

    def completion(self) -> dict[str, Any]:
        """The whole as a ``chat.completion``."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text or None}
        if self.refusal:
            message["refusal"] = self.refusal
        if self.tool_calls:
            message["tool_calls"] = [self.tool_calls[i] for i in sorted(self.tool_calls)]
        logprobs = {"content": self.logprobs} if self.logprobs else None
        choice = {"message": message, "finish_reason": self.finish_reason, "logprobs": logprobs}
        return {"choices": [choice], "usage": self.usage}


def _tool_call(call: Mapping[str, Any]) -> ToolCall:
    """Arguments that are not a JSON object make the call invalid rather than raise: a judge will see it."""
    function = call.get("function") or {}
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except ValueError:
        arguments = None
    valid = isinstance(arguments, dict)
    return ToolCall(function.get("name") or "", arguments if valid else {}, call.get("id"), valid)


def _usage(reported: Mapping[str, Any] | None) -> Usage | None:
    if not reported or reported.get("prompt_tokens") is None:
        return None
    cached = (reported.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return Usage(reported["prompt_tokens"], reported.get("completion_tokens") or 0, cached)


def _estimate(
    asked: Sequence[WireMessage], tools: Sequence[Mapping[str, Any]], text: str, calls: tuple[ToolCall, ...]
) -> Usage:
    written = count_tokens(text)
    written += sum(count_tokens(c.name) + count_tokens(str(dict(c.arguments))) for c in calls)
    return Usage(count_messages([from_wire(m) for m in asked], tools), written, estimated=True)


def _logprobs(reported: Mapping[str, Any] | None) -> tuple[float, ...] | None:
    content = (reported or {}).get("content")
    return tuple(float(entry["logprob"]) for entry in content) if content else None


def _tokens(reported: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    content = (reported or {}).get("content")
    return tuple(str(entry.get("token") or "") for entry in content) if content else None
