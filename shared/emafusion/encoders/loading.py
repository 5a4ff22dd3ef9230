"""Which encoder: the default one, or the one that an artefact names."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from emafusion.encoders.base import Encoder
from emafusion.encoders.hashing import HashingEncoder
from emafusion.encoders.static import StaticEncoder
from emafusion.encoders.tfidf import TfidfLsaEncoder
from emafusion.errors import ArtefactError

__all__ = ["default_encoder", "load_encoder"]

_HASHING = re.compile(r"hashing(?P<features>-w12(?:-c345)?-v1)?(?:-(?P<dim>\d+))?")


@lru_cache(maxsize=1)
def default_encoder() -> Encoder:
    """Return the shipped static encoder; one instance a process, its table read on the first use."""
    return StaticEncoder()


def load_encoder(identity: str = "default", *, path: str | Path | None = None) -> Encoder:
    """Return the encoder that an artefact names, or refuse.

    Parameters
    ----------
    identity : str
        ``"default"``; a full identity such as ``"static-minilm-256@..."``; or ``"hashing"``, ``"hashing-512"``.
    path : path-like, optional
        The file of a static table or of a saved TF-IDF encoder, for those that are not shipped.

    Raises
    ------
    ArtefactError
        When the encoder found is another than `identity` says: its vectors would be read wrongly.
    """
    if identity == "default" and path is None:
        return default_encoder()
    hashing = _HASHING.fullmatch(identity)
    if hashing:
        words_only = hashing["features"] == "-w12-v1"
        return HashingEncoder(int(hashing["dim"] or 1024), characters=not words_only)
    found: Encoder
    if identity.startswith("tfidf"):
        if path is None:
            raise ArtefactError(f"encoder {identity!r} was fitted on somebody's texts; give the path of its saved file")
        found = TfidfLsaEncoder.load(path)
    elif identity == "default" or identity.startswith("static-"):
        found = StaticEncoder(path) if path is not None else default_encoder()
    else:
        raise ArtefactError(
            f"encoder {identity!r} is not one that can be loaded by name; construct it and hand it over as `encoder=`"
        )
    if "@" in identity and found.identity != identity:
        raise ArtefactError(
            f"the artefact was fitted with encoder {identity!r}, this installation has {found.identity!r}; "
            "fit again, or hand over the encoder it was fitted with"
        )
    return found
