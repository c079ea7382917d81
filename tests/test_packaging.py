"""Wheel and source distribution: complete, and usable outside the checkout."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import burstfix
from burstfix.checkpoints import weights_folder

ROOT = Path(__file__).resolve().parents[1]
BUILD = ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md", "constraints.txt")


def build(folder: Path, kind: str) -> Path:
    """Build a "wheel" or an "sdist" in a source tree, as pip and `make dist` do."""
    code = f"from setuptools.build_meta import build_{kind}; build_{kind}('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, timeout=200)
    return next((folder / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the unpacked source distribution, built from a copy of the checkout."""
    pytest.importorskip("setuptools", "77", reason="building needs setuptools")
    copy = tmp_path_factory.mktemp("checkout")
    for name in BUILD:
        shutil.copy(ROOT / name, copy)
    for name in ("burstfix", "weights", "recipes"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    unpacked = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(copy, "sdist")) as archive:
        archive.extractall(unpacked, filter="data")
    return unpacked / f"burstfix-{burstfix.__version__}"


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return build(source, "wheel")


@pytest.mark.slow
def test_wheel_when_built_from_the_sdist_then_code_data_and_weights_are_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "burstfix").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".pyo")
    }
    wanted |= {
        f"burstfix/{path.relative_to(ROOT).as_posix()}"
        for suffix in ("safetensors", "toml")
        for path in (ROOT / "weights").glob(f"*.{suffix}")
    }
    assert wanted <= names


@pytest.mark.slow
def test_wheel_when_installed_then_it_merges_outside_the_checkout(
    wheel: Path, small_burst: list[Path], tmp_path: Path
) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:  # a pure Python wheel is installed by unpacking it
        archive.extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-P", "-m", "burstfix", "merge", *map(str, small_burst)]
    command += ["-o", "out.png", "-m", "kpn", "--device", "cpu", "--report", "out.html", "-vv"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.png").exists() and (tmp_path / "out.html").exists()
    where = [sys.executable, "-P", "-c", "import burstfix; print(burstfix.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(site)


@pytest.mark.slow
def test_metadata_when_shown_on_an_index_then_every_link_is_a_web_address(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode("utf-8"))
    text = metadata.get_payload()
    assert isinstance(text, str) and metadata["Description-Content-Type"] == "text/markdown"
    assert "# burstfix" in text and "burstfix merge shots/*.dng" in text
    assert all(part.startswith(("http:", "https:")) for part in text.split("](")[1:])


def test_index_text_when_the_readme_has_links_then_only_web_addresses_stay() -> None:
    spec = importlib.util.spec_from_file_location("setup", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = "![A picture](docs/a.png)\n\nSee [docs/b.md](docs/b.md#c), [more](d.md), [up](#top), [web](https://e.org).\n"
    assert module.index_text(text) == "See docs/b.md, more (d.md), up, [web](https://e.org).\n"


def test_weights_folder_when_in_a_checkout_then_it_is_beside_the_package() -> None:
    assert weights_folder() == ROOT / "weights"
    assert weights_folder().is_dir()


def test_weights_folder_when_installed_then_it_is_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "burstfix" / "weights").mkdir(parents=True)
    monkeypatch.setattr("burstfix.checkpoints.files.resources.files", lambda name: tmp_path / name)
    assert weights_folder() == tmp_path / "burstfix" / "weights"
