"""The example notebook runs from top to bottom."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "burst.ipynb"


def test_notebook_when_its_cells_run_in_order_then_they_succeed_and_write_the_pictures(
    example_burst: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "burst").mkdir()
    for path in example_burst[:4]:
        shutil.copy(path, tmp_path / "burst")
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert "4 frames, reference example_00" in capsys.readouterr().out
    assert Image.open("night.jpg").size == (800, 600) and Path("night.dng").exists()


def test_notebook_when_stored_then_it_is_valid_and_has_no_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbformat.validate(nbformat.reads(NOTEBOOK.read_text(encoding="utf-8"), as_version=4))
