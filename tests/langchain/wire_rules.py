"""What four APIs refuse in a history: rules of their references, as far as another author's turns can break them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.langchain.provider_payloads import Json
from tests.loopback import fault

__all__ = ["FAULTS"]


def _keys(what: str, found: Mapping[str, Any], allowed: Iterable[str]) -> list[str]:
    strange = found.keys() - set(allowed)
    return [f"{what}: no such field: {sorted(strange)}"] if strange else []


def chat_faults(body: Json) -> list[str]:
    """OpenAI's Chat Completions."""
    found = [refused] if (refused := fault(body)) else []
    for i, message in enumerate(body["messages"]):
        found += _keys(f"messages[{i}]", message, ("role", "content", "name", "tool_calls", "tool_call_id", "refusal"))
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            found += _keys(f"messages[{i}] part", part, ("type", "text"))
            if part.get("type") != "text":
                found.append(f"messages[{i}]: a part of type {part.get('type')!r}")
        for call in message.get("tool_calls") or ():
            found += _keys(f"messages[{i}] call", call, ("id", "type", "function"))
            if not 0 < len(call["id"]) <= 40:
                found.append(f"messages[{i}]: the id {call['id']!r} is longer than 40 characters")
    return found


RESPONSES_FIELDS = {
    "message": ("type", "role", "content", "id", "status", "phase"),
    "function_call": ("type", "id", "call_id", "name", "arguments", "status"),
    "function_call_output": ("type", "id", "call_id", "output", "status"),
    "reasoning": ("type", "id", "summary", "content", "encrypted_content", "status"),
}
RESPONSES_IDS = {"message": "msg_", "function_call": "fc_", "reasoning": "rs_"}


def responses_faults(body: Json) -> list[str]:
    """OpenAI's Responses."""
    found: list[str] = []
    waiting: set[str] = set()
    for i, item in enumerate(body["input"]):
        kind = item.get("type", "message")
        if kind not in RESPONSES_FIELDS:
            found.append(f"input[{i}]: no such type: {kind!r}")
            continue
        found += _keys(f"input[{i}]", item, RESPONSES_FIELDS[kind])
        if item.get("id") and not item["id"].startswith(RESPONSES_IDS.get(kind, "")):
            found.append(f"input[{i}]: the id {item['id']!r} must begin with {RESPONSES_IDS[kind]!r}")
        if kind == "function_call":
            waiting.add(item["call_id"])
            if len(item["call_id"]) > 64:
                found.append(f"input[{i}]: the id {item['call_id']!r} is longer than 64 characters")
        elif kind == "function_call_output":
            if item["call_id"] not in waiting:
                found.append(f"input[{i}]: no tool call {item['call_id']!r}")
            waiting.discard(item["call_id"])
        elif kind == "message" and isinstance(item["content"], list):
            assistant = item["role"] == "assistant"
            for part in item["content"]:
                found += _keys(f"input[{i}] part", part, ("type", "text", "annotations", "logprobs"))
                if part["type"] not in (("output_text", "refusal") if assistant else ("input_text", "text")):
                    found.append(f"input[{i}]: a part of type {part['type']!r}")
    return [*found, *(f"no output for {call!r}" for call in waiting)]


ANTHROPIC_FIELDS = {
    "text": ("type", "text", "cache_control", "citations"),
    "thinking": ("type", "thinking", "signature"),
    "redacted_thinking": ("type", "data"),
    "tool_use": ("type", "id", "name", "input", "cache_control"),
    "tool_result": ("type", "tool_use_id", "content", "is_error", "cache_control"),
}


def messages_faults(body: Json) -> list[str]:
    """Anthropic's Messages."""
    found: list[str] = []
    waiting: set[str] = set()
    for i, message in enumerate(body["messages"]):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if waiting:
            answered = {b.get("tool_use_id") for b in blocks}
            if waiting - answered:
                found.append(f"messages[{i}]: tool calls {sorted(waiting - answered)} were not answered")
            waiting = set()
        for block in blocks:
            kind = block.get("type")
            if kind not in ANTHROPIC_FIELDS:
                found.append(f"messages[{i}]: no such block: {kind!r}")
                continue
            found += _keys(f"messages[{i}] {kind}", block, ANTHROPIC_FIELDS[kind])
            if kind == "text" and not block["text"]:
                found.append(f"messages[{i}]: an empty text")
            if kind in ("thinking", "redacted_thinking") and message["role"] != "assistant":
                found.append(f"messages[{i}]: thinking of a {message['role']}")
            if kind == "thinking" and not block.get("signature"):
                found.append(f"messages[{i}]: thinking without a signature")
            if kind == "tool_use":
                waiting.add(block["id"])
                if not re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]):
                    found.append(f"messages[{i}]: the id {block['id']!r}")
                if not isinstance(block["input"], dict):
                    found.append(f"messages[{i}]: an input that is no object")
    return [*found, *(f"no result for {call!r}" for call in waiting)]


GOOGLE_PARTS = {"text", "functionCall", "functionResponse", "inlineData"}


def generate_content_faults(body: Json) -> list[str]:
    """Google's generateContent."""
    found: list[str] = []
    names: list[str] = []
    for i, content in enumerate(body["contents"]):
        if content.get("role") not in ("user", "model"):
            found.append(f"contents[{i}]: no such role: {content.get('role')!r}")
        parts = content.get("parts") or []
        if not parts:
            found.append(f"contents[{i}]: no parts")
        if names:
            told = [p["functionResponse"]["name"] for p in parts if "functionResponse" in p]
            if told != names:
                found.append(f"contents[{i}]: calls of {names} were answered by {told}")
        names = [p["functionCall"]["name"] for p in parts if "functionCall" in p]
        for part in parts:
            found += _keys(f"contents[{i}]", part, GOOGLE_PARTS | {"thought", "thoughtSignature"})
            if len(part.keys() & GOOGLE_PARTS) != 1:
                found.append(f"contents[{i}]: a part of {sorted(part)}")
    return found


FAULTS: Mapping[str, Callable[[Json], list[str]]] = {
    "openai": chat_faults,
    "openai responses": responses_faults,
    "anthropic": messages_faults,
    "google": generate_content_faults,
}
