"""Small real files in place of those that LangChain's suite would download."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from typing import Any

__all__ = ["OfflineResponse", "offline_get"]


def _png() -> bytes:
    """One red pixel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _wav() -> bytes:
    """A tenth of a second of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as clip:
        clip.setnchannels(1)
        clip.setsampwidth(2)
        clip.setframerate(8000)
        clip.writeframes(b"\x00\x00" * 800)
    return buffer.getvalue()


def _pdf() -> bytes:
    """One empty page."""
    body = b"1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
    page = b"3 0 obj<</Type/Page/MediaBox[0 0 9 9]/Parent 2 0 R>>endobj trailer<</Root 1 0 R>>"
    return b"%PDF-1.4\n" + body + page + b"\n%%EOF"


class OfflineResponse:
    """As much of an HTTP response as the suite reads."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def raise_for_status(self) -> None:
        """It is always there."""


def offline_get(url: str, **_: Any) -> OfflineResponse:
    """Stands in for ``httpx.get``."""
    return OfflineResponse({"png": _png, "jpg": _png, "wav": _wav, "pdf": _pdf}[url.rsplit(".", 1)[-1]]())
