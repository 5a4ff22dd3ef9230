"""Processor seconds of a process: what a call cost a machine, whatever else the machine was doing."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cpu_seconds"]


def cpu_seconds(pid: int) -> float | None:
    """Processor seconds that all threads of process `pid` have used, or None where the system does not tell."""
    try:
        # The command name, in brackets, may hold blanks: count the fields after it.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
