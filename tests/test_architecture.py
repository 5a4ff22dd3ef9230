"""The floors of the house: imports only point down, and the core knows neither framework."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "shared" / "emafusion"
ADAPTERS = ("langchain_emafusion", "llamaindex_emafusion")

FLOORS: list[set[str]] = [
    {"_version", "types", "errors", "config", "tokens", "asked", "pricing", "ratings", "log", "call_ids"},
    {"encoders", "taxonomy", "estimators", "answers", "judges"},
    {"routers", "policies"},
    {"engine"},
    {
        "budgets",
        "learning",
        "store",
        "evaluation",
        "clients",
        "explanation",
        "recent",
        "grading",
        "feedback",
        "assembly",
        "fusion",
        "onboarding",
        "steering",
        "attribution",
    },
    {"__init__", *ADAPTERS},
    {"cli", "demo", "__main__"},
]
"""From the ground up. A unit is a module or a package right under ``emafusion``, or an adapter.
The package's own ``__init__`` only gathers what users need, so nothing below may import from it."""

FLOOR = {unit: number for number, floor in enumerate(FLOORS) for unit in floor}
FRAMEWORKS = ("langchain", "langchain_core", "langchain_openai", "langgraph", "langsmith", "llama_index")
MAY_USE_FRAMEWORKS = {*ADAPTERS, "demo"}


def sources() -> Iterator[tuple[str, Path]]:
    """Every module that ships, with the unit that it belongs to."""
    for path in sorted(CORE.rglob("*.py")):
        first = path.relative_to(CORE).parts[0]
        yield first.removesuffix(".py"), path
    for adapter in ADAPTERS:
        for path in sorted((ROOT / adapter).rglob("*.py")):
            yield adapter, path


@cache
def imports(path: Path) -> tuple[tuple[int, str], ...]:
    """Every absolute module name that a file imports, anywhere in it, with the line."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports absolutely"
            if node.module in ("emafusion", "__future__"):
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module or ""))
    return tuple(found)


def unit_of(module: str) -> str | None:
    """The unit of ours that a module belongs to; what ``emafusion`` itself gathers belongs to its ``__init__``."""
    parts = module.split(".")
    if parts[0] in ADAPTERS:
        return parts[0]
    if parts[0] != "emafusion":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "__init__"


def edges() -> Iterator[tuple[str, str, str]]:
    """(importing unit, imported unit, where) for all imports of ours between units."""
    for unit, path in sources():
        for line, module in imports(path):
            target = unit_of(module)
            if target is not None and target != unit:
                yield unit, target, f"{path.relative_to(ROOT)}:{line} imports {module}"


def test_every_unit_has_a_floor() -> None:
    homeless = {unit for unit, _ in sources()} - FLOOR.keys()
    assert not homeless, f"give a floor to {sorted(homeless)}"


def test_imports_only_point_down() -> None:
    upward = [where for unit, target, where in edges() if FLOOR[target] > FLOOR[unit]]
    assert not upward


def test_the_adapters_know_nothing_of_each_other() -> None:
    assert not [where for unit, target, where in edges() if {unit, target} == set(ADAPTERS)]


def test_units_on_one_floor_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for unit, target, _ in edges():
        graph.setdefault(unit, set()).add(target)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_only_adapters_and_the_demo_import_a_framework() -> None:
    guilty = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for unit, path in sources()
        if unit not in MAY_USE_FRAMEWORKS
        for line, module in imports(path)
        if module.split(".")[0] in FRAMEWORKS
    ]
    assert not guilty


PURE = {"types", "errors", "config", "asked", "judges", "estimators", "routers", "policies", "answers"}
IMPURE = {"asyncio", "concurrent", "socket", "subprocess", "urllib", "requests", "httpx", "random", "time"}


@pytest.mark.parametrize("unit", sorted(PURE))
def test_thinking_is_pure(unit: str) -> None:
    """No I/O, no clock, no threads (a lock over shared state may be), no unseeded chance where decisions are made."""
    guilty = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for owner, path in sources()
        if owner == unit
        for line, module in imports(path)
        if module.split(".")[0] in IMPURE
    ]
    assert not guilty


def test_nothing_unpickles_or_evaluates_text() -> None:
    guilty = []
    for _, path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                guilty.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {node.func.id}")
        guilty += [
            f"{path.relative_to(ROOT)}:{line} imports {module}"
            for line, module in imports(path)
            if module.split(".")[0] in ("pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve")
        ]
    assert not guilty
