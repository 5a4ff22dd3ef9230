"""Quoting strangers: question and answer go to a judge as material between markers, and what is in them stays in them.

1. A marker carries a digest of the very text that it encloses, so no text can hold its own end.
2. Characters that hide or reorder text (zero-width, bidirectional controls, tags) are shown by their code points.
3. A text longer than :data:`MOST_CHARS` keeps its beginning and its end.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass

from emafusion.types import Message, Query, Reply

__all__ = ["Quotation", "answer_text", "judge_prompt", "plain", "quoted", "talks_to_a_judge"]

MOST_CHARS = 12_000
_KEPT = frozenset("\n\t")
_JOINERS = frozenset("\u200c\u200d")  # Persian, Indic scripts and emoji are written with them

_TO_THE_JUDGE = re.compile(
    "|".join(
        (
            # "ignore all previous instructions"
            r"\b(?:ignore|disregard|forget|override)\b (?:\w+ ){0,4}"
            r"(?:above|previous|prior|earlier|instructions?|rubric|prompt)\b",
            r"\bignor(?:iere|iert|ez|er|a|ar|e) (?:\w+ ){0,3}(?:anweisung|instruction|instruccion|istruzion|instruçõ)",
            r"(?:忽略|无视|無視)\W*\w{0,8}(?:指示|指令|说明|規則|规则|内容)",
            # "score it 10", "mark this answer as correct"
            r"\b(?:score|grade|rate|mark|judge|label|accept|treat) "
            r"(?:it|this|the answer|this answer|this response|my answer)"
            r"(?: \w+){0,3} (?:10|100|correct|right|true|perfect|highest|maximum|full marks)\b",
            # "note to the grader", "judge: reply with"
            r"\b(?:note|message|instructions?|attention)(?: to| for|:|,) (?:the |any |all )?"
            r"(?:judge|grader|evaluator|reviewer|verifier|checker)",
            r"\b(?:judge|grader|evaluator|verifier)s?[,:]? (?:you )?"
            r"(?:must|should|please|has already|have already|output|reply|respond)\b",
            r"\byou are (?:now )?(?:the |an? )?(?:judge|grader|evaluator|verifier|system)\b",
            # a turn or a marker of its own
            r"(?:<\|?|\[)/?(?:im[ _]start|im[ _]end|system|assistant|endoftext|inst)\b",
            r"\b(?:new )?system (?:message|prompt|notice)\b",
            r"<<\s*/?\s*(?:end|answer|task|material|first|second)\b|\bend (?:answer|task|material) [0-9a-f]{6,}",
            # a verdict of its own
            r"\bverdict\W{1,4}(?:correct|right|true|yes|10)\b|[\"'{]\s*correct\s*[\"']?\s*[:=]\s*[\"']?(?:true|yes|1\b)",
            r"[\"'{]\s*better[\"']?\s*[:=]\s*[\"']?(?:first|second)",
        )
    )
)
_LOOKALIKES = str.maketrans("аеорсухіјѕԁɡοαερτυν", "aeopcyxijsdgoaeptuv")


@dataclass(frozen=True, slots=True)
class Quotation:
    """A text between markers, and the digest that they carry."""

    text: str
    mark: str


def quoted(label: str, text: str) -> Quotation:
    """Quote ``text`` as ``label``."""
    text = _visible(text)
    if len(text) > MOST_CHARS:
        half = MOST_CHARS // 2
        text = f"{text[:half]}\n[... {len(text) - MOST_CHARS} characters left out ...]\n{text[-half:]}"
    mark = hashlib.blake2b(f"{label}\0{text}".encode("utf-8", "replace"), digest_size=6).hexdigest()
    return Quotation(f"<<{label} {mark}>>\n{text}\n<<END {label} {mark}>>", mark)


def judge_prompt(
    system: str, query: Query, answers: dict[str, Reply], question: str
) -> tuple[tuple[Message, Message], str]:
    """Our words in the system turn and at the end, strangers' words quoted between; and the mark of the answers."""
    task = quoted("TASK", query.text)
    parts = [task.text]
    if query.context:
        parts.append(quoted("MATERIAL", query.context).text)
    marks = []
    for label, reply in answers.items():
        shown = quoted(label, answer_text(reply))
        parts.append(shown.text)
        marks.append(shown.mark)
    mark = hashlib.blake2b("".join([task.mark, *marks]).encode(), digest_size=4).hexdigest()
    parts.append(question.replace("MARK", mark))
    return (Message("system", system), Message("user", "\n\n".join(parts))), mark


def answer_text(reply: Reply) -> str:
    """An answer as a judge is shown it: its text, and the calls that it makes as JSON."""
    if not reply.tool_calls:
        return reply.text or ""
    calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in reply.tool_calls]
    return f"{reply.text or ''}\n{json.dumps(calls, default=str)}"


def talks_to_a_judge(text: str) -> bool:
    """Whether an answer holds a verdict of its own, or words meant for whoever checks it."""
    return _TO_THE_JUDGE.search(plain(text)) is not None


def plain(text: str) -> str:
    """``text`` with its disguises off: compatibility forms, look-alike letters, hidden characters."""
    shown = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) not in ("Cf", "Mn", "Co"))
    return re.sub(r"[\s\\_]+", " ", shown.casefold().translate(_LOOKALIKES))


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"[U+{ord(c):04X}]"
        if c not in _KEPT and c not in _JOINERS and unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs")
        else c
        for c in text
    )
