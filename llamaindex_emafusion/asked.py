"""Which part of a prompt is the question, and which part is the material to answer it from.

Query engines, extractors and chat engines write both into one text. A router must read the question alone (else it
routes on whatever was retrieved), a judge needs the material too. In the order of trust:

1. the variables that the template was filled with (:class:`Filled`): exact;
2. the shape of the text (:func:`split_prompt`): tags, ruled-off blocks, labelled sections.

A text that shows none of these shapes is a question as it stands; nothing is cut from what a person wrote freely.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from emafusion.types import Message

__all__ = ["Filled", "Split", "filled_from", "split_prompt", "split_turns"]

QUESTION_VARIABLES = ("query_str", "question", "query")
CONTEXT_VARIABLES = ("context_str", "context_msg", "context", "context_messages")

_ASKING = r"query|question|task|request|instruction|frage|pregunta|pergunta|domanda|вопрос|问题|問題|質問|질문"
_GIVEN = r"context|contexto|contesto|contexte|kontext|контекст|documents?|passages?|sources?|excerpts?|information|"
_GIVEN += r"knowledge|background|article|content|上下文|文脈"
_ANSWERING = r"answer|response|reply|output|result|sqlquery|summary|thought|antwort|respuesta|resposta|risposta|"
_ANSWERING += r"réponse|ответ|答案|回答|답변"

_OPEN = r"^[ \t>*#]*"
"""Start of a line, with the marks that people put before a label."""
_COLON = r"[ \t*]*[:：]"
_QUESTION = re.compile(
    rf"(?im){_OPEN}(?:(?:the|user|user's|original|input|search|my|human|following) )*(?:{_ASKING})"
    rf"(?: (?:is|as follows|below))*{_COLON}[ \t*]*|\bfollowing (?:{_ASKING}){_COLON}[ \t*]*"
)
_STOP = re.compile(rf"(?im){_OPEN}(?:[\w'-]+ ){{0,6}}?(?:{_ANSWERING}|{_GIVEN})\b[^\n:：]{{0,60}}{_COLON}")
_CONTEXT = re.compile(
    rf"(?im){_OPEN}(?:(?:new|additional|retrieved|relevant|the|some|here is|here are|below is|below are) )*(?:{_GIVEN})"
    rf"\b[^\n:：.]{{0,40}}{_COLON}[ \t*]*"
)
_FENCE = re.compile(r"(?m)(?:^[ \t]*([-=_*~])\1{2,}|([-=_*~])\2{7,})[ \t]*$")
_TAG = re.compile(r"(?i)<((?:\w+_)?(?:context|documents?|passages?|excerpts?|knowledge|background))>")
_ASKED_TAG = re.compile(rf"(?i)<((?:\w+_)?(?:{_ASKING}))>")
_EVIDENCE = re.compile(rf"(?i)\b(?:{_GIVEN}|text|choices|schema|section|summar\w+|below|provided|following)")


class Split(NamedTuple):
    """A prompt told apart; ``context`` is empty where the whole text is the question."""

    question: str
    context: str


@dataclass(frozen=True, slots=True)
class Filled:
    """What a template's variables said; ``question`` is empty where the template itself is the instruction."""

    question: str
    context: str


def filled_from(variables: Mapping[str, Any]) -> Filled | None:
    """Read a template's variables; None where they hold no context."""
    context = next((text for name in CONTEXT_VARIABLES if (text := _as_text(variables.get(name)))), "")
    if not context:
        return None
    return Filled(next((text for name in QUESTION_VARIABLES if (text := _as_text(variables.get(name)))), ""), context)


def _as_text(value: Any) -> str:
    """Text of a variable: a string, or messages that a multi-modal template takes."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Sequence):
        return "\n\n".join(t for v in value if isinstance(t := getattr(v, "content", None), str) and t.strip())
    return ""


def split_turns(turns: Sequence[Message], filled: Filled | None = None) -> tuple[tuple[Message, ...], str]:
    """Turns whose last human text is the question alone, and the context that was taken from them."""
    asking = max((i for i, t in enumerate(turns) if t.role == "user"), default=None)
    if asking is None:
        return tuple(turns), filled.context if filled else ""
    text = turns[asking].text
    if filled is not None:
        question = filled.question or text.replace(filled.context, " ").strip() or text
        split = Split(question, filled.context)
    else:
        split = split_prompt(text)
    context = split.context
    if not context:  # context chat engines put what they retrieved into the system prompt
        context = "\n\n".join(c for t in turns[:asking] if t.role == "system" and (c := split_prompt(t.text).context))
    return (*turns[:asking], replace(turns[asking], text=split.question), *turns[asking + 1 :]), context


def split_prompt(text: str) -> Split:
    """Tell the question from the context by the shape of the prompt.

    Examples
    --------
    >>> split_prompt("Context information:\\n-----\\nRome is old.\\n-----\\nQuery: How old is Rome?\\nAnswer: ")
    Split(question='How old is Rome?', context='Rome is old.')
    >>> split_prompt("New Context: Rome is old.\\nQuery: How old?\\nOriginal Answer: Very.\\nNew Answer: ").question
    'How old?'
    >>> split_prompt("What is 2 + 2?")
    Split(question='What is 2 + 2?', context='')
    """
    for shape in (_tagged, _ruled, _labelled):
        split = shape(text)
        if split is not None and split.question.strip() and split.context.strip():
            return Split(split.question.strip(), split.context.strip())
    return Split(text.strip(), "")


def _tagged(text: str) -> Split | None:
    """``<context> ... </context>``, with the question in a tag of its own, labelled, or simply around it."""
    given, around = _cut_out(_TAG, text)
    if not given:
        return None
    asked, _ = _cut_out(_ASKED_TAG, around)
    return Split(asked[-1] if asked else _question_in(around) or around, "\n\n".join(given))


def _cut_out(opening: re.Pattern[str], text: str) -> tuple[list[str], str]:
    """What stands in the closed tags that ``opening`` finds, and the text without them; linear in its length."""
    inside: list[str] = []
    outside: list[str] = []
    done, never_closed = 0, set[str]()
    for start in opening.finditer(text):
        name = start.group(1).lower()
        if start.start() < done or name in never_closed:
            continue
        end = re.compile(rf"(?i)</{name}\s*>").search(text, start.end())
        if end is None:
            never_closed.add(name)
            continue
        inside.append(text[start.end() : end.start()].strip())
        outside.append(text[done : start.start()])
        done = end.end()
    return inside, "\n".join([*outside, text[done:]])


def _ruled(text: str) -> Split | None:
    """Material between two ruled lines, the question before or after them."""
    fences = list(_FENCE.finditer(text))
    if len(fences) < 2:
        return None
    head, tail = text[: fences[0].start()].strip(), text[fences[-1].end() :].strip()
    body = text[fences[0].end() : fences[-1].start()]
    question = _question_in(tail) or _question_in(head)
    if not question and not _EVIDENCE.search(head):
        return None  # somebody drew lines in a message of their own
    return Split(question or f"{head}\n{tail}", body)


def _labelled(text: str) -> Split | None:
    """``Context: ... Question: ...``, in either order; without a question label, what follows the last blank line."""
    given = _CONTEXT.search(text)
    if given is None:
        return None
    before, after = text[: given.start()], text[given.end() :]
    if asked := _last_question(after):
        return Split(_until_stop(after[asked.end() :]), after[: asked.start()])
    if question := _question_in(before):
        answer = _STOP.search(after)
        return Split(question, after[: answer.start()] if answer else after)
    body, blank, instruction = after.strip().rpartition("\n\n")
    return Split(f"{before.strip()}\n{instruction}", body) if blank else None


def _question_in(text: str) -> str:
    asked = _last_question(text)
    return _until_stop(text[asked.end() :]) if asked else ""


def _last_question(text: str) -> re.Match[str] | None:
    """The last label with something behind it: earlier ones may stand in the material, an empty one is a cue."""
    return next((m for m in reversed(list(_QUESTION.finditer(text))) if _until_stop(text[m.end() :])), None)


def _until_stop(text: str) -> str:
    ends = [m.start() for pattern in (_STOP, _QUESTION, _FENCE) if (m := pattern.search(text))]
    return text[: min(ends)].strip() if ends else text.strip()
