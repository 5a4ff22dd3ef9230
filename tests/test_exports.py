"""What each package exports is what it says, and nothing public hides or leaks."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("emafusion", "langchain_emafusion", "llamaindex_emafusion")
FOLDERS = (ROOT / "shared" / "emafusion", ROOT / "langchain_emafusion", ROOT / "llamaindex_emafusion")


def names(pattern: str) -> list[str]:
    """Importable names of the files that match, found without importing any of them."""
    files = (path.relative_to(folder.parent) for folder in FOLDERS for path in folder.rglob(pattern))
    dotted = (".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files)
    return sorted(name for name in dotted if not name.endswith("__main__"))


def public_names(module: ModuleType) -> set[str]:
    """Names without an underscore that are ours: no submodules, and nothing that was imported from elsewhere."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and name not in ("annotations", "TYPE_CHECKING")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", module.__name__).split(".")[0] in PACKAGES
    }


@pytest.mark.parametrize("name", names("*.py"))
def test_every_exported_name_exists_once(name: str) -> None:
    module = importlib.import_module(name)
    exported = list(getattr(module, "__all__", ()))
    assert len(exported) == len(set(exported))
    assert [e for e in exported if not hasattr(module, e)] == []


@pytest.mark.parametrize("name", names("__init__.py"))
def test_a_package_leaks_no_name_that_it_does_not_export(name: str) -> None:
    """With the test above: what a package exports is exactly what is public in it (some of it loaded on first use)."""
    package = importlib.import_module(name)
    assert sorted(public_names(package) - set(getattr(package, "__all__", ()))) == []


@pytest.mark.parametrize(
    "path", [p for folder in FOLDERS for p in sorted(folder.rglob("*.py"))], ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_module_says_what_lives_in_it(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
