"""Choice of reference, frames and noise, on synthetic frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from burstfix.analysis.arrays import burst_from_arrays
from burstfix.analysis.burst import prepare_burst
from burstfix.cfa import CFA_PATTERNS, LINEAR
from burstfix.errors import InputError, UsageError
from burstfix.types import ColorProfile, Frame, FrameMetadata, GlobalMotion, Levels, NoiseProfile
from tests.scenes import add_noise, draw_scene, mosaic_of

HEIGHT, WIDTH, REACH = 300, 400, 200
LEVELS = Levels(np.array([[64.0]], np.float32), 4095.0)
SHOT, READ = 2e-3, 1e-4
IN_FILE = NoiseProfile((SHOT,) * 4, (READ,) * 4, "file")
SCENE = draw_scene(HEIGHT + 2 * REACH, WIDTH + 2 * REACH, seed=4)


def shot(
    k: int,
    *,
    blur: int = 1,
    scene: torch.Tensor = SCENE,
    move: tuple[int, int] | None = None,
    cfa: str = "RGGB",
) -> Frame:
    """Return frame k; by default it is moved by (2k, -4k) sensor pixels."""
    dy, dx = move or (2 * k, -4 * k)
    view = scene[:, REACH - dy : REACH - dy + HEIGHT, REACH - dx : REACH - dx + WIDTH]
    view = F.avg_pool2d(F.pad(view[None], (blur // 2, blur // 2, 0, 0), mode="reflect"), (1, blur), 1)[0]
    values = add_noise(mosaic_of(view, cfa), SHOT, READ, seed=k).numpy()
    mosaic = np.clip(np.rint(64 + values * (4095 - 64)), 0, 4095).astype(np.uint16)
    color = ColorProfile(np.eye(3), np.ones(3))
    return Frame(
        mosaic, FrameMetadata(Path(f"shots/f{k}.dng"), HEIGHT, WIDTH, cfa, LEVELS, color, noise=IN_FILE)
    )


def with_noise(frame: Frame, noise: NoiseProfile | None) -> Frame:
    return replace(frame, metadata=replace(frame.metadata, noise=noise))


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_prepare_burst_when_frames_are_good_then_motions_noise_and_frames_are_correct(cfa):
    frames = [shot(k, cfa=cfa) for k in range(3)]
    burst = prepare_burst(frames, reference=1)
    assert burst.frames == tuple(frames) and burst.reference == 1 and burst.dropped == () == burst.warnings
    for k, motion in enumerate(burst.motions):
        assert (motion.dy, motion.dx) == pytest.approx((2 * (k - 1), -4 * (k - 1)), abs=0.5)
    assert burst.noise == IN_FILE
    assert max(burst.sharpness) == 1 and min(burst.sharpness) > 0.9
    assert len(burst.hot_pixels) == 0


def test_prepare_burst_when_no_reference_is_given_then_it_is_the_sharpest_near_the_middle():
    blurs = [1, 1, 5, 1, 3, 3, 5, 1, 1]
    burst = prepare_burst([shot(k, blur=blur) for k, blur in enumerate(blurs)])
    assert burst.reference == 3
    # The frames at both ends of the burst are equally sharp, but farther from the middle.
    blurs = [1, 1, 5, 5, 3, 5, 5, 1, 1]
    burst = prepare_burst([shot(k, blur=blur) for k, blur in enumerate(blurs)], keep_all=True)
    assert burst.reference == 4


@pytest.mark.parametrize(
    "reference", [2, "f2.dng", "shots/f2.dng", Path("shots/f2.dng"), Path("shots/f2.dng").resolve()]
)
def test_prepare_burst_when_the_reference_is_named_then_it_is_that_frame(reference):
    assert prepare_burst([shot(k) for k in range(3)], reference=reference).reference == 2


@pytest.mark.parametrize("reference", [3, -1, "f9.dng", Path("elsewhere/f1.dng")])
def test_prepare_burst_when_the_reference_does_not_exist_then_the_error_lists_the_frames(reference):
    with pytest.raises(UsageError, match=r"3|f0\.dng"):
        prepare_burst([shot(k) for k in range(3)], reference=reference)


def test_prepare_burst_when_frames_are_unusable_then_they_are_dropped_with_a_reason():
    other = draw_scene(*SCENE.shape[1:], seed=77)
    frames = [shot(0), shot(1, blur=41), shot(2), shot(3, scene=other), shot(4)]
    burst = prepare_burst(frames, reference=2)
    assert [frame.metadata.path.name for frame in burst.frames] == ["f0.dng", "f2.dng", "f4.dng"]
    assert burst.reference == 1
    reasons = {frame.path.name: frame.reason for frame in burst.dropped}
    assert "blurrier" in reasons["f1.dng"] and "scene" in reasons["f3.dng"] and len(reasons) == 2
    assert len(burst.warnings) == 2
    everything = prepare_burst(frames, reference=2, keep_all=True)
    assert len(everything.frames) == 5 and everything.dropped == ()


@pytest.mark.parametrize("keep_all", [False, True])
def test_prepare_burst_when_the_middle_shows_something_else_then_another_frame_is_the_reference(
    keep_all, caplog
):
    frames = [shot(k, blur=9) for k in range(5)]
    frames[2] = shot(2, scene=draw_scene(*SCENE.shape[1:], seed=77))  # it is also the sharpest
    with caplog.at_level("INFO", logger="burstfix"):
        burst = prepare_burst(frames, keep_all=keep_all)
    reference = burst.frames[burst.reference]
    assert reference in (frames[1], frames[3])
    assert len(burst.frames) == (5 if keep_all else 4)
    assert any(
        f"{reference.metadata.path.name} overlaps 3 other frames" in line and "f2.dng only 0" in line
        for line in caplog.messages
    )
    given = prepare_burst(frames, reference=2, keep_all=keep_all)
    assert given.frames[given.reference] is frames[2]


def test_prepare_burst_when_a_frame_hardly_overlaps_then_it_is_dropped(monkeypatch):
    frames = [shot(0), shot(1), shot(2, move=(190, 195))]
    assert [frame.path.name for frame in prepare_burst(frames, reference=0).dropped] == ["f2.dng"]
    sure = GlobalMotion(dy=0.8 * HEIGHT, confidence=0.9)
    monkeypatch.setattr("burstfix.analysis.burst.estimate_global_motion", lambda *_: sure)
    burst = prepare_burst(frames, reference=0)
    assert {frame.reason for frame in burst.dropped} == {"overlaps only 20% of the reference"}


@pytest.mark.parametrize("seed", range(3))
def test_prepare_burst_when_the_scene_has_no_detail_then_no_frame_counts_as_blurred(seed):
    wall = torch.full_like(SCENE, 0.3)
    burst = prepare_burst([shot(8 * seed + k, scene=wall, move=(0, 0)) for k in range(8)])
    assert len(burst.frames) == 8 and burst.dropped == ()


@pytest.mark.parametrize("cfa", ["RGGB", "BGGR"])
@pytest.mark.parametrize("height", [1024, 1025, 1026, 2049])
def test_prepare_burst_when_the_last_strip_has_one_row_then_the_result_is_the_same(height, cfa):
    scene = draw_scene(height, 64, seed=4)
    frames = []
    for k in range(2):
        mosaic = np.rint(64 + mosaic_of(scene, cfa).numpy().clip(0, 1) * 4000).astype(np.uint16)
        frames.append(Frame(mosaic, replace(shot(k).metadata, height=height, width=64, cfa=cfa)))
    burst = prepare_burst(frames, keep_all=True)  # the frames are equal
    assert len(burst.frames) == 2 and burst.motions[0].confidence > 0.9


def test_prepare_burst_when_the_given_reference_shows_another_scene_then_it_is_kept():
    frames = [shot(0), shot(1, blur=41), shot(2)]
    burst = prepare_burst(frames, reference=1)
    assert burst.frames[burst.reference] is frames[1]


def test_prepare_burst_when_several_noise_sources_exist_then_the_most_specific_is_used():
    frames = [shot(k) for k in range(3)]
    given = NoiseProfile((1e-2,) * 4, (1e-3,) * 4, "given")
    assert prepare_burst(frames, noise=given).noise is given
    mixed = [with_noise(frames[0], None), frames[1], with_noise(frames[2], None)]
    assert prepare_burst(mixed, reference=1).noise.source == "file"
    bare = [with_noise(frame, None) for frame in frames]
    for kept, source in ((bare, "burst"), (bare[:1], "frame")):
        noise = prepare_burst(kept).noise
        assert noise.source == source
        for gain, read in zip(noise.shot_gain, noise.read_variance, strict=True):
            assert ((gain * 0.3 + read) / (SHOT * 0.3 + READ)) ** 0.5 == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("factor", [1 / 4, 4.0])
def test_prepare_burst_when_three_frames_contradict_the_noise_of_the_file_then_it_is_measured(factor, caplog):
    caplog.set_level("INFO")
    wrong = NoiseProfile((factor * SHOT,) * 4, (factor * READ,) * 4, "file")
    frames = [with_noise(shot(k), wrong) for k in range(3)]
    burst = prepare_burst(frames)
    assert burst.noise.source == "burst"
    assert (burst.noise.shot_gain[1] * 0.3 + burst.noise.read_variance[1]) ** 0.5 == pytest.approx(
        (SHOT * 0.3 + READ) ** 0.5, rel=0.2
    )
    assert burst.warnings == ()
    assert "noise: the measured value is used, because it is" in caplog.text
    believed = prepare_burst(frames, noise="file")
    assert believed.noise == wrong and believed.warnings == ()
    assert prepare_burst(frames[:2]).noise == wrong  # two frames cannot contradict the profile of the file
    assert prepare_burst(frames[:2], noise="measure").noise.source == "burst"


def test_prepare_burst_when_the_noise_argument_is_unknown_then_usage_error():
    with pytest.raises(UsageError, match="noise 'mesure': expected file, measure"):
        prepare_burst([shot(0)], noise="mesure")


@pytest.mark.parametrize("where", ["shot", "read"])
def test_prepare_burst_when_one_number_of_the_profile_is_wrong_then_the_noise_is_measured(where):
    wrong = NoiseProfile.uniform(SHOT / 9, READ) if where == "shot" else NoiseProfile.uniform(SHOT, 9 * READ)
    assert prepare_burst([with_noise(shot(k), wrong) for k in range(3)]).noise.source == "burst"


def test_prepare_burst_when_the_profile_of_the_file_is_right_then_there_is_no_warning():
    burst = prepare_burst([shot(k) for k in range(3)])
    assert burst.noise.source == "file" and burst.warnings == ()


def test_prepare_burst_when_frames_are_linear_then_the_profile_of_the_file_is_used():
    wrong = NoiseProfile((9 * SHOT,) * 4, (9 * READ,) * 4, "file")
    frames = []
    for k in range(3):
        frame = with_noise(shot(k), wrong)
        colours = np.repeat(frame.mosaic[..., None], 3, 2)
        frames.append(Frame(colours, replace(frame.metadata, cfa=LINEAR)))
    assert prepare_burst(frames).noise == wrong


@pytest.mark.parametrize(
    "numbers", [(0.0, 0.0), (9.0, 1.0), (float("nan"), 1e-4), (-1e-3, 1e-4), (1e-3, 400.0)]
)
def test_prepare_burst_when_the_profile_is_not_plausible_then_it_warns_and_measures(numbers):
    gain, read = numbers
    frames = [with_noise(shot(k), NoiseProfile((gain,) * 4, (read,) * 4, "file")) for k in range(2)]
    burst = prepare_burst(frames)
    assert burst.noise.source == "burst"
    assert len(burst.warnings) == 1 and "NoiseProfile" in burst.warnings[0]


def test_prepare_burst_when_the_picture_is_tiny_then_a_warning_states_that_the_noise_is_typical():
    frames = []
    for k in range(2):
        frame = with_noise(shot(k), None)
        small = np.ascontiguousarray(frame.mosaic[:6, :10])
        frames.append(Frame(small, replace(frame.metadata, height=6, width=10)))
    burst = prepare_burst(frames, keep_all=True)
    assert any("a typical noise profile is used" in warning for warning in burst.warnings)
    assert min(burst.noise.shot_gain) > 0


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 56), (56, 2), (4, 3)])
@pytest.mark.parametrize("count", [1, 3])
def test_burst_from_arrays_when_the_picture_has_fewer_than_4_rows_or_columns_then_input_error(shape, count):
    with pytest.raises(InputError, match=f"frame_000: its picture has only {shape[1]}x{shape[0]} pixels"):
        burst_from_arrays([np.full(shape, 0.3)] * count, "RGGB")


def test_burst_from_arrays_when_the_picture_has_4_rows_and_columns_then_it_is_analysed():
    assert len(burst_from_arrays([np.full((4, 4), 0.3)], "RGGB").frames) == 1


def test_prepare_burst_when_a_pixel_is_hot_in_every_frame_then_it_is_listed():
    frames = [shot(k) for k in range(5)]
    for frame in frames:
        frame.mosaic[101, 53] = 4000
    assert prepare_burst(frames).hot_pixels.tolist() == [[101, 53]]
