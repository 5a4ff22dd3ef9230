"""``python -m emafusion`` is the command ``emafusion``."""

from __future__ import annotations

from emafusion.cli import app

if __name__ == "__main__":
    app(prog_name="emafusion")
