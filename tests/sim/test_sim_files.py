"""Simulated bursts on disk: readable by other programs, repeatable, never incomplete."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
import torch
from skimage.color import deltaE_ciede2000, rgb2lab

from burstfix.color import render
from burstfix.errors import OutputError
from burstfix.io import read_frame
from burstfix.sim.files import frame_metadata, noise_at, write_recording
from burstfix.sim.motion import MotionSettings
from burstfix.sim.recording import Recording, RecordingSettings, record_photo
from burstfix.types import LinearImage
from tests.scenes import draw_scene

SETTINGS = RecordingSettings(
    frames=3, cfa="GBRG", bits=14, hot_pixels=5, motion=MotionSettings(shift=6), seed=2
)


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return draw_scene(96, 128, seed=1) ** (1 / 2.2)


@pytest.fixture(scope="module")
def recording(photo: torch.Tensor) -> Recording:
    return record_photo(photo, SETTINGS)


def test_write_recording_when_read_back_then_everything_is_equal(
    recording: Recording, tmp_path: Path
) -> None:
    paths = write_recording(recording, tmp_path / "burst", source="scene.png")
    for k, path in enumerate(paths):
        frame = read_frame(path)
        assert np.array_equal(frame.mosaic, recording.mosaics[k])
        meta = frame.metadata
        assert (meta.cfa, meta.levels.white, float(meta.levels.black.max())) == ("GBRG", 16383, 1024)
        assert meta.noise is not None
        assert meta.noise.shot_gain[0] == pytest.approx(6.4e-3)
        assert meta.noise.read_variance[3] == pytest.approx(4e-4)
        assert meta.iso == 6400 and meta.time is not None
    times = [read_frame(path).metadata.time for path in paths]
    assert times == sorted(times) and len(set(times)) == 3  # type: ignore[type-var]
    truth = tifffile.imread(tmp_path / "burst" / "ground_truth.tif").transpose(2, 0, 1) / 65535
    np.testing.assert_allclose(truth, recording.truth, atol=1e-5)
    facts = json.loads((tmp_path / "burst" / "simulation.json").read_text())
    assert facts["source"] == "scene.png"
    assert [frame["file"] for frame in facts["frames"]] == [path.name for path in paths]
    assert recording.homographies is not None
    np.testing.assert_allclose([f["homography"] for f in facts["frames"]], recording.homographies)
    assert facts["hot_pixels"] == recording.hot_pixels.tolist()


def test_write_recording_when_opened_by_libraw_then_mosaic_levels_and_balance_are_equal(
    recording: Recording, tmp_path: Path
) -> None:
    path = write_recording(recording, tmp_path / "burst")[1]
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image_visible, recording.mosaics[1])
        colours = "".join("RGBG"[int(c)] for c in raw.raw_pattern.ravel())
        assert colours == "GBRG"
        assert raw.black_level_per_channel == [1024] * 4 and raw.white_level == 16383
        balance = np.array(raw.camera_whitebalance[:3])
        np.testing.assert_allclose(balance / balance[1], recording.camera.gains[0], rtol=1e-3)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_write_recording_when_read_by_exiftool_then_tags_are_correct_without_warnings(
    recording: Recording, tmp_path: Path
) -> None:
    path = write_recording(recording, tmp_path / "burst")[2]
    ran = subprocess.run(["exiftool", "-j", "-n", path], capture_output=True, check=True)
    tags = json.loads(ran.stdout)[0]
    assert tags["FileType"] == "DNG" and tags["WhiteLevel"] == 16383
    assert tags["ISO"] == 6400 and tags["ExposureTime"] > 0
    assert [float(x) for x in tags["NoiseProfile"].split()] == pytest.approx([6.4e-3, 4e-4])
    assert tags["DateTimeOriginal"] == "2025:01:01 12:00:00"
    assert len(tags["ColorMatrix1"].split()) == 9 and len(tags["AsShotNeutral"].split()) == 3
    assert "Error" not in tags and "Warning" not in tags


def test_write_recording_when_the_seed_is_equal_then_the_bytes_are_equal(
    photo: torch.Tensor, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_recording(record_photo(photo, SETTINGS), tmp_path / name, source="s")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_write_recording_when_a_burst_exists_then_only_overwrite_replaces_it(
    recording: Recording, photo: torch.Tensor, tmp_path: Path
) -> None:
    folder = tmp_path / "burst"
    write_recording(recording, folder)
    before = (folder / "frame_001.dng").read_bytes()
    fewer = record_photo(photo, replace(SETTINGS, frames=2))
    with pytest.raises(OutputError, match="--overwrite"):
        write_recording(fewer, folder)
    assert (folder / "frame_001.dng").read_bytes() == before
    write_recording(fewer, folder, overwrite=True)
    assert not (folder / "frame_003.dng").exists() and (folder / "frame_002.dng").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["burst"]


def test_write_recording_when_the_folder_has_other_files_then_they_are_never_deleted(
    recording: Recording, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    write_recording(recording, tmp_path / "burst")
    (tmp_path / "burst" / "notes.txt").write_text("keep")
    for folder in (tmp_path, tmp_path / "burst"):
        with pytest.raises(OutputError, match="other files"):
            write_recording(recording, folder, overwrite=True)
    assert (tmp_path / "burst" / "notes.txt").read_text() == "keep"


def test_write_recording_when_writing_fails_then_nothing_is_left(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("burstfix.sim.files.write_linear_tiff", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_recording(recording, tmp_path / "burst")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("camera", ["random", "protocol"])
@pytest.mark.parametrize("tone_curve", [False, True])
def test_truth_when_rendered_then_it_has_the_colours_of_the_photograph(
    camera: str, tone_curve: bool, tmp_path: Path
) -> None:
    photo = draw_scene(128, 128, seed=9) ** (1 / 2.2)
    settings = RecordingSettings(frames=1, camera=camera, tone_curve=tone_curve, moving_object=False, seed=6)
    recording = record_photo(photo, settings)
    metadata = frame_metadata(recording, 0, tmp_path / "x.dng")
    shown = render(LinearImage(recording.truth.numpy(), metadata), look="plain").data / 65535
    if tone_curve:  # the simulation has inverted a smoothstep, which render does not apply
        shown = 3 * shown**2 - 2 * shown**3
    height, width = shown.shape[:2]
    top, left = (128 - height) // 2, (128 - width) // 2
    original = photo.permute(1, 2, 0).numpy()[top : top + height, left : left + width]
    difference = deltaE_ciede2000(rgb2lab(original), rgb2lab(shown))
    # The remaining differences are power 2.2 instead of the sRGB curve in shadows, and gains in highlights.
    assert difference.mean() < 1.5


def test_noise_at_when_iso_6400_then_it_is_the_high_level() -> None:
    assert noise_at(6400) == pytest.approx((6.4e-3, 4e-4))
    assert noise_at(1600) == pytest.approx((1.6e-3, 2.5e-5))
