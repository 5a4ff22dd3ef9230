"""Tools as OpenAI dicts: the form that every client of LangChain takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool

__all__ = ["strict_spec", "tool_specs"]

SCHEMA_TYPES = (None, "function", "object", "custom")
"""What a dict that describes a function says of itself, if anything; other types are providers' built-in tools."""


def tool_specs(tools: Iterable[Any], strict: bool | None = None) -> list[dict[str, Any]]:
    """Specifications of ``tools``; a provider's built-in tool (a dict with a type of its own) passes as it is."""
    return [_spec(tool, strict) for tool in tools]


def _spec(tool: Any, strict: bool | None) -> dict[str, Any]:
    if isinstance(tool, dict) and tool.get("type") not in SCHEMA_TYPES:
        return tool
    return convert_to_openai_tool(tool, strict=strict)


def strict_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """A specification with ``strict`` set, and its schema in the form that this takes; others pass as they are."""
    if spec.get("type") != "function" or "function" not in spec:
        return spec
    return convert_to_openai_tool(spec["function"], strict=True)
