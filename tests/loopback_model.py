"""What a loopback model answers: text, tool calls whose arguments come from the prompt, instances of a JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Answer", "Json", "LoopbackModel", "ScriptTurn", "instance_of", "last_user_text", "text_of"]

Json: TypeAlias = dict[str, Any]
ScriptTurn: TypeAlias = str | Sequence[Mapping[str, Any]]
"""A text, or tool calls as ``{"name": ..., "arguments": {...}}`` (several are parallel calls)."""
Answer: TypeAlias = str | Mapping[str, str] | Callable[[list[Json], Json], Any]


@dataclass(frozen=True)
class LoopbackModel:
    """How one model of the server behaves.

    Parameters
    ----------
    answer
        One text for all; a mapping from prompt (or a part of it: the longest wins) to text; or a function of
        ``(messages, body)`` that returns a text or a message ``{"content": ..., "tool_calls": [...]}``.
        None repeats the last user message, or the tool results that follow it.
    latency, chunk_delay
        Seconds before the answer, and between the chunks of a stream.
    error_status, fail_times
        Answer with this HTTP status: always, or the first ``fail_times`` times.
    retry_after
        Seconds that a 429 asks the client to wait.
    logprob
        Log-probability of each token, where the request asks for it: one for all, or one a token (the last repeats).
    tool_script
        What to do on the first, second, ... turn since the last user message, instead of the default
        (call the tools that the prompt names, or else the likeliest one; then answer from their results).
    uses_tools
        False: never calls a tool that it is not forced to call.
    reports_usage
        False: leaves ``usage`` out, as some servers do.
    cached_tokens
        How much of the prompt it says it had cached.
    break_after
        Drop the connection after so many chunks of a stream.
    refuses
        Parameters that it answers with status 400, as reasoning models do with ``temperature``.
    """

    name: str
    answer: Answer | None = None
    latency: float = 0.0
    chunk_delay: float = 0.0
    error_status: int | None = None
    fail_times: int | None = None
    retry_after: float = 0.01
    logprob: float | Sequence[float] = -0.1
    tool_script: Sequence[ScriptTurn] | None = None
    uses_tools: bool = True
    reports_usage: bool = True
    cached_tokens: int = 0
    break_after: int | None = None
    refuses: frozenset[str] = frozenset()

    def message(self, body: Json) -> tuple[str, list[Json]]:
        """Text and tool calls (``{"name", "arguments"}``) in answer to a request body."""
        messages: list[Json] = body["messages"]
        if self.tool_script is not None:
            turn = self.tool_script[min(_turns_since_user(messages), len(self.tool_script) - 1)]
            return (turn, []) if isinstance(turn, str) else ("", [dict(c) for c in turn])
        if callable(self.answer):
            made = self.answer(messages, body)
            if not isinstance(made, str):
                return made.get("content") or "", [dict(c) for c in made.get("tool_calls", ())]
            if not _forced(body):
                return made, []
        if calls := self._calls(body, messages):
            return "", calls
        text = self._text(messages, body)
        return (_as_json(text, body, messages) if _wants_json(body) else text), []

    def _calls(self, body: Json, messages: list[Json]) -> list[Json]:
        choice = body.get("tool_choice", "auto")
        tools = [t["function"] for t in body.get("tools") or () if t.get("type") == "function"]
        if not tools or choice == "none":
            return []
        if choice == "auto" and (not self.uses_tools or _turns_since_user(messages) > 0):
            return []
        prompt = last_user_text(messages)
        if isinstance(choice, dict):
            wanted = choice["function"]["name"]
            chosen = [t for t in tools if t["name"] == wanted]
        else:
            chosen = _named_tools(tools, prompt) or [max(tools, key=lambda t: _overlap(t, prompt))]
        if body.get("parallel_tool_calls") is False:
            chosen = chosen[:1]
        source = _Source(prompt)
        return [{"name": t["name"], "arguments": instance_of(t.get("parameters") or {}, source)} for t in chosen]

    def _text(self, messages: list[Json], body: Json) -> str:
        if isinstance(self.answer, str):
            return self.answer
        prompt = last_user_text(messages)
        if isinstance(self.answer, Mapping):
            for key in sorted(self.answer, key=len, reverse=True):
                if key in prompt:
                    return self.answer[key]
        elif callable(self.answer):
            return str(self.answer(messages, body))
        results = [text_of(m) for m in messages[_last_user(messages) + 1 :] if m["role"] == "tool"]
        return f"The tool says: {'; '.join(results)}" if results else prompt or "Hello."


class _Source:
    """Numbers and quoted words of a prompt, each taken once, from which arguments are made."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.numbers: Iterator[float] = iter([float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", prompt)])
        self.quoted: Iterator[str] = iter(re.findall(r"['\"“「]([^'\"”」]+)['\"”」]", prompt))


def instance_of(schema: Mapping[str, Any], source: _Source | None = None, root: Mapping[str, Any] | None = None) -> Any:
    """A minimal valid instance of a JSON schema, filled from the prompt where that has something to give.

    Examples
    --------
    >>> instance_of({"type": "object", "properties": {"a": {"type": "integer", "minimum": 2}}, "required": ["a"]})
    {'a': 2}
    """
    source = source or _Source("")
    root = root if root is not None else schema
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part] if part != "#" else target
        return instance_of(target, source, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return next((v for v in schema["enum"] if str(v).lower() in source.prompt.lower()), schema["enum"][0])
    if "allOf" in schema:
        merged: Json = {k: v for k, v in schema.items() if k != "allOf"}
        for part in schema["allOf"]:
            merged.update(part)
        return instance_of(merged, source, root)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            branch = next((b for b in schema[union] if b.get("type") != "null"), schema[union][0])
            return instance_of(branch, source, root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    return _of_kind(kind, schema, source, root)


def _of_kind(kind: str, schema: Mapping[str, Any], source: _Source, root: Mapping[str, Any]) -> Any:
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: instance_of(properties.get(name, {}), source, root) for name in schema.get("required", ())}
    if kind == "array":
        return [instance_of(schema.get("items", {}), source, root) for _ in range(schema.get("minItems", 1))]
    if kind in ("integer", "number"):
        return _number(kind, schema, source)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    formats = {
        "date": "2024-05-17",
        "date-time": "2024-05-17T12:00:00Z",
        "time": "12:00:00Z",
        "uuid": "123e4567-e89b-12d3-a456-426614174000",
        "email": "someone@example.com",
        "uri": "https://example.com/",
    }
    if schema.get("format") in formats:
        return formats[schema["format"]]
    text = next(source.quoted, None) or source.prompt or "text"
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def _number(kind: str, schema: Mapping[str, Any], source: _Source) -> float:
    step = 1 if kind == "integer" else 1e-3
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    value = next(source.numbers, 0.0)
    value = value if low is None else max(value, low)
    value = value if high is None else min(value, high)
    return int(value) if kind == "integer" or float(value).is_integer() else value


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message whose content may be a string, parts, or nothing."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(p.get("text") or f"[{p['type']}]" for p in content or ())


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Text of the last user message; of the last message where there is none."""
    return text_of(messages[_last_user(messages)])


def _last_user(messages: Sequence[Mapping[str, Any]]) -> int:
    return max((i for i, m in enumerate(messages) if m["role"] == "user"), default=len(messages) - 1)


def _turns_since_user(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum(m["role"] == "assistant" for m in messages[_last_user(messages) + 1 :])


def _forced(body: Json) -> bool:
    return body.get("tool_choice", "auto") not in ("auto", "none")


def _named_tools(tools: list[Json], prompt: str) -> list[Json]:
    found = {t["name"]: m.start() for t in tools if (m := re.search(rf"\b{re.escape(t['name'])}\b", prompt))}
    return sorted((t for t in tools if t["name"] in found), key=lambda t: found[t["name"]])


def _overlap(tool: Json, prompt: str) -> int:
    words = set(re.findall(r"[a-z]+", f"{tool['name']} {tool.get('description', '')}".lower().replace("_", " ")))
    return len(words & set(re.findall(r"[a-z]+", prompt.lower())))


def _wants_json(body: Json) -> bool:
    return (body.get("response_format") or {}).get("type") in ("json_object", "json_schema")


def _as_json(text: str, body: Json, messages: list[Json]) -> str:
    """``text`` if it is JSON already, else an instance of the schema, or an object with the keys in quotes."""
    try:
        json.loads(text)
    except ValueError:
        prompt = last_user_text(messages)
        if body["response_format"]["type"] == "json_schema":
            made = instance_of(body["response_format"]["json_schema"]["schema"], _Source(prompt))
        else:
            made = dict.fromkeys(re.findall(r"['\"`](\w+)['\"`]", prompt), prompt) or {"answer": text}
        return json.dumps(made, ensure_ascii=False)
    return text
