"""One router for all tests of the command line: fitted once, by the command itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from emafusion.cli import app
from tests.evaluation.synthetic_log import make_log, write


def run(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


def succeeded(*arguments: str | Path) -> Any:
    """Run a command with --json; what it wrote to stdout."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def complaint(*arguments: str | Path) -> str:
    """Run a command that must fail: the one line that it said."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines: Sequence[str] = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 300 queries with scores."""
    return write(tmp_path_factory.mktemp("log") / "train.jsonl", make_log(300, seed=0))


@pytest.fixture(scope="session")
def router(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router fitted on it."""
    path = tmp_path_factory.mktemp("router") / "router.json"
    found = succeeded("fit", log, "-o", path)
    assert found["labelled"] == 300
    return path
