"""What a prompt tells about the form of its answer: options, tools, a literal, a number, yes or no, code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from emafusion.answers.choices import prompt_options
from emafusion.answers.code import asks_for_code
from emafusion.answers.toolspecs import ToolSpec, asks_for_calls, prompt_tools
from emafusion.answers.words import normal_form

_ASKS_LITERAL = re.compile(
    r"\bassert\b[^\n]*==\s*\?|\[PYTHON\]|\b(?:what|predict|give|determine)\b[^.\n]{0,60}\boutput\b[^.\n]{0,60}"
    r"\b(?:code|program|function|snippet)|\b(?:returns?|prints?|evaluates?)\b[^.\n]{0,30}\?|complete the assert",
    re.IGNORECASE,
)
_SHOWS_CODE = re.compile(
    r"\bdef \w+\(|=>|\breturn\b|\bprint\w*\(|;\s*$|\[PYTHON\]|```|\w\)? == |\w\[\w+\]", re.MULTILINE
)
_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|far|long|tall|fast|big|heavy)\b|\bwhat (?:is|are|was|will be) the (?:\w+ ){0,3}?"
    r"(?:value|sum|total|number|product|probability|area|volume|remainder|average|mean|median|ratio|percentage?|cost|"
    r"price|distance|length|time|speed|perimeter|maximum|minimum|smallest|largest|greatest|least|result|difference)|"
    r"\b(?:calculate|compute|evaluate|solve)\b|\bfind (?:the|all|\$)|\bwie ?viele?\b|\bcombien\b|\bcu[aá]nt[oa]s?\b|"
    r"\bquant[oi]s?\b|сколько|多少|几个|いくつ|몇|\$[^$\n]{1,80}\$|"
    r"\d\s*[+*×÷]\s*\d|\d\s+[-−/]\s+\d|\d\s*[-−/]\s*\d+\s*=",
    re.IGNORECASE,
)
_ASKS_YES_NO = re.compile(
    r"(?:^|[.?!:\n]\s*)(?:is|are|was|were|does|do|did|(?:can|could|will|would)(?!\s+(?:you|we)\b)|should|has|have|ist|sind|kann|est-ce)\s+\w|"
    r"\b(?:yes or no|true or false|yes/no|true/false|ja oder nein|vrai ou faux|是否|对吗|吗[?？])",
    re.IGNORECASE,
)
_DECIMAL_COMMA = re.compile(r"\d,\d{1,2}(?!\d)")
_DECIMAL_POINT = re.compile(r"\d\.\d")


@dataclass(frozen=True, slots=True)
class Request:
    """What a prompt tells about the form of its answer.

    Attributes
    ----------
    options : dict
        The choices on offer, letter -> text.
    specs : dict
        The tools spelled out in the prompt.
    calls, literal, number, yes_no, code, json : bool
        Whether function calls, a literal of a programming language, a number, a yes or no, code or JSON is asked for.
    decimal_comma : bool
        Whether the prompt writes its decimals with a comma.
    words : frozenset of str
        The words of the question, to tell "The capital of France is Paris" from an answer in a few words.
    """

    options: dict[str, str]
    specs: dict[str, ToolSpec]
    calls: bool
    literal: bool
    number: bool
    yes_no: bool
    code: bool
    json: bool
    decimal_comma: bool
    words: frozenset[str]


@lru_cache(maxsize=128)
def read_prompt(prompt: str) -> Request:
    """Read the form of the answer out of a prompt; the last prompts are remembered."""
    specs = prompt_tools(prompt)
    question = prompt[-6000:]
    literal = _ASKS_LITERAL.search(question) is not None and _SHOWS_CODE.search(question) is not None
    return Request(
        options=prompt_options(prompt) if not specs else {},
        specs=specs,
        calls=bool(specs) or (asks_for_calls(prompt) and not literal),
        literal=literal,
        number=_ASKS_NUMBER.search(question) is not None,
        yes_no=_ASKS_YES_NO.search(question) is not None,
        code=not literal and asks_for_code(prompt),
        json="json" in question.casefold(),
        decimal_comma=_DECIMAL_COMMA.search(question) is not None and _DECIMAL_POINT.search(question) is None,
        words=frozenset(normal_form(question).split()),
    )
