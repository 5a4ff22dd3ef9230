"""Code as an answer: the last fenced block, compared by its syntax tree when it is Python."""

from __future__ import annotations

import ast
import re
import warnings

from emafusion.answers.final import Value

_FENCE = re.compile(r"```[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_DATA_LANGUAGES = {"json", "text", "txt", "plaintext", "latex", "markdown", "md", "output", "yaml", "console", "math"}
_DEFINES = re.compile(
    r"^[ \t]*(?:(?:async[ \t]+)?def|class|function|func|fn|public|private|static|import|from|#include|"
    r"select|with|create|insert|update|const|let|var|package|using|impl)\b",
    re.MULTILINE | re.IGNORECASE,
)
_COMMENT = re.compile(r"(?m)(?://|#(?!include)|--).*$|/\*.*?\*/", re.DOTALL)
_ASKS_FOR_CODE = re.compile(
    r"\b(?:write|implement|complete|create|generate|fix|refactor|provide|schreib\w*|écri\w*|escrib\w*)\b[^.?\n]{0,80}"
    r"\b(?:function|program|code|script|class|method|query|regex|solution|implementation|funktion|fonction|función)\b"
    r"|编写|实现.{0,20}函数",
    re.IGNORECASE,
)
MAX_CODE = 50_000


def asks_for_code(prompt: str) -> bool:
    """Whether a prompt asks for code to be written."""
    return _ASKS_FOR_CODE.search(prompt[:6000]) is not None


def find_code(text: str) -> tuple[str, str, tuple[int, int]] | None:
    """Return (language, source, span) of the largest fenced block that defines something, the last among equals."""
    best: tuple[str, str, tuple[int, int]] | None = None
    for found in _FENCE.finditer(text[:200_000]):
        language = found[1].casefold()
        if language in _DATA_LANGUAGES or not found[2].strip():
            continue
        if best is None or len(found[2]) >= len(best[1]):
            best = (language, found[2], found.span(2))
    if best is None and _DEFINES.match(text.lstrip()):
        return ("", text, (0, len(text)))
    return best


def looks_like_code(source: str) -> bool:
    """Whether a block defines or queries something, rather than quoting an output."""
    return _DEFINES.search(source) is not None


def code_value(language: str, source: str) -> Value:
    """Return the key of a piece of code: Python by syntax tree without docstrings, else by text without comments.

    >>> code_value("python", "def f(x):\\n    return x  # same") == code_value("py", "def f( x ): return x")
    True
    """
    if language in ("", "python", "py", "python3") and len(source) <= MAX_CODE:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(source)
                return ("code", "python", ast.dump(_without_docstrings(tree)))
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            pass
    return ("code", "text", " ".join(_COMMENT.sub(" ", source).split()))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree
