"""What is imported, and when: the core alone, and each adapter without the other framework."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LANGCHAIN = ["langchain", "langchain_core", "langchain_openai", "langgraph", "langsmith"]
LLAMAINDEX = ["llama_index", "llama_index_instrumentation", "workflows"]
HEAVY = [
    "genai_prices",
    "matplotlib",
    "openai",
    "pandas",
    "rich",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "typer",
    "xllamacpp",
]

# Stands in for an environment in which the blocked packages were never installed.
ENVIRONMENT = """
import json, sys, time

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in {blocked!r} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
start, error = time.perf_counter(), None
try:
    {statement}
except ImportError as caught:
    error = str(caught)
seconds = time.perf_counter() - start
loaded = sorted({{name.split(".")[0] for name in sys.modules}})
print(json.dumps({{"loaded": loaded, "error": error, "seconds": seconds}}))
"""


def imported(statement: str, blocked: list[str]) -> tuple[set[str], str | None, float]:
    """Top-level modules that ``statement`` loads, its import error, and its seconds, in an interpreter of its own."""
    program = ENVIRONMENT.format(statement=statement, blocked=set(blocked))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    return set(told["loaded"]), told["error"], told["seconds"]


def test_the_core_needs_neither_framework() -> None:
    _, error, _ = imported("import emafusion, emafusion.cli", LANGCHAIN + LLAMAINDEX)
    assert error is None


def test_importing_the_core_loads_no_framework_and_nothing_heavy() -> None:
    loaded, error, seconds = imported("from emafusion import *", [])
    print(f"import emafusion: {seconds:.2f} s")
    assert error is None
    assert not loaded & {*LANGCHAIN, *LLAMAINDEX, *HEAVY}


def test_the_langchain_adapter_needs_langchain_only() -> None:
    loaded, error, _ = imported("from langchain_emafusion import ChatEMAFusion", [*LLAMAINDEX, "langchain_openai"])
    assert error is None
    assert "sklearn" not in loaded


def test_the_llamaindex_adapter_needs_llamaindex_only() -> None:
    loaded, error, _ = imported("from llamaindex_emafusion import EMAFusion", LANGCHAIN)
    assert error is None
    assert "sklearn" not in loaded


@pytest.mark.parametrize(
    ("statement", "extra"),
    [
        ("from langchain_emafusion import ChatEMAFusion", "emafusion[langchain]"),
        ("from llamaindex_emafusion import EMAFusion", "emafusion[llamaindex]"),
    ],
)
def test_an_adapter_without_its_framework_says_what_to_install(statement: str, extra: str) -> None:
    _, error, _ = imported(statement, LANGCHAIN + LLAMAINDEX)
    assert error is not None
    assert extra in error


def test_the_client_without_its_package_says_what_to_install() -> None:
    statement = "import emafusion.clients.openai as c; c.OpenAIModel('gpt-4o-mini')"
    _, error, _ = imported(statement, ["openai"])
    assert error is not None
    assert "emafusion[openai]" in error
