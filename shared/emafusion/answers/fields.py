"""Where a response says its final answer: a JSON field, a box, a marker such as "Answer:", bold type, the last line."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

TAIL = 6000


class Located(NamedTuple):
    """A piece of the response: its text (or decoded JSON value), where it stands, whether it was intact."""

    text: str
    span: tuple[int, int]
    wellformed: bool
    value: Any = None


_FIELD = re.compile(
    r"[\"'“](?:final[_ ]?answer|answer|correct[_ ]?answer|final[_ ]?result|antwort|réponse|respuesta|答案)[\"'”]"
    r"\s*:\s*",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\f?boxed\s{0,3}\{")
_HASHES = re.compile(r"^####[ \t]+(\S[^\n]*)$", re.MULTILINE)
_MARKER = re.compile(
    r"(?:^|(?<=\W))(?:\*{0,2}#{0,4}\s?)(?:(?:final|correct|best|right|richtige|endgültige|final)\s+)?"
    r"(?:answer|antwort|lösung|ergebnis|réponse|respuesta|risposta|resposta|antwoord|svar|odpowiedź|cevap|ответ|答案|答え|回答|정답)"
    r"(?:\s+(?:choice|option|to\s+(?:the|this)\s+question|finale?|correcta|correcte))?\*{0,2}"
    r"(?:\s*(?:is|ist|lautet|est|es|è|é|är|to|would\s+be|must\s+be|should\s+be)(?=[\s:*]|\\[(\[])\s*(?:therefore|thus|indeed|also)?"
    r"\s*:?|\s*[:：=]|是|为|应?选|は)[ \t]*",
    re.IGNORECASE,
)
_BOLD = re.compile(r"(?:\*\*|__)([^*_\n][^*\n]{0,160}?)(?:\*\*|__)")
_THINKING = re.compile(r"<(think|thinking|reasoning|scratchpad)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_ANSWER_TAG = re.compile(r"<(answer|final_answer|solution|result)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_LATEX_ESCAPE = re.compile(
    r"\\(?:b(?:inom|ar|eta|egin|oxed|ig|mod|ot|f|ullet)|f(?:rac|orall|box)|n(?:eq?|u|ot|abla|eg|mid|ewline)(?![a-z])|"
    r"r(?:ight|ho|angle|floor|ceil|m|brace)|t(?:ext|an|imes|heta|frac|o|au|riangle|ilde)|u(?:parrow|nderline))"
)


def last_match(pattern: re.Pattern[str], text: str, start: int, end: int | None = None) -> re.Match[str] | None:
    """Return the last match of a pattern from a position on."""
    last = None
    for found in pattern.finditer(text, max(0, start), len(text) if end is None else end):
        last = found
    return last


def unwrap(response: str) -> tuple[str, bool]:
    """Decode a response that is itself one JSON string. Returns the text and whether it was decoded."""
    stripped = response.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] == '"' and len(stripped) < 200_000:
        try:
            value = json.loads(stripped, strict=False)
        except ValueError:
            return response, False
        if isinstance(value, str):
            return value, True
    return response, False


def hide_thinking(text: str) -> str:
    """Blank out closed thinking sections, keeping positions; an unclosed one leaves nothing."""
    if "<" not in text or not _THINKING.search(text):
        return text
    return _THINKING.sub(lambda found: " " * len(found[0]), text)


def find_field(text: str) -> Located | None:
    """Find the last "answer" field of a JSON object, also of a broken or cut-off one."""
    last = last_match(_FIELD, text, len(text) - 20_000)
    if last is None:
        return None
    start = last.end()
    if start >= len(text):
        return None
    if text[start] == '"':
        return _string_field(text, start)
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
        if isinstance(value, float) or text[end : end + 1] in ("", ",", "}", "\n", " ", "\r", "]", "`"):
            return Located(text[start:end], (start, end), True, ("json", value))
    except (ValueError, RecursionError):
        pass
    end = text.find("\n", start)
    piece = text[start : end if end >= 0 else len(text)]
    piece = re.sub(r"[\s,]*(?:\}[\s`]*)?$", "", piece)
    if piece[:1] == "'" and piece[-1:] == "'" and len(piece) > 1:
        piece, start = piece[1:-1], start + 1
    return Located(decode_escapes(piece), (start, start + len(piece)), False) if piece else None


def _string_field(text: str, start: int) -> Located | None:
    """Read a string from its opening quote to the quote that is followed by the end of the member."""
    position = start + 1
    intact = True
    while True:
        end = text.find('"', position)
        if end < 0:
            piece = text[start + 1 :].split("\n")[0].rstrip(" }`\r")
            return Located(decode_escapes(piece), (start + 1, start + 1 + len(piece)), False) if piece else None
        first = end
        while text[first - 1] == "\\":
            first -= 1
        escapes = end - first
        if escapes % 2 == 1 or not re.match(r"\s*(?:[,}\]]\s*(?:$|[\"}\]`\n])|$|```)", text[end + 1 : end + 40]):
            intact = intact and escapes % 2 == 1
            position = end + 1
            continue
        piece = text[start + 1 : end]  # may be empty: an empty string can be the answer
        return Located(decode_escapes(piece), (start + 1, end), intact and text.rstrip().endswith(("}", "```", "]")))


def decode_escapes(text: str) -> str:
    r"""Undo JSON escapes, but leave LaTeX commands that were written with one backslash alone.

    >>> decode_escapes(r"\frac{1}{2}") == decode_escapes(r"\\frac{1}{2}")
    True
    """
    if "\\" not in text:
        return text
    out, i = [], 0
    plain = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "/": "/", "\\": "\\"}
    while i < len(text):
        sign = text[i]
        following = text[i + 1 : i + 2]
        if sign != "\\" or not following:
            out.append(sign)
            i += 1
        elif following == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", text[i + 2 : i + 6]):
            out.append(chr(int(text[i + 2 : i + 6], 16)))
            i += 6
        elif following in plain and not (following in "ntrbf" and _LATEX_ESCAPE.match(text, i)):
            out.append(plain[following])
            i += 2
        else:
            out.append(sign)
            i += 1
    return "".join(out)


def find_box(text: str) -> Located | None:
    r"""Find the last ``\boxed{...}``, with its braces balanced."""
    last = last_match(_BOX, text, len(text) - 20_000)
    if last is None:
        return None
    depth, i = 1, last.end()
    while i < len(text) and depth:
        depth += (text[i] == "{") - (text[i] == "}")
        i += 1
    end = i - 1 if depth == 0 else i
    return Located(text[last.end() : end].strip(), (last.end(), end), depth == 0)


def find_tag(text: str) -> Located | None:
    """Find the last ``<answer>...</answer>``."""
    last = last_match(_ANSWER_TAG, text, len(text) - 20_000) if "<" in text else None
    return Located(last[2].strip(), last.span(2), True) if last else None


def find_hashes(text: str) -> Located | None:
    """Find the last line of the form ``#### 42``."""
    last = last_match(_HASHES, text, len(text) - TAIL) if "####" in text else None
    return Located(last[1].strip(), last.span(1), True) if last else None


def find_marker(text: str) -> Located | None:
    """Find what follows the last "Answer:", "The answer is", "Antwort:", "答案" and the like, up to the line's end."""
    last = None
    for found in _MARKER.finditer(text, max(0, len(text) - TAIL)):
        if text[found.end() :].strip(" *\n#:"):
            last = found
    if last is None:
        return None
    start = last.end()
    start += len(text[start:]) - len(text[start:].lstrip(" \t\n*:"))
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    piece = text[start:end]
    if piece.startswith(("\\[", "$$")) and len(piece) <= 2:  # a displayed formula stands on the next line
        following = text[end + 1 :].split("\n", 1)[0]
        start, piece = end + 1, following
    piece = piece.strip()
    return Located(piece, (start, start + len(piece)), True) if piece else None


def find_bold(text: str) -> Located | None:
    """Find the last bold piece of the last paragraph."""
    last = last_match(_BOLD, text, len(text) - 400)
    if last is None or last[1].rstrip().endswith(":"):
        return None
    return Located(last[1].strip(), last.span(1), True)


def last_line(text: str) -> Located | None:
    """Return the last line that is more than fences and closing brackets."""
    end = len(text)
    while end > 0:
        start = text.rfind("\n", 0, end) + 1
        line = text[start:end].strip()
        if line.strip("`}]> \t*_-"):
            offset = text.find(line, start)
            return Located(line, (offset, offset + len(line)), True)
        end = start - 1
    return None
