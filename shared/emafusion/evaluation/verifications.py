"""Verifications that a log recorded beside its outcomes; see :mod:`emafusion.learning.verifications`."""

from __future__ import annotations

from emafusion.learning.verifications import Verifications, read_verifications, recorded_verifications

__all__ = ["Verifications", "read_verifications", "recorded_verifications"]
