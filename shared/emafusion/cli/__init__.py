"""The command line: ``emafusion fit | replay | evaluate | explain | gate | rollback | policies | status | demo``."""

from __future__ import annotations

from emafusion.cli.application import app

__all__ = ["app"]
