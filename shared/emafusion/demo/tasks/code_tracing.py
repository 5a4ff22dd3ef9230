"""Code tracing: read a small Python function, say what a call returns.

The functions below are real: the prompt shows their source and the right answer is what they return.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable

from emafusion.demo.grading import python_value
from emafusion.demo.tasks.prompt import DemoPrompt, Grade, numbered

# Plain, unannotated on purpose: this is what is shown to the models.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return,var-annotated"


def double_plus(n):
    return n * 2 + 3


def greet(name):
    return "Hi " + name.upper()


def total(values):
    s = 0
    for v in values:
        s += v
    return s


def big_ones(values, limit):
    return [v for v in values if v > limit]


def shorten(word):
    if len(word) > 5:
        return word[:3] + word[-1]
    return word


def grade_of(points):
    if points >= 90:
        return "A"
    if points > 70:
        return "B"
    return "C"


def count_vowels(text):
    n = 0
    for c in text:
        if c in "aeiou":
            n += 1
    return n


def every_second(items):
    return items[1::2]


def halve(n):
    steps = 0
    while n > 1:
        n = n // 2
        steps += 1
    return steps


def swap_ends(items):
    items = list(items)
    items[0], items[-1] = items[-1], items[0]
    return items


def tally(word):
    counts = {}
    for c in word:
        counts[c] = counts.get(c, 0) + 1
    return counts


def digits(n):
    s = 0
    while n:
        s += n % 10
        n //= 10
    return s


def climb(n):
    a, b = 1, 2
    for _ in range(n):
        a, b = b, a + b
    return a


def collatz(n):
    path = [n]
    while n != 1 and len(path) < 6:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        path.append(n)
    return path


def pairs(n):
    found = 0
    for i in range(n):
        for j in range(i):
            if (i + j) % 3 == 0:
                found += 1
    return found


def squeeze(text):
    out = ""
    for c in text:
        if not out or out[-1] != c:
            out += c
    return out


_CALLS: tuple[tuple[Callable[..., object], tuple[tuple[object, ...], ...]], ...] = (
    (double_plus, ((4,), (-6,))),
    (greet, (("bob",), ("anna",))),
    (total, (([3, 5, 9],), ([12, -4, 7, 20],))),
    (big_ones, (([4, 9, 2, 7], 5), ([10, 3, 10, 12, 8], 10))),
    (shorten, (("banana",), ("tree",), ("elephant",))),
    (grade_of, ((95,), (70,), (90,))),
    (count_vowels, (("window",), ("education",))),
    (every_second, (([5, 6, 7, 8, 9],), (["a", "b", "c", "d", "e", "f"],))),
    (halve, ((8,), (100,))),
    (swap_ends, (([1, 2, 3],), (["x", "y", "z", "w"],))),
    (tally, (("noon",), ("banana",))),
    (digits, ((407,), (9981,), (35062,))),
    (climb, ((3,), (5,), (8,))),
    (collatz, ((8,), (5,), (12,))),
    (pairs, ((4,), (6,))),
    (squeeze, (("aabbc",), ("mississippi",), ("bookkeeper",))),
)

_EXAMPLE = """What comes next in these Python sessions? Reply with that one line only.

def last(items):
    return items[-1]
>>> last([4, 8])
8

def twice(text):
    return text + text
>>> twice("ab")
'abab'

"""


def build() -> list[DemoPrompt]:
    """38 calls over sixteen functions, from one expression to loops inside loops."""
    drafts: list[tuple[str, Grade, str, str]] = []
    for function, calls in _CALLS:
        source = textwrap.dedent(inspect.getsource(function)).strip()
        for i, arguments in enumerate(calls):
            value = function(*arguments)
            call = f"{function.__name__}({', '.join(map(repr, arguments))})"
            prompt = f"{source}\n\nWhat does `{call}` return? Reply with the value only, no explanation."
            if i == 0:
                prompt = f"{_EXAMPLE}{source}\n>>> {call}\n"
            drafts.append((prompt, python_value(value), repr(value), repr(_other(value))))
    return numbered("code_tracing", drafts)


def _other(value: object) -> object:
    """A value of the same type that is not `value`."""
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + value[-1]
    if isinstance(value, list):
        return value[:-1]
    assert isinstance(value, dict)
    return {key: count + 1 for key, count in value.items()}
