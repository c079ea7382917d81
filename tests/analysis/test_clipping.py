"""Clipping level of sensors that clip below the white level of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from burstfix.analysis.clipping import clipping_point, with_white
from burstfix.color import render
from burstfix.io import write_cfa_dng
from burstfix.pipeline import merge_burst, read_burst
from burstfix.types import ColorProfile, Frame, FrameMetadata, Levels, NoiseProfile

BLACK, WHITE, END = 256.0, 4095.0, 3500
GAIN, READ = 1e-3, 1e-5


def frame(end: int = END, sky: float = 3.0, seed: int = 1, cfa: str = "RGGB", white: float = WHITE) -> Frame:
    """Return a grey scene with a sky that clips at `end`; red and blue get half the light of green."""
    rng = np.random.default_rng(seed)
    light = np.full((64, 96), 0.3)
    light[:24] = sky
    gain = {"R": 0.5, "G": 1.0, "B": 0.6}
    weights = np.array([gain[colour] for colour in cfa]).reshape(2, 2)
    linear = light * np.tile(weights, (32, 48))
    linear += rng.standard_normal(linear.shape) * np.sqrt(GAIN * linear + READ)
    mosaic = np.clip(np.rint(BLACK + linear * (WHITE - BLACK)), 0, end).astype(np.uint16)
    srgb = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    color = ColorProfile(np.linalg.inv(np.array(srgb)), np.array([0.5, 1.0, 0.6]))
    metadata = FrameMetadata(
        Path("f.dng"), 64, 96, cfa, Levels(np.full((2, 2), BLACK, np.float32), white), color,
        noise=NoiseProfile.uniform(GAIN, READ, "file"), exposure_time=0.01, iso=100.0, make="M", model="X",
    )  # fmt: skip
    return Frame(mosaic, metadata)


@pytest.mark.parametrize("cfa", ["RGGB", "GBRG"])
def test_clipping_point_when_all_colours_clip_below_white_then_it_is_found(cfa):
    assert clipping_point([frame(cfa=cfa), frame(seed=2, cfa=cfa)]) == END


def test_clipping_point_when_hot_pixels_are_brighter_then_it_is_still_found():
    one = frame()
    one.mosaic[40:42, 50:54] = 4095
    assert clipping_point([one]) == END


@pytest.mark.parametrize(
    "other",
    [
        frame(end=4095),  # clips at white
        frame(end=4060),  # too close to white to make a difference
        frame(sky=0.8),  # no clipping; noise spreads the values of the sky
        frame(sky=1.5),  # red does not clip
        frame(end=1200),  # below half of white, where no sensor clips
    ],
    ids=["at white", "near white", "unclipped", "one colour unclipped", "far below"],
)
def test_clipping_point_when_colours_do_not_clip_below_white_then_it_is_none(other):
    assert clipping_point([other]) is None


def test_with_white_when_the_level_is_lowered_then_the_noise_profile_is_scaled_up():
    found = with_white(frame(), END)
    gain = (WHITE - BLACK) / (END - BLACK)
    assert found.metadata.levels.white == END
    assert found.metadata.noise is not None
    assert found.metadata.noise.shot_gain == pytest.approx([GAIN * gain] * 4)
    assert found.metadata.noise.read_variance == pytest.approx([READ * gain**2] * 4)


@pytest.mark.parametrize("look", ["plain", "natural"])
def test_merge_when_the_sensor_clips_below_white_then_the_sky_is_white_and_there_is_a_warning(tmp_path, look):
    paths = []
    for k in range(3):
        one = frame(seed=k)
        path = tmp_path / f"f{k}.dng"
        paths.append(write_cfa_dng(path, one.mosaic, replace(one.metadata, path=path)))
    burst = read_burst(paths)
    assert any("3500" in warning and "white level" in warning for warning in burst.warnings)
    picture = render(merge_burst(burst, model="average"), look=look).data[4:18, 8:-8] / 65535.0
    assert np.ptp(picture, axis=-1).max() < 0.01  # not magenta
    assert picture.min() > 0.98


@pytest.mark.shared
def test_read_burst_when_a_real_raw_clips_below_its_white_level_then_the_clipping_level_is_used(shared_data):
    shots = shared_data.parent / "cases" / "real" / "03-white-level" / "shots"
    burst = read_burst(sorted(shots.glob("*.dng")))
    assert {one.metadata.levels.white for one in burst.frames} == {3500.0}


@pytest.mark.shared
@pytest.mark.parametrize("name", ["gopro_hero7.dng", "gopro_fusion.dng"])
def test_read_burst_when_a_real_raw_reaches_its_white_level_then_the_level_is_kept(shared_data, name):
    burst = read_burst([shared_data / "raws" / "good" / name])
    assert burst.frames[0].metadata.levels.white == 16383.0
