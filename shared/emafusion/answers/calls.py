"""Function calls: the same call has the same key, whether written as Python, as JSON, or made natively."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from emafusion.answers.arguments import argument_value, is_empty, same_argument
from emafusion.answers.callsyntax import (
    FunctionCall,
    closing_bracket,
    loose_arguments,
    parse_python,
    python_call,
    read_literal,
)
from emafusion.answers.final import Value
from emafusion.answers.toolspecs import ToolSpec, name_key

MAX_CALLS_TEXT = 30_000
_CALL_START = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*)\s*\(")
_WRAPPERS = re.compile(
    r"</?(?:tool_calls?|function_calls?|function|functioncall|TOOLCALL)>|\[/?TOOL_CALLS?\]|<\|python_tag\|>"
)
_FENCED = re.compile(r"```[\w+-]*[ \t]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_LIST_OF_CALLS = re.compile(r"\[\s*[A-Za-z_][\w.]*\s*\(")
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_FIELD_NAMES = {"answer", "final_answer", "result", "response", "output"}


def calls_value(calls: Iterable[FunctionCall], specs: Mapping[str, ToolSpec]) -> Value:
    """Return the key of a set of calls: order of calls and arguments does not matter, defaults left out."""
    return ("calls", tuple(sorted((_call_value(name, arguments, specs) for name, arguments in calls), key=repr)))


def _call_value(name: str, arguments: Mapping[str, Any], specs: Mapping[str, ToolSpec]) -> Value:
    key = name_key(name)
    spec = specs.get(key) or ToolSpec(name, required=frozenset())
    required, optional = [], []
    for parameter, value in arguments.items():
        if parameter.isdigit() and int(parameter) < len(spec.parameters):
            parameter = spec.parameters[int(parameter)]
        folded = argument_value(value)
        if key not in specs or parameter in spec.required:
            required.append((parameter, folded))
            continue
        default = parameter in spec.defaults and same_argument(argument_value(spec.defaults[parameter]), folded)
        if not default and not is_empty(folded):
            optional.append((parameter, folded))
    return ("call", key, tuple(sorted(required, key=repr)), tuple(sorted(optional, key=repr)))


def parse_calls(
    text: str, specs: Mapping[str, ToolSpec], *, expected: bool = False
) -> tuple[tuple[FunctionCall, ...], bool] | None:
    """Read the calls a response writes out, in Python or JSON; None when it makes none.

    `expected` says that the request offers functions: then a call inside prose counts too. The second part of the
    answer says whether the response was nothing but its calls, cleanly written, so that a strict reader takes it too.
    """
    if len(text) > MAX_CALLS_TEXT:
        return None
    try:
        return _read_calls(text.strip(), specs, expected)
    except RecursionError:  # nested beyond any sense
        return None


def _read_calls(
    text: str, specs: Mapping[str, ToolSpec], expected: bool
) -> tuple[tuple[FunctionCall, ...], bool] | None:
    if text in ("[]", "{}"):
        return ((), True) if expected else None
    pieces = [text]
    if _WRAPPERS.search(text):
        pieces.append(_WRAPPERS.sub("\n", text).strip())
    pieces += [found[1].strip() for found in _FENCED.finditer(text)] if "```" in text else []
    for piece in pieces:
        calls = _from_json(piece, specs, expected) or _from_python(piece, specs, expected)
        if calls:
            return calls, piece is text and _is_clean(calls, piece)
    if expected or specs:
        found = _LIST_OF_CALLS.search(text)
        calls = _scan(text[found.start() + 1 :] if found else text, specs)
        if calls and (found or specs):
            return calls, False
    return None


def _is_clean(calls: tuple[FunctionCall, ...], text: str) -> bool:
    """Whether each call gives its arguments by name, and several calls stand in one list."""
    named = not any(name.isdigit() for _, arguments in calls for name in arguments)
    written_as_python = text[:1] not in "[{" or _LIST_OF_CALLS.match(text) is not None
    positional = written_as_python and re.search(r"\w\(\s*\{", text) is not None
    return named and not positional and (len(calls) == 1 or text[:1] == "[")


def json_calls(value: Any, specs: Mapping[str, ToolSpec], expected: bool = False) -> tuple[FunctionCall, ...] | None:
    """Read calls from a decoded JSON value in any of the usual layouts."""
    if isinstance(value, list):
        groups = [json_calls(item, specs, expected) for item in value]
        if not groups or any(group is None for group in groups):
            return None
        return tuple(call for group in groups if group is not None for call in group)
    if not isinstance(value, Mapping):
        return None
    for wrapper in ("tool_calls", "function_calls", "calls", "tool_uses", "function_call", "tool_call"):
        if wrapper in value and isinstance(value[wrapper], (list, Mapping)):
            return json_calls(value[wrapper], specs, expected)
    if isinstance(value.get("function"), Mapping):
        return json_calls(value["function"], specs, expected)
    name = next(
        (
            value[k]
            for k in ("name", "function", "tool", "tool_name", "recipient_name")
            if isinstance(value.get(k), str)
        ),
        None,
    )
    arguments = next((value[k] for k in ("arguments", "parameters", "args", "input", "kwargs") if k in value), None)
    if name is not None and (arguments is not None or name_key(name) in specs):
        decoded = _arguments(arguments)
        return None if decoded is None else ((name, decoded),)
    calls = []
    for key, arguments in value.items():
        if not _NAME.fullmatch(str(key)) or str(key).casefold() in _FIELD_NAMES:
            return None
        known = name_key(str(key)) in specs
        written = isinstance(arguments, str) and arguments.strip()[:1] == "{"
        decoded = _arguments(arguments) if known or written or (expected and isinstance(arguments, Mapping)) else None
        if decoded is None:
            return None
        calls.append((str(key), decoded))
    return tuple(calls) or None


def _arguments(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        found, value = read_literal(value.strip() or "{}")
        if not found:
            return None
    if value is None:
        return {}
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else None


def _from_json(text: str, specs: Mapping[str, ToolSpec], expected: bool) -> tuple[FunctionCall, ...] | None:
    if text[:1] not in ("[", "{"):
        return None
    try:
        return json_calls(json.loads(text, strict=False), specs, expected)
    except (ValueError, RecursionError):
        pass
    decoder, position = json.JSONDecoder(strict=False), 0  # several objects, one after another
    calls: list[FunctionCall] = []
    while position < len(text) and text[position] in "[{":
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return None
        group = json_calls(value, specs, expected)
        if group is None:
            return None
        calls += group
        position += len(text[position:]) - len(text[position:].lstrip(" \n\r\t,;"))
    return tuple(calls) or None


def _from_python(text: str, specs: Mapping[str, ToolSpec], expected: bool) -> tuple[FunctionCall, ...] | None:
    node = parse_python(text)
    if node is None:
        return None
    nodes = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
    if not nodes or not all(isinstance(n, ast.Call) for n in nodes):
        return None
    calls = tuple(python_call(n) for n in nodes if isinstance(n, ast.Call))
    listed = isinstance(node, ast.List) and all(n.keywords for n in nodes if isinstance(n, ast.Call))
    return calls if expected or listed or all(name_key(name) in specs for name, _ in calls) else None


def _scan(text: str, specs: Mapping[str, ToolSpec]) -> tuple[FunctionCall, ...] | None:
    """Read calls whose arguments are not Python (JavaScript, Java) or that stand in prose; only known names, if any."""
    calls: list[FunctionCall] = []
    position = 0
    while (found := _CALL_START.search(text, position)) is not None:
        end = closing_bracket(text, found.end() - 1)
        position = found.end() if end is None else end
        if specs and name_key(found[1]) not in specs:
            position = found.end()
            continue
        inside = text[found.end() : len(text) if end is None else end - 1]
        node = parse_python(f"f({inside})") if end is not None else None
        if isinstance(node, ast.Call):
            calls.append((found[1], python_call(node)[1]))
        else:
            calls.append((found[1], loose_arguments(inside)))
        if len(calls) >= 50:
            break
    return tuple(calls) or None


def same_calls(a: Any, b: Any) -> bool:
    """Whether two keys of `calls_value` make the same calls, with the same arguments beyond their defaults."""
    return len(a[1]) == len(b[1]) and all(_same_call(x, y) for x, y in zip(a[1], b[1]))


def _same_call(a: Any, b: Any) -> bool:
    if a[1] != b[1]:
        return False
    left, right = dict(a[2]), dict(b[2])
    if left.keys() != right.keys() or not all(same_argument(left[k], right[k]) for k in left):
        return False
    left, right = dict(a[3]), dict(b[3])
    return left.keys() == right.keys() and all(same_argument(left[k], right[k]) for k in left)
