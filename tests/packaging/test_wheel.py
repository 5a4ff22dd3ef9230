"""The built wheel holds what a user needs, and nothing that only we need."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = {
    "emafusion": ROOT / "shared" / "emafusion",
    "langchain_emafusion": ROOT / "langchain_emafusion",
    "llamaindex_emafusion": ROOT / "llamaindex_emafusion",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    target = tmp_path_factory.mktemp("dist")
    # Hatchling itself, not a front end: those make an isolated environment, which takes a network.
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (file,) = target.glob("*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == set(SHIPPED)


def test_every_source_and_every_file_beside_it_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    wanted = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in SHIPPED.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    packed = {n for n in wheel.namelist() if ".dist-info/" not in n}
    assert packed == wanted


@pytest.mark.parametrize(
    "pattern",
    [
        "emafusion/py.typed",
        "langchain_emafusion/py.typed",
        "llamaindex_emafusion/py.typed",
        "emafusion/encoders/*.npz",
        "emafusion/taxonomy/*.json*",
        "emafusion/demo/*.jsonl.gz",
    ],
)
def test_what_is_read_at_run_time_is_packed(wheel: zipfile.ZipFile, pattern: str) -> None:
    assert any(Path(name).match(pattern) for name in wheel.namelist())


def test_the_licence_and_the_command_come_along(wheel: zipfile.ZipFile) -> None:
    (points,) = (n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt"))
    assert "emafusion = emafusion.cli:app" in wheel.read(points).decode()
    assert {Path(n).name for n in wheel.namelist() if "/licenses/" in n} == {"LICENSE", "NOTICE"}


def test_the_wheel_is_small_enough_to_install_without_a_thought(wheel: zipfile.ZipFile) -> None:
    size = sum(entry.compress_size for entry in wheel.infolist())
    assert size < 20e6, f"{size / 1e6:.1f} MB"
