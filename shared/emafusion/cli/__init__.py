"""The command line: ``emafusion fit | replay | evaluate | explain | demo``."""

from __future__ import annotations

from emafusion.cli.application import app

__all__ = ["app"]
