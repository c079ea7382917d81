from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import burstfix
from burstfix.checkpoints import weights_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_wheel_when_built_then_weights_and_their_cards_are_inside(tmp_path):
    pytest.importorskip("setuptools", "77", reason="building a wheel needs setuptools")
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "README.md").touch()
    shutil.copytree(ROOT / "burstfix", tmp_path / "burstfix", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "weights").mkdir()
    for name in ("some.safetensors", "some.toml", "notes.txt"):
        (tmp_path / "weights" / name).write_text(name)
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    built = next((tmp_path / "dist").glob("*.whl"))
    assert built.name.startswith(f"burstfix-{burstfix.__version__}-")
    with zipfile.ZipFile(built) as wheel:
        names = set(wheel.namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "burstfix").rglob("*.py")}
    assert modules | {"burstfix/py.typed"} <= names
    assert {name for name in names if name.startswith("burstfix/weights/")} == {
        "burstfix/weights/some.safetensors",
        "burstfix/weights/some.toml",
    }


def test_weights_folder_when_in_a_checkout_then_it_is_beside_the_package():
    assert weights_folder() == ROOT / "weights"
    assert weights_folder().is_dir()


def test_weights_folder_when_installed_then_it_is_inside_the_package(tmp_path, monkeypatch):
    (tmp_path / "burstfix" / "weights").mkdir(parents=True)
    monkeypatch.setattr("burstfix.checkpoints.files.resources.files", lambda name: tmp_path / name)
    assert weights_folder() == tmp_path / "burstfix" / "weights"
