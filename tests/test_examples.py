"""The example burst is reproducible, and matches its description in the documents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from burstfix.io import read_metadata

ROOT = Path(__file__).resolve().parents[1]


def make(folder: Path) -> list[Path]:
    script = ROOT / "examples" / "make_example.py"
    subprocess.run([sys.executable, script, folder], check=True, timeout=120)
    return sorted(folder.glob("*.dng"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make(tmp_path_factory.mktemp("made"))


def test_make_example_when_run_twice_then_writes_the_same_bytes(made: list[Path], tmp_path: Path) -> None:
    again = make(tmp_path)
    assert [path.name for path in again] == [path.name for path in made]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(made, again, strict=True))


def test_example_burst_when_made_again_then_it_equals_the_stored_one(
    made: list[Path], example_burst: list[Path]
) -> None:
    assert [path.name for path in example_burst] == [path.name for path in made]
    for new, shipped in zip(made, example_burst, strict=True):
        difference = tifffile.imread(new).astype(int) - tifffile.imread(shipped).astype(int)
        # Other processors and font renderers may round a few values differently.
        assert np.mean(difference != 0) < 0.01, f"{shipped}: run `make example` and commit what it writes"


def test_example_burst_when_read_then_it_has_the_metadata_of_a_camera(example_burst: list[Path]) -> None:
    assert sum(path.stat().st_size for path in example_burst) < 8e6
    frames = [read_metadata(path) for path in example_burst]
    times = [frame.time for frame in frames if frame.time]
    assert times == sorted(set(times)) and len(times) == len(frames) == 6
    for frame in frames:
        assert (frame.height, frame.width, frame.cfa) == (600, 800, "RGGB")
        assert frame.iso == 6400
        assert frame.exposure_time == pytest.approx(1 / 20)
        assert frame.noise is not None
        assert frame.noise.shot_gain == pytest.approx((6e-3,) * 4)
        assert frame.noise.read_variance == pytest.approx((4e-4,) * 4)


def test_example_burst_when_measured_then_its_noise_matches_its_profile(example_burst: list[Path]) -> None:
    mosaic = tifffile.imread(example_burst[0]).astype(float)
    # The wall at the top is nearly flat, so neighbours of one colour differ only by noise.
    green = (mosaic[0:24:2, 1:400:2] - 256) / (4095 - 256)
    variance = np.var(np.diff(green, axis=1)) / 2
    assert variance == pytest.approx(6e-3 * green.mean() + 4e-4, rel=0.15)
