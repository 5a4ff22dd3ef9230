"""Mathematical expressions evaluated by a parser of our own, never executed.

An expression in variables is known by its values at fixed points, so ``(x+1)^2`` and ``x^2+2x+1`` are one answer.
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable

from emafusion.answers.final import Value
from emafusion.answers.numbers import number_value

MAX_EXPRESSION = 200

_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sqrt": cmath.sqrt, "sin": cmath.sin, "cos": cmath.cos, "tan": cmath.tan, "log": cmath.log, "ln": cmath.log,
    "exp": cmath.exp, "arcsin": cmath.asin, "arccos": cmath.acos, "arctan": cmath.atan,
    "cot": lambda z: 1 / cmath.tan(z), "sec": lambda z: 1 / cmath.cos(z), "csc": lambda z: 1 / cmath.sin(z),
}  # fmt: skip
_GREEK = frozenset(
    ("alpha", "beta", "gamma", "delta", "theta", "lambda", "mu", "sigma", "omega", "phi", "rho", "tau", "epsilon")
)  # fmt: skip
_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|\\[a-zA-Z]+|\*\*|[a-zA-Z]|∞|.)", re.DOTALL)
_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}")
_SHORT_WORDS = frozenset({
    "is", "to", "of", "so", "no", "we", "it", "in", "at", "an", "as", "or", "by", "up", "do", "go", "he",
    "me", "my", "us", "am", "be", "if", "on", "No", "It", "We", "Is", "In",
})  # fmt: skip
_POINTS = (0.7390851, 1.6180339)


def parse_expression(text: str) -> Value | None:
    """Evaluate an expression that was passed through `clean_latex`.

    Returns ``("num", v)`` or ``("complex", re, im)`` for a constant, ``("expr", variables, values)`` for an expression
    in variables, or None when the text is not an expression.

    >>> parse_expression(r"\\frac{3}{4}")
    ('num', 0.75)
    >>> parse_expression("(x+1)^2") == parse_expression("x^2+2x+1")
    True
    """
    if not text or len(text) > MAX_EXPRESSION:
        return None
    for word in _WORD.findall(text):
        product = (len(word) == 2 and word not in _SHORT_WORDS) or set(word) <= set("xyzabc")
        if word not in _FUNCTIONS and not product and word != "pi":
            return None
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    tokens = [t for t in _TOKEN.findall(text) if t.strip()]
    values = []
    variables: set[str] = set()
    for number, point in enumerate(_POINTS):
        try:
            parser = _Parser(tokens, point)
            value = parser.expression()
            if parser.position != len(parser.tokens) or cmath.isnan(value):
                return None
        except (ValueError, ZeroDivisionError, OverflowError, IndexError, RecursionError):
            return None
        variables = parser.variables
        values.append(value)
        if not variables and number == 0:
            return number_value(value)
    if len(variables) == 1 and len(tokens) == 1:
        return None
    return ("expr", tuple(sorted(variables)), tuple((_round(v.real), _round(v.imag)) for v in values))


def _round(value: float) -> float:
    return float(f"{value:.7g}") + 0.0 if abs(value) > 1e-9 else 0.0


class _Parser:
    """Recursive descent over the tokens: sum, product (also implied), power, atom."""

    def __init__(self, tokens: list[str], point: float) -> None:
        self.tokens, self.position, self.point = tokens, 0, point
        self.variables: set[str] = set()

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        self.position += 1
        return self.tokens[self.position - 1]

    def expression(self) -> complex:
        value = self.product()
        while self.peek() in ("+", "-"):
            sign = self.take()
            other = self.product()
            value = value + other if sign == "+" else value - other
        return value

    def product(self) -> complex:
        value = self.signed()
        while (token := self.peek()) and token not in "+-)}]|,=<>⦄":
            if token == "*":
                self.take()
                value *= self.signed()
            elif token == "/":
                self.take()
                value /= self.signed()
            else:
                value *= self.power()
        return value

    def signed(self) -> complex:
        if self.peek() in ("-", "+"):
            return -self.signed() if self.take() == "-" else self.signed()
        return self.power()

    def power(self) -> complex:
        value = self.atom()
        while self.peek() == "!":
            self.take()
            if value.imag or value.real != int(value.real) or not 0 <= value.real <= 100:
                raise ValueError
            value = complex(math.factorial(int(value.real)))
        if self.peek() in ("^", "**"):
            self.take()
            exponent = self.argument()
            if abs(exponent) > 400:
                raise OverflowError
            value = value**exponent
        if self.peek() == "_":  # the base of a numeral, or an index: it does not change the value
            self.take()
            self.argument()
        return value

    def argument(self) -> complex:
        """One argument of a command or power: a brace group, or a single digit or symbol."""
        if self.peek() == "-":
            self.take()
            return -self.argument()
        token = self.peek()
        if token.isdigit() and len(token) > 1 and self.position and self.tokens[self.position - 1].startswith("\\"):
            self.tokens = [*self.tokens[: self.position], token[0], token[1:], *self.tokens[self.position + 1 :]]
        return self.atom()

    def group(self, closing: str) -> complex:
        value = self.expression()
        if self.take() != closing:
            raise ValueError
        return value

    def atom(self) -> complex:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return complex(float(token))
        if token in ("(", "{", "["):
            return self.group({"(": ")", "{": "}", "[": "]"}[token])
        if token == "|":
            return complex(abs(self.group("|")))
        if token == "∞":
            return complex(math.inf)
        name = token.lstrip("\\")
        if token.startswith("\\"):
            return self.command(name)
        if token.isalpha() and token.isascii():
            for word in ("sqrt", "sin", "cos", "tan", "log", "ln", "pi", "exp"):
                if "".join(self.tokens[self.position - 1 : self.position - 1 + len(word)]) == word:
                    self.position += len(word) - 1
                    return self.command(word)
            return self.variable(name)
        raise ValueError

    def variable(self, name: str) -> complex:
        if name == "i":
            return 1j
        if name == "e":
            return complex(math.e)
        self.variables.add(name)
        return complex(self.point + 0.137 * (sum(map(ord, name)) % 29))

    def command(self, name: str) -> complex:
        if name == "frac":
            numerator = self.argument()
            if self.peek().isdigit() and len(self.peek()) > 1:
                raise ValueError
            return numerator / self.argument()
        if name == "binom":
            n, k = self.argument(), self.argument()
            return complex(math.comb(int(n.real), int(k.real))) if 0 <= n.real <= 500 else complex(math.nan)
        if name == "pi":
            return complex(math.pi)
        if name == "sqrt" and self.peek() == "[":
            self.take()
            root = self.group("]")
            return self.argument() ** (1 / root)
        if name in _FUNCTIONS:
            exponent: complex = 1
            base: complex = 0
            if self.peek() == "_":
                self.take()
                base = self.argument()
            if self.peek() == "^":
                self.take()
                exponent = self.argument()
            argument = self.argument() if name == "sqrt" or self.peek() in ("(", "{") else self.power()
            value = _FUNCTIONS[name](argument)
            return (value / cmath.log(base) if base else value) ** exponent
        if name in _GREEK:
            return self.variable(name)
        raise ValueError
