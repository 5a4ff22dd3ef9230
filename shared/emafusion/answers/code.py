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
_STUB = re.compile(r"^[ \t]*def \w+\(.*\)[^\n]*:\s*\n\s+(?:\"\"\"|''')", re.MULTILINE)
MAX_CODE = 50_000


def asks_for_code(prompt: str) -> bool:
    """Whether a prompt asks for code to be written."""
    return _ASKS_FOR_CODE.search(prompt[:6000]) is not None or _STUB.search(prompt[-6000:]) is not None


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
    """Return the key of a piece of code: Python by its syntax tree, else by its text without comments.

    Comments, docstrings, annotations, the names of arguments and local variables, and trailing examples do not count.

    >>> code_value("python", "def f(x):\\n    return x  # same") == code_value("py", "def f( y: int ): return y")
    True
    """
    if language in ("", "python", "py", "python3") and len(source) <= MAX_CODE:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = _without_examples(_without_docstrings(ast.parse(source)))
                return ("code", "python", ast.dump(_Renamed().visit(tree)))
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


def _without_examples(tree: ast.Module) -> ast.Module:
    """Drop what only shows the code at work (calls, asserts and the main guard), unless nothing else is left."""
    kept = [node for node in tree.body if not isinstance(node, (ast.Expr, ast.Assert)) and not _is_main_guard(node)]
    tree.body = kept or tree.body
    return tree


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in ast.dump(node.test)


class _Renamed(ast.NodeTransformer):
    """Number the arguments and local variables of each function, and drop annotations."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outer = self.names
        bound = [argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
        bound += [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        self.names = {**outer, **{name: f"v{i}" for i, name in enumerate(dict.fromkeys(bound), len(outer))}}
        node.returns = None
        self.generic_visit(node)
        self.names = outer
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self.names.get(node.arg, node.arg), None
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.names.get(node.id, node.id)
        return node
