"""Everything that EMAFusion raises.

EMAFusionError
├── ConfigError            (also ValueError)  a wrong argument, found at construction
│   ├── PriceError         a price that is unknown or negative
│   └── ObjectiveError     an objective that is contradictory or out of range
├── LogError               (also ValueError)  a line of an outcome log that cannot be read: names file and line
├── ArtefactError          (also ValueError)  a router file of another version, encoder, pool, or with a broken checksum
├── NotFittedError         (also ValueError)  something was asked of an estimator before ``fit``
├── NoCandidateFits        (also ValueError)  no candidate can take this request (length, images, tools)
└── AllCandidatesFailed    every candidate that was asked raised; ``errors`` has each one's exception
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AllCandidatesFailed",
    "ArtefactError",
    "ConfigError",
    "EMAFusionError",
    "LogError",
    "NoCandidateFits",
    "NotFittedError",
    "ObjectiveError",
    "PriceError",
]


class EMAFusionError(Exception):
    """Base of every error of this package."""


class ConfigError(EMAFusionError, ValueError):
    """A wrong argument, found at construction."""


class PriceError(ConfigError):
    """A price that is unknown or negative."""


class ObjectiveError(ConfigError):
    """An objective that is contradictory or out of range."""


class LogError(EMAFusionError, ValueError):
    """A line of an outcome log that cannot be read; the message names the file and the line."""


class ArtefactError(EMAFusionError, ValueError):
    """A saved router that does not fit: its version, encoder, pool or checksum differs."""


class NotFittedError(EMAFusionError, ValueError):
    """Something was asked of an estimator before ``fit``."""


class NoCandidateFits(EMAFusionError, ValueError):
    """No candidate can take this request; ``reasons`` says why for each."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        listed = "; ".join(f"{name}: {why}" for name, why in self.reasons.items())
        super().__init__(f"no candidate can take this request ({listed}); add one that can, or shorten the request")


class AllCandidatesFailed(EMAFusionError):
    """Every candidate that was asked raised; ``errors`` maps each name to its exception."""

    def __init__(self, errors: Mapping[str, Exception]) -> None:
        self.errors = dict(errors)
        listed = "; ".join(f"{name}: {type(e).__name__}: {e}" for name, e in self.errors.items())
        super().__init__(f"every candidate failed ({listed})")
