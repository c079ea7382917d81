"""Files with several raws (pixel shift): each raw is a frame of the burst, in every command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from burstfix.batch.plan import find_bursts
from burstfix.cli import main
from burstfix.io import read_frames
from burstfix.pipeline import read_burst
from tests.io.raw_files import make_mosaic, write_several
from tests.scenes import draw_scene, mosaic_of

SIZE = 96


@pytest.fixture
def shifted(tmp_path: Path) -> Path:
    """Create a file with four raws with independent noise. The sensor moves by one pixel between them."""
    scene = draw_scene(SIZE + 2, SIZE + 2, seed=4)
    mosaics = []
    for k, (dy, dx) in enumerate(((0, 0), (0, 1), (1, 1), (1, 0))):
        clean = mosaic_of(scene[:, dy : dy + SIZE, dx : dx + SIZE], "RGGB")
        noise = np.random.default_rng(k).normal(0, 8, clean.shape)
        mosaics.append((64 + 900 * np.asarray(clean) + noise).clip(0, 1023).astype(np.uint16))
    (tmp_path / "card").mkdir()
    return write_several(tmp_path / "card" / "shift.dng", mosaics)


def test_read_burst_when_a_file_has_four_raws_then_the_burst_has_four_frames(shifted: Path):
    burst = read_burst([shifted], keep_all=True)
    assert [frame.metadata.name for frame in burst.frames] == [f"shift.dng[{k}]" for k in range(4)]
    assert not np.array_equal(burst.frames[0].mosaic, burst.frames[3].mosaic)


def test_read_frames_when_one_raw_of_a_file_is_damaged_then_the_whole_file_is_left_out(tmp_path: Path):
    good = write_several(tmp_path / "a.dng", [make_mosaic(seed=k) for k in range(2)])
    bad = write_several(tmp_path / "b.dng", [make_mosaic(seed=5), np.zeros((48, 64), np.uint16)])
    read = read_frames([good, bad], skip_bad=True)
    assert [frame.metadata.path for frame in read.frames] == [good, good]
    assert [dropped.path for dropped in read.dropped] == [bad]


def test_merge_and_inspect_when_a_file_has_four_raws_then_they_report_four_frames(
    shifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out.tif"
    assert main(["merge", str(shifted), "-m", "average", "--keep-all", "-o", str(out), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 4
    assert main(["inspect", str(shifted), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["frames"]) == 4


def test_batch_when_a_file_has_four_raws_then_it_is_one_burst(shifted: Path, tmp_path: Path):
    plan = find_bursts([shifted.parent])
    assert [(burst.kind, burst.paths) for burst in plan.bursts] == [("burst", (shifted,))]
    assert any("shift.dng: contains 4 raws" in warning for warning in plan.warnings)
    assert main(["batch", str(shifted.parent), "-o", str(tmp_path / "out"), "--model", "average", "-q"]) == 0
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 1
