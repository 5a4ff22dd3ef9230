"""Everything that EMAFusion raises.

EMAFusionError
├── ConfigError            (also ValueError)  a wrong argument, found at construction
│   ├── PriceError         a price that is unknown or negative
│   └── ObjectiveError     an objective that is contradictory or out of range
├── LogError               (also ValueError)  a line of an outcome log that cannot be read: names file and line
├── ArtefactError          (also ValueError)  a router file of another version, encoder, pool, or with a broken checksum
├── NotFittedError         (also ValueError)  something was asked of an estimator before ``fit``
├── BudgetExceeded         what is left of a budget does not pay for the call
├── NoCandidateFits        (also ValueError)  no candidate can take this request (length, images, tools)
└── AllCandidatesFailed    every candidate that was asked raised; ``errors`` has each one's exception
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

__all__ = [
    "AllCandidatesFailed",
    "ArtefactError",
    "BudgetExceeded",
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


class BudgetExceeded(EMAFusionError):
    """What is left of a budget does not pay for a call.

    Attributes
    ----------
    budget, key
        Name of the budget, and whose part of it (user, tenant, conversation); "" where there are no parts.
    limit, spent, reserved, needed : float
        USD: allowed in the window, spent in it, held for calls under way, and the most that the call may cost.
    resets_at : datetime or None
        When the window ends (UTC); None for a budget that has no window.
    at_limit : str
        What the budget says is to be done.
    """

    def __init__(
        self,
        budget: str,
        key: str,
        limit: float,
        spent: float,
        reserved: float,
        needed: float,
        *,
        resets_at: datetime | None = None,
        at_limit: str = "raise",
        why: str = "",
    ) -> None:
        self.budget, self.key, self.limit, self.spent, self.reserved = budget, key, limit, spent, reserved
        self.needed, self.resets_at, self.at_limit = needed, resets_at, at_limit
        whose = f" of {key!r}" if key else ""
        until = f"; it begins anew at {resets_at:%Y-%m-%d %H:%M:%S} UTC" if resets_at else ""
        super().__init__(
            f"the budget {budget!r}{whose} has {limit:.6g} USD, of which {spent:.6g} are spent and {reserved:.6g} "
            f"reserved, and this call may cost {needed:.6g}{until}{f'; {why}' if why else ''}: "
            "raise the budget, or set a lower max_output_tokens"
        )

    @property
    def left(self) -> float:
        """USD that were neither spent nor reserved."""
        return max(0.0, self.limit - self.spent - self.reserved)
