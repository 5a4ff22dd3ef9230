"""Run the adapters' tests against newest and oldest versions of the frameworks, each in an environment of its own.

    python tests/matrix.py [CELL ...]      # all of them, or those named; --list names them

Needs nothing but an interpreter (and uses uv where there is one). Environments stay in ``.cache/matrix``; a cell's
output goes to ``.cache/matrix/<cell>.log``. Goes on after a failure, prints a table, and exits with 1 if any failed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".cache" / "matrix"
TOOLS = ("hypothesis>=6.100", "pytest>=8", "pytest-asyncio>=0.24", "pytest-socket>=0.7", "pytest-xdist>=3.6")
LANGCHAIN = ("langchain-openai", "langchain-tests", "langgraph")


@dataclass(frozen=True)
class Cell:
    """One environment: what is installed beside the project, and what is run in it."""

    name: str
    extras: str
    pins: tuple[str, ...]
    tests: tuple[str, ...]
    shows: tuple[str, ...]
    """Distributions whose versions the table tells."""


CELLS = (
    Cell(
        "langchain-openai3",
        "langchain",
        (*LANGCHAIN, "openai>=3,<4"),
        ("tests/langchain",),
        ("langchain-core", "langgraph", "openai"),
    ),
    Cell(
        "langchain-openai2",
        "langchain",
        (*LANGCHAIN, "openai>=2,<3"),
        ("tests/langchain",),
        ("langchain-core", "langgraph", "openai"),
    ),
    Cell(
        "langchain-oldest",
        "langchain",
        (
            "langchain-core==1.0.0",
            "langchain==1.0.0",
            "langgraph==1.0.0",
            "langgraph-prebuilt==1.0.0",  # newer ones import what langgraph 1.0.0 does not have,
            "langgraph-checkpoint<4",  # what langchain-core 1.0 does not have
            "langchain-openai==1.0.0",
            "langchain-tests==1.0.0",
            "openai==2.0.0",
        ),
        ("tests/langchain",),
        ("langchain-core", "langgraph", "openai"),
    ),
    # Histories that were routed across providers, sent by every provider's own client.
    Cell(
        "langchain-providers",
        "langchain",
        (*LANGCHAIN, "langchain-anthropic>=1", "langchain-google-genai>=4"),
        ("tests/langchain/test_portable.py",),
        ("langchain-anthropic", "langchain-google-genai", "langchain-openai"),
    ),
    # Histories for every provider's own client here, too.
    Cell(
        "llamaindex-newest",
        "llamaindex",
        (
            "llama-index-llms-openai-like",
            "llama-index-observability-otel",
            "llama-index-llms-anthropic",
            "llama-index-llms-bedrock-converse",
            "llama-index-llms-google-genai",
            "llama-index-llms-mistralai",
            "llama-index-llms-ollama",
            "anthropic<0.80",  # the integration calls a type that newer ones made a Union
        ),
        ("tests/llamaindex", "tests/parity"),
        ("llama-index-core", "openai"),
    ),
    Cell(
        "llamaindex-oldest",
        "llamaindex",
        ("llama-index-core==0.14.6", "llama-index-llms-openai-like"),
        ("tests/llamaindex", "tests/parity"),
        ("llama-index-core", "openai"),
    ),
    Cell(
        "both",
        "langchain,llamaindex",
        (*LANGCHAIN, "llama-index-llms-openai-like"),
        ("tests/langchain", "tests/llamaindex", "tests/parity"),
        ("langchain-core", "llama-index-core", "openai"),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What came of a cell; ``broken`` says what went wrong before a test ran."""

    cell: Cell
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    versions: str = ""
    broken: str = ""

    @property
    def good(self) -> bool:
        return not self.failed and not self.broken and self.passed > 0


def run(cell: Cell) -> Outcome:
    """Install and test; never raises for what a cell does."""
    begin = time.perf_counter()
    place = HOME / cell.name
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    report = HOME / f"{cell.name}.xml"
    report.unlink(missing_ok=True)
    with (HOME / f"{cell.name}.log").open("w") as log:

        def done(*command: str | Path, **environment: str) -> bool:
            log.write(f"$ {' '.join(map(str, command))}\n")
            log.flush()
            at = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")} | environment
            return subprocess.call(list(map(str, command)), cwd=ROOT, stdout=log, stderr=log, env=at) == 0

        wanted = ("--editable", f"{ROOT}[{cell.extras}]", *TOOLS, *cell.pins)
        if shutil.which("uv"):
            # nltk, which LlamaIndex loads, refuses files that are hard links into a cache.
            made = done("uv", "venv", "--quiet", "--clear", "--python", sys.executable, place) and done(
                "uv", "pip", "install", "--quiet", "--python", python, *wanted, UV_LINK_MODE="copy"
            )
        else:
            made = done(sys.executable, "-m", "venv", "--clear", place) and done(
                python, "-m", "pip", "install", "--quiet", *wanted
            )
        if made:
            pytest = (python, "-m", "pytest", "-n", "2", "--dist", "worksteal", "-p", "no:cacheprovider", "-ra")
            done(*pytest, f"--junitxml={report}", *cell.tests)
    seconds = time.perf_counter() - begin
    if not made:
        return Outcome(cell, seconds=seconds, broken="could not be installed")
    if not report.exists():
        return Outcome(cell, seconds=seconds, broken="no test was collected")
    passed, failed, skipped = counts(report)
    return Outcome(cell, passed, failed, skipped, seconds, versions(python, cell.shows))


def counts(report: Path) -> tuple[int, int, int]:
    """Passed (expected failures are skips), failed or in error, skipped."""
    suites = list(ET.parse(report).getroot().iter("testsuite"))
    told = {k: sum(int(s.get(k, 0)) for s in suites) for k in ("tests", "failures", "errors", "skipped")}
    failed = told["failures"] + told["errors"]
    return told["tests"] - failed - told["skipped"], failed, told["skipped"]


def versions(python: Path, names: Sequence[str]) -> str:
    program = "import sys; from importlib.metadata import version; print(*(f'{n} {version(n)}' for n in sys.argv[1:]))"
    out = subprocess.run([python, "-c", program, *names], capture_output=True, text=True, check=False).stdout.strip()
    return re.sub(r"(?<=\d) (?=[a-z])", ", ", out)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cells", nargs="*", metavar="CELL", help="cells to run; by default all")
    parser.add_argument("--list", action="store_true", help="name the cells")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{c.name}: {' '.join(c.tests)} with {', '.join(c.pins)}" for c in CELLS))
        return 0
    unknown = set(options.cells) - {c.name for c in CELLS}
    if unknown:
        parser.error(f"no such cell: {', '.join(sorted(unknown))} (there are: {', '.join(c.name for c in CELLS)})")
    HOME.mkdir(parents=True, exist_ok=True)
    outcomes = []
    line = "{:<20} {:>7} {:>7} {:>8} {:>6}  {}".format
    print(line("cell", "passed", "failed", "skipped", "s", "with"), flush=True)
    for cell in CELLS:
        if options.cells and cell.name not in options.cells:
            continue
        found = run(cell)
        outcomes.append(found)
        told = found.broken or found.versions
        print(
            line(cell.name, found.passed, found.failed, found.skipped, round(found.seconds), told)
            + ("" if found.good else f"  -> {(HOME / cell.name).relative_to(ROOT)}.log"),
            flush=True,
        )
    return 0 if all(o.good for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
