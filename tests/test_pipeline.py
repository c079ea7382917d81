"""The pipeline from raws to written files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import burstfix
from burstfix.errors import UsageError
from burstfix.io import read_frame, write_cfa_dng
from burstfix.models.catalog import build
from burstfix.pipeline import finish_picture
from burstfix.settings import MergeSettings
from burstfix.types import GlobalMotion


def test_read_burst_when_given_raws_then_the_burst_is_analysed(small_burst):
    calls = []
    burst = burstfix.read_burst(reversed(small_burst), reference=2, progress=lambda *call: calls.append(call))
    assert [frame.metadata.path for frame in burst.frames] == small_burst
    assert burst.reference == 2 and burst.noise.source == "file"
    assert ("decode", 3, 3) in calls
    assert [call for call in calls if call[0] == "prepare"] == [("prepare", k, 7) for k in range(1, 8)]


def test_read_burst_when_noise_is_given_as_numbers_then_every_plane_has_it(small_burst):
    burst = burstfix.read_burst(small_burst, noise=(2e-3, 3e-5))
    assert burst.noise == burstfix.NoiseProfile((2e-3,) * 4, (3e-5,) * 4, "given")


@pytest.mark.parametrize("noise", [(0.0, 0.0), (-1e-3, 1e-4), (1e-3, float("nan")), (2.0, 400.0)])
def test_read_burst_when_the_given_noise_is_invalid_then_usage_error(small_burst, noise):
    with pytest.raises(UsageError, match="noise"):
        burstfix.read_burst(small_burst, noise=noise)


def test_merge_burst_when_done_then_the_picture_is_cleaner_and_states_its_settings(
    small_burst, example_burst
):
    burst = burstfix.read_burst(small_burst)
    calls = []
    linear = burstfix.merge_burst(
        burst, model="average", device="cpu", progress=lambda *call: calls.append(call)
    )
    reference = burst.frames[burst.reference]
    assert linear.data.shape == (3, *reference.mosaic.shape) and linear.data.dtype == np.float32
    assert linear.metadata.path == reference.metadata.path
    assert {call[0] for call in calls} == {"align", "merge"}
    alone = burstfix.merge_burst(
        replace(burst, frames=(reference,), reference=0, motions=(GlobalMotion(),), sharpness=(1.0,)),
        model="average",
        device="cpu",
    )
    roughness = [float(np.median(np.abs(np.diff(image.data[1], 2)))) for image in (linear, alone)]
    assert roughness[0] < 0.75 * roughness[1]
    assert np.abs(linear.data.mean((1, 2)) - alone.data.mean((1, 2))).max() < 0.01

    settings = linear.settings
    assert settings["burstfix"] == burstfix.__version__ and settings["model"] == "average"
    assert settings["reference"] == reference.metadata.path.name
    assert settings["frames"] == [path.name for path in small_burst] and settings["left_out"] == []
    assert settings["noise"]["source"] == "file"
    assert settings["noise"]["shot_gain"] == list(burst.noise.shot_gain)


def test_merge_burst_when_given_a_model_then_it_is_used(small_burst):
    burst = burstfix.read_burst(small_burst[:1])
    named = burstfix.merge_burst(burst, model="average", device="cpu")
    given = burstfix.merge_burst(burst, model=build("average"), device="cpu")
    np.testing.assert_array_equal(named.data, given.data)


def test_finish_picture_when_max_size_is_given_then_the_file_has_this_size(small_burst, tmp_path):
    linear = burstfix.merge_burst(burstfix.read_burst(small_burst[:1]), model="average", device="cpu")
    settings = MergeSettings(scale=0.75, max_size=120)
    finished = finish_picture(linear, tmp_path / "a.png", settings)
    assert (finished.height, finished.width) == (88, 120)
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.size == (120, 88)


def test_finish_picture_when_it_is_a_dng_then_the_compression_setting_is_used(small_burst, tmp_path):
    linear = burstfix.merge_burst(burstfix.read_burst(small_burst[:1]), model="average", device="cpu")
    sizes = []
    for compression in ("none", "ljpeg"):
        path = tmp_path / f"{compression}.dng"
        finish_picture(linear, path, MergeSettings(dng_compression=compression))
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.95 * sizes[0]


def test_read_burst_when_the_files_have_no_profile_then_the_estimate_is_close(example_burst, tmp_path):
    paths = []
    for path in example_burst[:3]:
        frame = read_frame(path)
        paths.append(write_cfa_dng(tmp_path / path.name, frame.mosaic, replace(frame.metadata, noise=None)))
    truth = read_frame(example_burst[0]).metadata.noise
    found = burstfix.read_burst(paths).noise
    assert truth is not None and found.source == "burst"
    for plane in range(4):
        for signal in (0.02, 0.1, 0.4):
            measured = found.shot_gain[plane] * signal + found.read_variance[plane]
            expected = truth.shot_gain[plane] * signal + truth.read_variance[plane]
            assert (measured / expected) ** 0.5 == pytest.approx(1, abs=0.2)


def test_read_burst_when_the_profile_in_a_real_file_is_wrong_then_the_noise_is_measured(shared_data):
    burst = burstfix.read_burst(sorted((shared_data / "bursts" / "wine").glob("*.dng")))
    # The NoiseProfile of these files is inaccurate: its read variance is half of the true value.
    stated = burst.frames[0].metadata.noise
    assert len(burst.frames) == 9 and burst.noise.source == "burst"
    assert burst.noise.shot_gain[1] == pytest.approx(stated.shot_gain[1], rel=0.1)
    assert burst.noise.read_variance[1] == pytest.approx(2.4e-6, rel=0.2)
    assert stated.read_variance[1] < 1.5e-6
    assert all(np.hypot(motion.dy, motion.dx) < 8 for motion in burst.motions)
