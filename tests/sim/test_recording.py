"""Simulated recordings: motion, occlusion, noise, sensor values."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from burstfix.errors import UsageError
from burstfix.sim.camera import protocol_camera, unprocess
from burstfix.sim.motion import MotionSettings, camera_path, object_mask, warp
from burstfix.sim.recording import (
    RecordingSettings,
    _exposure_path,
    motion_of,
    record_clip,
    record_photo,
)
from tests.scenes import draw_scene, mosaic_of

STILL = MotionSettings(shift=0, jitter=0, rotation=0, zoom=0, perspective=0)
QUIET = RecordingSettings(
    frames=3, shot_gain=0, read_variance=0, bits=14, moving_object=False, camera="protocol", motion=STILL
)


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return draw_scene(160, 200, seed=1) ** (1 / 2.2)


def test_warp_when_content_shifts_then_it_follows_the_homography() -> None:
    source = torch.zeros(1, 1, 41, 41)
    source[0, 0, 20, 20] = 1
    path = torch.eye(3).repeat(1, 1, 1, 1)
    path[0, 0, 0, 2], path[0, 0, 1, 2] = 5, -3  # to the right and up
    frame = warp(source, path, 41, 41)[0, 0, 0]
    assert divmod(int(frame.argmax()), 41) == (17, 25)


def test_camera_path_when_least_is_set_then_every_path_reaches_it() -> None:
    settings = MotionSettings(shift=40, jitter=0, least=0.5)
    path = camera_path(200, 5, 1, settings, torch.Generator().manual_seed(0))
    reach = path[..., :2, 2].norm(dim=-1).amax(1)
    assert reach.min() >= 20 - 1e-3 and reach.max() <= 40 + 1e-3
    torch.testing.assert_close(path[:, 1], torch.eye(3).expand(200, 3, 3))


def test_record_photo_when_without_motion_and_noise_then_dn_equal_the_truth(photo: torch.Tensor) -> None:
    recording = record_photo(photo, replace(QUIET, black_level=100))
    expected = 100 + mosaic_of(recording.truth).numpy() * (2**14 - 1 - 100)
    for frame in recording.mosaics:
        np.testing.assert_allclose(frame, expected, atol=0.51)


def test_record_photo_when_recorded_then_the_truth_equals_the_source(photo: torch.Tensor) -> None:
    # The reference is not resampled, so unprocessing the middle of the photograph gives the truth.
    recording = record_photo(photo, replace(QUIET, motion=MotionSettings(shift=8)))
    height, width = recording.truth.shape[1:]
    top, left = (160 - height) // 2, (200 - width) // 2
    expected = unprocess(photo[None], protocol_camera())[0, :, top : top + height, left : left + width]
    torch.testing.assert_close(recording.truth, expected, atol=1e-4, rtol=0)


def test_record_photo_when_camera_moves_then_homographies_undo_it(photo: torch.Tensor) -> None:
    motion = MotionSettings(shift=14, rotation=1.0, zoom=0.01, least=0.8)
    recording = record_photo(photo, replace(QUIET, motion=motion, seed=5))
    assert recording.homographies is not None
    reference, frame = (torch.from_numpy(recording.mosaics[k].astype(np.float32)) for k in (1, 2))
    # A grey value for each 2x2 pixels (its centre is offset by half a pixel) is read at the position given by
    # the homography.
    grey_reference, grey_frame = (F.avg_pool2d(x[None, None], 2, 1) for x in (reference, frame))
    height, width = reference.shape
    inner = (slice(20, height - 20), slice(20, width - 20))
    ys, xs = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    points = torch.stack([xs[inner] + 0.5 - (width - 1) / 2, ys[inner] + 0.5 - (height - 1) / 2], -1)
    seen = torch.cat([points, torch.ones_like(points[..., :1])], -1) @ recording.homographies[2].T
    last = torch.tensor([width - 2, height - 2])
    index = seen[..., :2] / seen[..., 2:] + last / 2
    grid = (2 * index / last - 1).float()[None]
    looked_up = F.grid_sample(grey_frame, grid, align_corners=True)[0, 0]
    wanted, still = (grey[0, 0][inner] for grey in (grey_reference, grey_frame))
    assert (looked_up - wanted).abs().mean() < 0.35 * (still - wanted).abs().mean()


def test_motion_of_when_rotated_then_it_follows_the_convention_of_global_motion() -> None:
    angle = 0.02
    c, s = np.cos(angle), np.sin(angle)
    motion = motion_of(torch.tensor([[c, -s, 3.0], [s, c, -7.0], [0, 0, 1]]))
    assert (motion.dx, motion.dy, motion.angle) == pytest.approx((3, -7, angle))
    # rotate(a) @ (y, x) + (dy, dx) of the point (y, x) = (10, 20)
    expected_y = np.cos(motion.angle) * 10 + np.sin(motion.angle) * 20 + motion.dy
    assert s * 20 + c * 10 - 7 == pytest.approx(expected_y)


def test_record_photo_when_noisy_then_the_variance_follows_the_profile() -> None:
    flat = torch.full((3, 256, 256), 0.6)
    settings = replace(QUIET, shot_gain=6.4e-3, read_variance=4e-4, cfa="BGGR")
    recording = record_photo(flat, settings)
    x = (recording.mosaics.astype(np.float64) - settings.black) / (settings.white - settings.black)
    for k, colour in enumerate("BGGR"):
        y, left = divmod(k, 2)
        signal = float(recording.truth["RGB".index(colour)].mean())
        plane = x[:, y::2, left::2]
        assert plane.mean() == pytest.approx(signal, abs=2e-3)
        assert plane.var() == pytest.approx(6.4e-3 * signal + 4e-4, rel=0.05)


def test_record_photo_when_an_object_moves_then_it_hides_the_background(photo: torch.Tensor) -> None:
    with_object = record_photo(photo, replace(QUIET, moving_object=True, object_speed=10.0))
    without = record_photo(photo, QUIET)
    changed = [with_object.mosaics[k] != without.mosaics[k] for k in range(3)]
    shares = [c.mean() for c in changed]
    assert all(0.02 < share < 0.4 for share in shares)
    assert with_object.object_path is not None
    # The position of the object follows `object_path`.
    centres = np.array([np.argwhere(c).mean(0)[::-1] for c in changed])
    np.testing.assert_allclose(
        centres[2] - centres[0], with_object.object_path[2] - with_object.object_path[0], atol=2
    )


def test_object_mask_when_random_then_it_is_one_blob_inside_the_picture() -> None:
    for seed in range(20):
        mask = object_mask(120, 160, torch.Generator().manual_seed(seed))[0, 0]
        assert 0.02 < mask.mean() < 0.2
        assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) == 0


def test_record_photo_when_blurred_then_detail_is_lost(
    photo: torch.Tensor,
) -> None:
    moving = replace(QUIET, motion=MotionSettings(shift=16, jitter=0, rotation=0, least=1.0))
    sharp, blurred = (record_photo(photo, replace(moving, blur=b)).truth for b in (0.0, 1.0))
    height, width = (min(a, b) for a, b in zip(sharp.shape[1:], blurred.shape[1:], strict=True))

    def detail(x: torch.Tensor) -> float:
        top, left = (x.shape[1] - height) // 2, (x.shape[2] - width) // 2
        inner = x[:, top : top + height, left : left + width]
        return float(inner.diff(dim=1).abs().mean() + inner.diff(dim=2).abs().mean())

    assert detail(blurred) < 0.8 * detail(sharp)


def test_record_photo_when_blurred_by_rotation_then_poses_are_close_together_at_the_corners() -> None:
    turn = math.radians(1.0)
    path = torch.eye(3, dtype=torch.float64).repeat(3, 1, 1)
    path[2, 0, 0] = path[2, 1, 1] = math.cos(turn)
    path[2, 1, 0], path[2, 0, 1] = math.sin(turn), -math.sin(turn)
    corner = torch.tensor([300.0, 400.0, 1.0], dtype=torch.float64)
    seen = torch.stack([pose @ corner for pose in _exposure_path(path, 1.0, 500.0)[1]])[:, :2]
    assert seen.diff(dim=0).norm(dim=1).max() < 1.1
    assert (seen[-1] - seen[0]).norm() > 3


def test_record_photo_when_it_has_hot_pixels_then_they_are_bright_in_every_frame(photo: torch.Tensor) -> None:
    dark = photo * 0.3
    recording = record_photo(dark, replace(QUIET, hot_pixels=12))
    clean = record_photo(dark, QUIET)
    assert len(recording.hot_pixels) == 12
    difference = recording.mosaics.astype(int) - clean.mosaics
    for frame in difference:
        places = np.argwhere(frame)
        np.testing.assert_array_equal(places, recording.hot_pixels)
        assert frame[frame > 0].min() >= 0.19 * recording.settings.white


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_record_photo_when_given_a_bit_depth_then_values_stay_in_its_range(
    photo: torch.Tensor, bits: int
) -> None:
    recording = record_photo(photo, replace(QUIET, bits=bits, read_variance=4e-2))
    assert recording.mosaics.min() == 0 and recording.mosaics.max() == 2**bits - 1
    assert recording.settings.black == 2 ** (bits - 4)


def test_record_photo_when_the_seed_is_equal_then_the_numbers_are_equal(
    photo: torch.Tensor,
) -> None:
    settings = RecordingSettings(frames=3, seed=4, motion=MotionSettings(shift=6))
    one, again = record_photo(photo, settings), record_photo(photo, settings)
    assert np.array_equal(one.mosaics, again.mosaics)
    other = record_photo(photo, replace(settings, shot_gain=1e-4))
    assert one.homographies is not None and other.homographies is not None
    assert torch.equal(one.homographies, other.homographies)
    assert not np.array_equal(one.mosaics, other.mosaics)
    assert not np.array_equal(one.mosaics, record_photo(photo, replace(settings, seed=5)).mosaics)


def test_record_photo_when_motion_is_too_large_for_the_picture_then_usage_error(photo: torch.Tensor) -> None:
    with pytest.raises(UsageError, match="too small for motion"):
        record_photo(photo, replace(QUIET, motion=MotionSettings(shift=90, least=1.0)))


def test_record_clip_when_recorded_then_frames_equal_those_of_the_clip_and_motion_is_unknown() -> None:
    clip = torch.stack([draw_scene(64, 80, seed=k) for k in range(3)])
    recording = record_clip(clip, replace(QUIET, size=(48, 60)))
    assert recording.mosaics.shape == (3, 48, 60)
    assert recording.homographies is None and recording.motions() is None
    expected = unprocess(clip[1:2], protocol_camera())[0, :, 8:56, 10:70]
    torch.testing.assert_close(recording.truth, expected)


@pytest.mark.parametrize(
    "bad",
    [
        {"reference": 3},
        {"cfa": "RGBG"},
        {"black_level": 20_000},
        {"white_level": 70_000},
        {"blur": 1.5},
        {"camera": "mine"},
        {"seed": -1},
    ],
)
def test_settings_when_out_of_range_then_usage_error(bad: dict) -> None:
    with pytest.raises(UsageError):
        replace(QUIET, **bad).check()
