"""Reading call syntax: Python through its parser (never run), JavaScript and Java by balanced brackets."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

FunctionCall = tuple[str, dict[str, Any]]
"""The name of a function and its arguments; positional ones under "0", "1", ..."""

WORDS = {"true": True, "false": False, "null": None, "none": None, "undefined": None, "nil": None}


def read_literal(text: str) -> tuple[bool, Any]:
    try:
        return True, json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    node = parse_python(text)
    return (True, node_value(node)) if isinstance(node, (ast.Dict, ast.List, ast.Tuple, ast.Set)) else (False, None)


def parse_python(text: str) -> ast.expr | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def python_call(node: ast.Call) -> FunctionCall:
    arguments: dict[str, Any] = {str(i): node_value(argument) for i, argument in enumerate(node.args)}
    if len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.Dict):
        inner = node_value(node.args[0])  # f({"a": 1}), as JavaScript passes named arguments
        arguments = {str(k): v for k, v in inner.items()}
    for keyword in node.keywords:
        value = node_value(keyword.value)
        if keyword.arg is not None:
            arguments[keyword.arg] = value
        elif isinstance(value, Mapping):
            arguments |= {str(k): v for k, v in value.items()}
    return ast.unparse(node.func), arguments


def node_value(node: ast.expr) -> Any:
    """Read a node as a value; arithmetic on constants is worked out, what is no value stays as its source."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return WORDS.get(node.id, node.id)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [node_value(element) for element in node.elts]
    if isinstance(node, ast.Dict):
        return {str(node_value(k)) if k else "**": node_value(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = node_value(node.operand)
        if isinstance(value, (int, float)):
            return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        value = _arithmetic(node.op, node_value(node.left), node_value(node.right))
        if value is not None:
            return value
    return ast.unparse(node)


def _arithmetic(operator: ast.operator, left: Any, right: Any) -> Any:
    if (
        isinstance(left, bool)
        or isinstance(right, bool)
        or not isinstance(left, (int, float))
        or not isinstance(right, (int, float))
    ):
        return (
            left + right if isinstance(operator, ast.Add) and isinstance(left, str) and isinstance(right, str) else None
        )
    try:
        if isinstance(operator, ast.Add):
            return left + right
        if isinstance(operator, ast.Sub):
            return left - right
        if isinstance(operator, ast.Mult):
            return left * right
        if isinstance(operator, ast.Div):
            return left / right
        if isinstance(operator, ast.Pow) and abs(right) <= 64 and abs(left) <= 1e6:
            return left**right
    except (ZeroDivisionError, OverflowError):
        pass
    return None


def closing_bracket(text: str, start: int) -> int | None:
    """Return the position after the bracket that closes the one at `start`."""
    depth, quote, i = 0, "", start
    while i < len(text):
        sign = text[i]
        if quote:
            if sign == "\\":
                i += 1
            elif sign == quote:
                quote = ""
        elif sign in "\"'`":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
    return None


def loose_arguments(text: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    depth, quote, start, pieces = 0, "", 0, []
    for i, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'`":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == "," and depth == 0:
            pieces.append(text[start:i])
            start = i + 1
    pieces.append(text[start:])
    for i, piece in enumerate(p.strip() for p in pieces if p.strip()):
        found = re.match(r"[\"']?([A-Za-z_]\w*)[\"']?\s*[=:]\s*(?!=)", piece)
        key, value = (found[1], piece[found.end() :]) if found else (str(i), piece)
        node = parse_python(value)
        arguments[key] = node_value(node) if node is not None else value.strip("\"'` ")
    return arguments
