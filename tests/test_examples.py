"""The example burst: ours, reproducible, and what the documents say it is."""

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


def test_example_burst_when_drawn_anew_then_is_the_one_that_ships(
    made: list[Path], example_burst: list[Path]
) -> None:
    assert [path.name for path in example_burst] == [path.name for path in made]
    for new, shipped in zip(made, example_burst, strict=True):
        difference = tifffile.imread(new).astype(int) - tifffile.imread(shipped).astype(int)
        # Another processor or font renderer may round a few values differently, no more.
        assert np.mean(difference != 0) < 0.01, f"{shipped}: run `make example` and commit what it writes"


def test_example_burst_when_read_then_says_what_a_camera_would(example_burst: list[Path]) -> None:
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


def test_example_burst_when_measured_then_is_as_noisy_as_its_profile_says(example_burst: list[Path]) -> None:
    mosaic = tifffile.imread(example_burst[0]).astype(float)
    # The wall above everything is nearly flat; neighbours of one colour differ by the noise alone.
    green = (mosaic[0:24:2, 1:400:2] - 256) / (4095 - 256)
    variance = np.var(np.diff(green, axis=1)) / 2
    assert variance == pytest.approx(6e-3 * green.mean() + 4e-4, rel=0.15)
