"""LaTeX cleaned up: delimiters, spacing, fonts and units taken away, synonyms written in one way."""

from __future__ import annotations

import re

_TEXT = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|textsf|mathrm|mathbf|mathit|operatorname\*?)\s*\{([^{}]*)\}")
_UNIT_TEXT = re.compile(r"(?<=[\d})\]])\s*\\(?:text|mbox|textrm|mathrm)\s*\{[^{}]*\}(?:\s*\^\s*\{?\d\}?)?")
_SPACING = re.compile(
    r"\\(?:left|right|[bB]igg?[lrm]?|displaystyle|textstyle|limits|quad|qquad|thinspace|hfill|phantom)(?![a-zA-Z])"
    r"|\\[,;:! ]|~"
)
_DEGREES = re.compile(r"\^\s*\{?\s*(?:\\circ|\\degree|°)\s*\}?|\\degree(?![a-zA-Z])|°")
_COMMANDS = {r"\dfrac": r"\frac", r"\tfrac": r"\frac", r"\cfrac": r"\frac", r"\cdot": "*", r"\times": "*", r"\ast": "*"}
_COMMANDS |= {r"\div": "/", r"\le": "<=", r"\leq": "<=", r"\ge": ">=", r"\geq": ">=", r"\neq": "!=", r"\infty": "∞"}
_COMMANDS |= {
    r"\cup": "∪",
    r"\pm": "±",
    r"\lbrace": "{",
    r"\rbrace": "}",
    r"\lparen": "(",
    r"\rparen": ")",
    r"\in": "∈",
}
_COMMANDS |= {r"\ldots": "...", r"\dots": "...", r"\cdots": "...", r"\approx": "=", r"\dbinom": r"\binom"}
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_SYMBOLS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "π": r"\pi ", "√": r"\sqrt ", "≤": "<="})
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")


def clean_latex(text: str) -> str:
    """Take away delimiters, spacing, fonts and units, and write synonyms in one way."""
    text = text.replace("{,}", ",")
    if "\\" in text:
        text = text.replace(r"\$", "").replace(r"\%", "%").replace(r"\!", "")
        text = _UNIT_TEXT.sub(" ", text)
        text = _TEXT.sub(r" \1 ", text)
        text = re.sub(r"\\[()\[\]]", " ", text)
        text = _SPACING.sub(" ", text)
        text = _COMMAND.sub(lambda m: _COMMANDS.get(m[0], m[0]), text)
        text = text.replace(r"\{", "⦃").replace(r"\}", "⦄")
    text = _DEGREES.sub("", text.replace("$", "").translate(_SYMBOLS))
    if _SUPERSCRIPT.search(text):
        text = _SUPERSCRIPT.sub(lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
    return text.strip()
