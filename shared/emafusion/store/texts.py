"""Texts as a database takes them."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

__all__ = ["as_json", "digest", "first_part", "storable"]

T = TypeVar("T", str, "str | None")


def storable(text: T) -> T:
    """The text without what no database takes: halves of surrogate pairs and, for PostgreSQL, the NUL character."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def as_json(value: Any) -> str:
    """A value for a column of JSON; what JSON does not know becomes a string."""
    return storable(json.dumps(value, default=str, ensure_ascii=False))


def digest(text: str) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def first_part(message: str) -> str:
    """A warning's or an error's kind, without the words that it may quote."""
    return message.split(":", 1)[0]
