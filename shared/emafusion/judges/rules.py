"""Rules: what can be told about one answer without asking any model. Pure, and linear in the length of the answer.

The rules, in the order they are checked: empty, refusal, truncated, language_mismatch, broken_code_block, broken_json,
schema_violation, tool_call_violation, repetition; and two that speak for an answer: schema_valid, tool_call_valid.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from emafusion.answers.calls import parse_calls
from emafusion.answers.callsyntax import FunctionCall
from emafusion.answers.extract import extract_answer, native_call
from emafusion.answers.fields import hide_thinking, unwrap
from emafusion.answers.toolspecs import ToolSpec, prompt_tools, tool_specs
from emafusion.judges.rule_language import language_problem
from emafusion.judges.rule_schema import call_problem, schema_problem

RuleName = Literal[
    "empty", "refusal", "truncated", "language_mismatch", "broken_code_block", "broken_json", "schema_violation",
    "tool_call_violation", "repetition", "schema_valid", "tool_call_valid",
]  # fmt: skip
POSITIVE: frozenset[RuleName] = frozenset({"schema_valid", "tool_call_valid"})
_CUT_REASONS = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "token_limit", "incomplete"})

MAX_REFUSAL = 1500
_REFUSAL = re.compile(
    r"\bI(?:['’]m| am) (?:very |so |really )?sorry,? (?:but )?(?:I|we) (?:can(?:no|['’])t|am|won['’]t|do not|don['’]t)|"
    r"\bI(?:['’]m| am) (?:unable|not able|not allowed|not permitted) to\b|"
    r"\bI (?:can(?:no|['’])t|cannot|can not|won['’]t|will not|must decline to|have to decline to) "
    r"(?:\w+ ){0,2}?(?:help|assist|answer|provide|comply|fulfil|engage|discuss|create|generate|support|do that|share|"
    r"offer|write|access)\w*|"
    r"\bI (?:must|have to) (?:\w+ )?(?:decline|refuse)\b|\bas an AI(?: language)?(?: model)?,? I (?:can|do|am|won)|"
    r"\bich kann (?:dir |ihnen |dabei |das |ihre |diese |leider )*nicht\b|"
    r"\b(?:tut mir leid|entschuldigung),? (?:aber )?(?:ich|das|dabei) (?:kann|darf)|"
    r"\bje (?:suis désolée?|regrette),? mais\b|\bje ne (?:peux|suis) pas (?:en mesure|vous|t['’]|répondre|aider)|"
    r"\blo siento,? (?:pero )?no puedo\b|\bno puedo (?:ayudar|responder|proporcionar|cumplir)|"
    r"\bmi dispiace,? ma non posso\b|\bnon posso (?:aiutar|rispondere|fornire)|"
    r"\b(?:desculpe|sinto muito),? (?:mas )?(?:eu )?não posso\b|\bnão posso (?:ajudar|responder|fornecer)|"
    r"\bhet spijt me,? maar\b|\bik kan (?:je |u )?(?:hier ?)?niet (?:mee )?helpen|"
    r"(?:извините|к сожалению),? (?:но )?я не могу|я не могу (?:помочь|ответить|предоставить)|"
    r"抱歉[，,]?(?:但)?(?:我)?(?:无法|不能)|我(?:无法|不能)(?:提供|回答|帮助|协助)|申し訳(?:ございません|ありません)|お(?:答え|手伝い)(?:でき|する(?:こと)?は)|"
    r"죄송(?:하지만|합니다)|도와드릴 수 없|عذر[اً]*[،,]? (?:لا|لكن)|لا (?:أستطيع|يمكنني) (?:المساعدة|الإجابة|تقديم)|"
    r"przykro mi,? ale|nie mogę (?:pomóc|odpowiedzieć)|üzgünüm,? (?:ama|ancak)",
    re.IGNORECASE,
)
_CUT_END = re.compile(
    r"(?:[,;(\[{=+*/\\<&|-]|\b(?:the|an?|of|and|or|to|is|are|in|with|for|that|by|from|der|die|das|und|oder|mit|von|zu|le|la|les|et|de|"
    r"el|los|y|que|con|del))$",
    re.IGNORECASE,
)
_ASKS_JSON = re.compile(
    r"\bjson (?:format|object|array|schema|output|string)|```json|\bals json\b|\ben json\b|\bjson格式|"
    r"\b(?:in|as|with|return|output|valid|produce|following|only) (?:an? |the )?json\b",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+-]*)", re.MULTILINE)
_JSON_BLOCK = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """One thing a rule found.

    Attributes
    ----------
    name : str
        Which rule; those in `POSITIVE` speak for the answer, the others against it.
    fatal : bool
        The answer cannot be used, whatever other judges say.
    reason : str
        What was found, in words.
    """

    name: RuleName
    fatal: bool
    reason: str

    @property
    def positive(self) -> bool:
        """Whether the finding speaks for the answer."""
        return self.name in POSITIVE


def rule_verdicts(
    prompt: str,
    response: str,
    finish_reason: str | None = None,
    schema: Mapping[str, Any] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    tool_calls: Sequence[Any] = (),
) -> tuple[RuleFinding, ...]:
    """Check one answer against the rules.

    Parameters
    ----------
    prompt, response : str
        What was asked and what was answered.
    finish_reason : str or None
        Why the provider stopped, in its own word ("stop", "length", "max_tokens", ...).
    schema : mapping or None
        The JSON schema that the answer must meet.
    tools : sequence of mapping
        The tools on offer, OpenAI style or bare; those that the prompt spells out as JSON are read too.
    tool_calls : sequence
        Native tool calls, with a name and arguments.

    Returns
    -------
    tuple of RuleFinding
        Empty when the rules have nothing to say.

    Examples
    --------
    >>> [finding.name for finding in rule_verdicts("What is 2 + 2?", "   ")]
    ['empty']
    >>> [finding.name for finding in rule_verdicts("List two primes.", '{"a": 1}', schema={"required": ["a"]})]
    ['schema_valid']
    """
    text = hide_thinking(unwrap(response)[0]).strip()
    if not text and not tool_calls:
        return (RuleFinding("empty", True, "the answer has no text and makes no tool call"),)
    specs = {**prompt_tools(prompt), **tool_specs(tools)}
    calls, clean = _calls(text, specs, tool_calls)
    findings = [
        None if calls else _refusal(text, finish_reason),
        _truncated(prompt, text, finish_reason, bool(tool_calls)),
        None if calls else _language(prompt, text),
        _code_blocks(text),
        _json(prompt, text, schema) if text and not calls and not tool_calls else None,
        _tool_calls(calls, clean, specs, tool_calls),
        _repetition(text),
    ]
    return tuple(finding for finding in findings if finding is not None)


def _refusal(text: str, finish_reason: str | None) -> RuleFinding | None:
    if (finish_reason or "").casefold() in ("content_filter", "safety", "refusal"):
        return RuleFinding("refusal", len(text) < 20, f"the provider stopped with {finish_reason!r}")
    if len(text) > MAX_REFUSAL or "```" in text:  # a long answer that says sorry is an answer
        return None
    found = _REFUSAL.search(text, 0, 260)
    if found is None or found.start() > 120:
        return None
    return RuleFinding("refusal", False, f"the answer declines: {found[0][:60]!r}")


def _truncated(prompt: str, text: str, finish_reason: str | None, calls_tools: bool) -> RuleFinding | None:
    reported = (finish_reason or "").casefold() in _CUT_REASONS
    if not reported and (finish_reason or calls_tools or len(text) < 80 or not _looks_cut(text)):
        return None
    kind = extract_answer(text, prompt).kind if not calls_tools else "call"
    unusable = kind == "none" or (kind == "text" and text[:1] in "{[")
    why = f"the provider stopped with {finish_reason!r}" if reported else f"the answer breaks off at {text[-30:]!r}"
    return RuleFinding("truncated", unusable, why + (", before any final answer" if unusable else ""))


def _looks_cut(text: str) -> bool:
    if text[:1] in "{[" and text.count("{") > text.count("}") + 1:
        return True
    if len(_FENCE.findall(text)) % 2 == 1 and not text.endswith(("}", "```")):
        return True
    return _CUT_END.search(text[-40:]) is not None and not text.endswith(("**", "--", "*/", "-->"))


def _language(prompt: str, text: str) -> RuleFinding | None:
    problem = language_problem(prompt, text)
    return None if problem is None else RuleFinding("language_mismatch", False, problem)


def _code_blocks(text: str) -> RuleFinding | None:
    """An odd number of fences, or a Python block that does not parse."""
    fences = list(_FENCE.finditer(text)) if "```" in text or "~~~" in text else []
    if len(fences) % 2 == 1:
        return RuleFinding("broken_code_block", False, "a code block is opened and not closed")
    for start, end in zip(fences[::2], fences[1::2]):
        source = text[start.end() : end.start()]
        if start[2].casefold() not in ("python", "py", "python3") or len(source) > 20_000:
            continue
        if re.search(r"^\s*(?:>>>|\$|%|\.\.\.|!)", source, re.MULTILINE) or "..." in source:
            continue  # a session or a sketch, not a program
        indent = len(source.strip("\n")) - len(source.strip("\n").lstrip(" "))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(source if not indent else re.sub(rf"(?m)^ {{1,{indent}}}", "", source))
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            return RuleFinding("broken_code_block", False, f"a Python block does not parse: {str(error)[:80]}")
    return None


@lru_cache(maxsize=128)
def _asks_json(prompt: str) -> bool:
    return _ASKS_JSON.search(prompt[-8000:]) is not None


def _json(prompt: str, text: str, schema: Mapping[str, Any] | None) -> RuleFinding | None:
    if schema is None and not _asks_json(prompt):
        return None
    found, value = _read_json(text)
    if not found:
        if schema is None and "{" not in text and "[" not in text:
            return RuleFinding("broken_json", False, "JSON was asked for and the answer holds none")
        return RuleFinding("broken_json", schema is not None, "the JSON that was asked for does not parse")
    if schema is None:
        return None
    problem = schema_problem(value, schema)
    if problem is None:
        return RuleFinding("schema_valid", False, "the answer meets the schema")
    return RuleFinding("schema_violation", True, problem)


def _read_json(text: str) -> tuple[bool, Any]:
    """Read the JSON of an answer: all of it, a fenced block, or from the first bracket to the last."""
    pieces = [text] + [found[1] for found in _JSON_BLOCK.finditer(text)][-3:]
    start = min((i for i in (text.find("{"), text.find("[")) if i >= 0), default=-1)
    end = max(text.rfind("}"), text.rfind("]"))
    if 0 <= start < end:
        pieces.append(text[start : end + 1])
    for piece in pieces:
        try:
            return True, json.loads(piece, strict=False)
        except (ValueError, RecursionError):
            continue
    return False, None


def _calls(
    text: str, specs: Mapping[str, ToolSpec], tool_calls: Sequence[Any]
) -> tuple[tuple[FunctionCall, ...], bool]:
    """Return the calls made, natively or in writing, and whether they can be read without searching for them."""
    if tool_calls:
        return tuple(native_call(call) for call in tool_calls), True
    written = parse_calls(text, specs, expected=True) if specs else None
    return written if written is not None else ((), True)


def _tool_calls(
    calls: tuple[FunctionCall, ...], clean: bool, specs: Mapping[str, ToolSpec], tool_calls: Sequence[Any]
) -> RuleFinding | None:
    if not calls or not specs:
        return None
    if any(getattr(call, "valid", True) is False for call in tool_calls):
        return RuleFinding("tool_call_violation", True, "the arguments of a tool call are not valid JSON")
    problem = call_problem(calls, specs)
    if problem is None and not clean:
        return RuleFinding("tool_call_violation", False, "the calls stand in other text or in no readable list")
    if problem is None:
        return RuleFinding("tool_call_valid", False, f"{len(calls)} call(s) fit the tools on offer")
    return RuleFinding("tool_call_violation", problem[1], problem[0])


def _repetition(text: str) -> RuleFinding | None:
    """A loop: the end repeats one unit over and over, or one line fills the answer."""
    if len(text) < 400:
        return None
    lines = Counter(line for line in map(str.strip, text[:100_000].split("\n")) if len(line) >= 20)
    if lines:
        line, count = lines.most_common(1)[0]
        if count >= 6 and count >= 0.3 * sum(lines.values()) and len(set(_LETTERS.findall(line))) >= 4:
            return RuleFinding("repetition", False, f"one line occurs {count} times: {line[:50]!r}")
    tail = text[-1500:][::-1]
    period, covered = _tail_period(tail)
    unit = tail[:period][::-1]
    if period and covered >= max(200, 5 * period) and len(set(_LETTERS.findall(unit))) >= 3:
        return RuleFinding("repetition", False, f"the answer ends in a loop of {unit[:50]!r}")
    return None


def _tail_period(text: str) -> tuple[int, int]:
    """Return (period, length) of the longest stretch from the start that repeats a unit at least five times."""
    border, failure = 0, [0] * len(text)
    best = (0, 0)
    for i in range(1, len(text)):
        while border and text[i] != text[border]:
            border = failure[border - 1]
        border += text[i] == text[border]
        failure[i] = border
        period = i + 1 - border
        if border and (i + 1) >= 5 * period:
            best = (period, i + 1)
    return best
