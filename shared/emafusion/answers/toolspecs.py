"""The tools a request offers: parameter order, required ones and defaults, read from schemas or out of a prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MAX_FAILURES = 20
_START = re.compile(r"[\[{]\s*(?:\{\s*)?\"(?:name|type|function)\"\s*:")
_DEFAULT_IN_TEXT = re.compile(
    r"\bdefaults?(?:\s+(?:value|unit|factor))?(?:\s+is\s+set|\s+set)?(?:\s+(?:is|to|of|as))*\s*[:=]?\s*"
    r"(?:(['\"‘“`])(?P<quoted>[^'\"’”`]{0,60})['\"’”`]|(?P<number>-?\d+(?:\.\d+)?(?:e-?\d+)?)|(?P<empty>(?:an?\s+)?empty\b|\[\]|none\b|null\b)|"
    r"(?P<words>[\w%/+-]+(?:[\s-][\w-]+){0,2}?)(?=[.,;)]|\s*$|\s+if\b|\s+\())",
    re.IGNORECASE,
)
_CALL_WORDS = re.compile(
    r"\bavailable (?:functions|tools|apis)\b|\b(?:function|tool)[_ ]calls?\b(?! to\b)|"
    r"\b(?:call|invoke|use) (?:one of |any of )?(?:the|these|following|an?) (?:\w+ )?(?:functions?|tools?)\b",
    re.IGNORECASE,
)
_NO_CALLS = re.compile(r"\b(?:no|without|not|any) (?:\w+ )?function calls", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool: its parameters in order, which are required, the defaults of the others, and their schemas."""

    name: str
    parameters: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    schemas: Mapping[str, Any] = field(default_factory=dict)


def name_key(name: str) -> str:
    """Fold the spellings of one tool name (``a.b``, ``a_b``, ``functions.a_b``) together."""
    name = name.strip().strip("\"'`")
    if name.startswith("functions."):
        name = name[len("functions.") :]
    return re.sub(r"[^\w]+", "_", name).casefold()


def tool_specs(tools: Iterable[Any]) -> dict[str, ToolSpec]:
    """Read tool schemas, OpenAI style or bare, keyed by folded name. What is no schema is passed over."""
    specs = {}
    for tool in tools:
        if isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping):
            tool = tool["function"]
        if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
            continue
        schema = tool.get("parameters") or tool.get("input_schema") or {}
        properties = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
        required = schema.get("required", ()) if isinstance(schema, Mapping) else ()
        if not isinstance(properties, Mapping) or not isinstance(required, Sequence):
            continue
        names = frozenset(str(name) for name in required)
        defaults = {k: v for k, p in properties.items() if k not in names and (v := _default(p)) is not None}
        specs[name_key(tool["name"])] = ToolSpec(tool["name"], tuple(map(str, properties)), names, defaults, properties)
    return specs


def _default(parameter: Any) -> Any:
    if not isinstance(parameter, Mapping):
        return None
    if parameter.get("default") is not None:
        return parameter["default"]
    description = parameter.get("description")
    found = _DEFAULT_IN_TEXT.search(description[:2000]) if isinstance(description, str) else None
    if found is None:
        return None
    if found["empty"] is not None:
        return None
    if found["number"] is not None:
        return json.loads(found["number"])
    if found["quoted"] is not None:
        return found["quoted"]
    word = found["words"].casefold()
    return word == "true" if word in ("true", "false") else found["words"]


@lru_cache(maxsize=128)
def prompt_tools(prompt: str) -> dict[str, ToolSpec]:
    """Read the tool schemas that a prompt spells out as JSON; empty when there are none."""
    if '"parameters"' not in prompt:
        return {}
    decoder = json.JSONDecoder(strict=False)
    specs: dict[str, ToolSpec] = {}
    position = failures = 0
    while failures < MAX_FAILURES and (found := _START.search(prompt, position)) is not None:
        try:
            value, position = decoder.raw_decode(prompt, found.start())
        except (ValueError, RecursionError):
            position, failures = found.end(), failures + 1
            continue
        specs |= tool_specs(value if isinstance(value, list) else [value])
    return specs


def asks_for_calls(prompt: str) -> bool:
    """Whether a prompt talks of functions to call."""
    if prompt_tools(prompt):
        return True
    return _CALL_WORDS.search(prompt, 0, 8000) is not None and _NO_CALLS.search(prompt, 0, 8000) is None
