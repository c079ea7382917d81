"""The examples in examples/batch run successfully."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batch.cards import burst

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "batch"
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
COMMAND = f"{sys.executable} -m burstfix"


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    for k, name in enumerate(("cat", "dog")):
        burst(tmp_path / "shots" / name, 10 * k + 1, 2, 100.0 * k)
    return tmp_path / "shots"


def run(*command: str) -> str:
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=ROOT,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_pipeline_when_run_then_each_burst_has_a_picture(shots: Path, tmp_path: Path) -> None:
    run(sys.executable, str(EXAMPLES / "pipeline.py"), str(shots), str(tmp_path / "out"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["IMG_0001.jpg", "IMG_0011.jpg"]


def test_pipeline_when_counted_then_it_has_ten_lines() -> None:
    text = (EXAMPLES / "pipeline.py").read_text(encoding="utf-8").split('"""')[2]
    code = [line for line in text.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(code) <= 10


@pytest.mark.slow
def test_hot_folder_when_files_arrive_then_it_announces_the_picture(shots: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / "hot_folder.py"), str(inbox), str(tmp_path / "out")],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        shutil.copytree(shots, inbox / "copied")
        lines = sorted(process.stdout.readline().strip() for _ in range(2))
        process.terminate()
    stems = ("cat/IMG_0001-IMG_0002", "dog/IMG_0011-IMG_0012")
    assert lines == [f"done: copied/{stem}.jpg" for stem in stems]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_makefile_when_run_twice_then_the_second_run_does_nothing(shots: Path, tmp_path: Path) -> None:
    arguments = [f"SHOTS={shots}", f"OUT={tmp_path / 'out'}", f"BURSTFIX={COMMAND}", "OPTIONS=-m average"]
    make = ["make", "-f", str(EXAMPLES / "Makefile"), *arguments]
    run(*make)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cat.tif", "dog.tif"]
    assert "Nothing to be done" in run(*make)


@pytest.mark.slow
def test_snakefile_when_run_then_each_folder_has_a_picture(shots: Path, tmp_path: Path) -> None:
    pytest.importorskip("snakemake", reason="no snakemake here")
    config = [f"shots={shots}", f"out={tmp_path / 'out'}", f"burstfix={COMMAND}", "options=-m average"]
    run(sys.executable, "-m", "snakemake", "-s", str(EXAMPLES / "Snakefile"), "--cores", "1", "-d",
        str(tmp_path), "--config", *config)  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["cat.tif", "dog.tif"]
