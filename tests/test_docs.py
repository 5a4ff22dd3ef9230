"""The Python of the guides runs as it is written, one block after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")
DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["learning.md"])
def test_the_guides_code_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    namespace: dict[str, Any] = {}
    exec(compile("\n".join(blocks), name, "exec"), namespace)  # noqa: S102
    assert "tenant-7" in capsys.readouterr().out
    for opened in ("llm", "limited"):
        namespace[opened].fusion.store.close()
