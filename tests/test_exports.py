"""What each package exports is what it says, and nothing public hides or leaks."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "shared" / "emafusion", ROOT / "langchain_emafusion", ROOT / "llamaindex_emafusion")


def names(pattern: str) -> list[str]:
    """Importable names of the files that match, found without importing any of them."""
    files = (path.relative_to(folder.parent) for folder in FOLDERS for path in folder.rglob(pattern))
    dotted = (".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files)
    return sorted(name for name in dotted if not name.endswith("__main__"))


def public_names(module: ModuleType) -> set[str]:
    """Names without an underscore that the module binds: no submodules, and nothing that ``from __future__`` leaves."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    }


@pytest.mark.parametrize("name", names("*.py"))
def test_every_exported_name_exists_once(name: str) -> None:
    module = importlib.import_module(name)
    exported = list(getattr(module, "__all__", ()))
    assert len(exported) == len(set(exported))
    assert [e for e in exported if not hasattr(module, e)] == []


@pytest.mark.parametrize("name", names("__init__.py"))
def test_a_package_exports_its_public_names_and_no_others(name: str) -> None:
    package = importlib.import_module(name)
    exported = {e for e in getattr(package, "__all__", ()) if not e.startswith("_")}
    for lazy in exported:
        getattr(package, lazy)
    assert {e for e in exported if not isinstance(getattr(package, e), ModuleType)} == public_names(package)


@pytest.mark.parametrize(
    "path", [p for folder in FOLDERS for p in sorted(folder.rglob("*.py"))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_module_says_what_lives_in_it(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
