"""Patches for noise measurement, and the choice of the noise profile."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from burstfix.analysis.burst_noise import FALLBACK_NOISE, _aligned_patches, check_noise_argument, find_noise
from burstfix.errors import UsageError
from burstfix.io import read_frame
from burstfix.types import ColorProfile, Frame, FrameMetadata, GlobalMotion, Levels, NoiseProfile
from tests.align.motions import view
from tests.scenes import add_noise, draw_scene, mosaic_of

HEIGHT, WIDTH = 520, 680
GAIN, READ = 1e-3, 1e-5
LEVELS = Levels(np.full((1, 1), 1000, np.float32), 61000.0)


def frame_of(rgb: torch.Tensor, cfa: str, seed: int) -> Frame:
    noisy = add_noise(mosaic_of(rgb, cfa), GAIN, READ, seed).numpy()
    dn = np.rint(1000 + 60000 * noisy).clip(0, 65535).astype(np.uint16)
    color = ColorProfile(np.eye(3), np.ones(3))
    return Frame(dn, FrameMetadata(Path(f"f{seed}.dng"), *dn.shape, cfa, LEVELS, color))


@pytest.mark.parametrize("cfa", ["RGGB", "BGGR"])
@pytest.mark.parametrize("degrees", [-8.0, 8.0])
def test_aligned_patches_when_a_frame_is_rotated_then_they_show_the_same_scene(degrees: float, cfa: str):
    scene = draw_scene(HEIGHT + 300, WIDTH + 300, 4)
    # Near the corners, rotation moves the scene by 30 packed pixels, which exceeds the search range of
    # blocks.
    motions = [GlobalMotion(), GlobalMotion(6.0, -4.0, math.radians(degrees))]
    frames = [frame_of(view(scene, motion, HEIGHT, WIDTH), cfa, k) for k, motion in enumerate(motions)]
    anchor, aligned = _aligned_patches(frames, motions, 0)
    unlike = ((anchor - aligned).abs() > 0.1).float().mean()
    assert float(unlike) < 0.08  # measured: 0.056, or 0.11 with the wrong sign


def test_find_noise_when_noise_cannot_be_measured_then_it_returns_typical_noise_and_a_warning():
    frames = [frame_of(torch.full((3, 12, 12), 0.3), "RGGB", 0)]
    found = find_noise(frames, [GlobalMotion()], 0)
    assert found.profile is FALLBACK_NOISE
    assert "a typical noise profile is used" in found.warnings[0]


def test_find_noise_when_the_profile_is_given_then_it_is_used_unchanged():
    given = NoiseProfile.uniform(1e-3, 1e-6)
    frames = [frame_of(draw_scene(64, 64), "RGGB", 0)]
    assert find_noise(frames, [GlobalMotion()], 0, given).profile is given


@pytest.mark.parametrize(("noise", "measured"), [(None, True), ("measure", True), ("file", False)])
def test_find_noise_when_the_burst_was_measured_then_the_measurement_is_returned(
    noise, measured: bool, small_burst: list[Path]
):
    frames = [read_frame(path) for path in small_burst]
    found = find_noise(frames, [GlobalMotion()] * 3, 1, noise)
    assert (found.measured is not None) == measured
    assert found.profile.source == ("burst" if noise == "measure" else "file")


@pytest.mark.parametrize(("factor", "source"), [(1.0, "file"), (0.5, "burst"), (2.0, "burst")])
def test_find_noise_when_the_scene_is_a_night_sky_then_only_wrong_profiles_in_files_are_replaced(
    factor: float, source: str
):
    """`factor` is the variance in the file divided by the true one."""
    generator = torch.Generator().manual_seed(0)
    sky = torch.tensor([0.009, 0.011, 0.008])[:, None, None].expand(3, 256, 320).clone()
    for y, x in (torch.rand(40, 2, generator=generator) * torch.tensor([250, 314])).int().tolist():
        sky[:, y : y + 4, x : x + 4] += 0.2
    stated = NoiseProfile.uniform(factor * GAIN, factor * READ)
    frames = [frame_of(sky, "RGGB", k) for k in range(6)]
    frames = [replace(frame, metadata=replace(frame.metadata, noise=stated)) for frame in frames]
    found = find_noise(frames, [GlobalMotion()] * 6, 2)
    assert found.profile.source == source
    variance = np.mean(found.profile.shot_gain) * 0.01 + np.mean(found.profile.read_variance)
    assert variance / (GAIN * 0.01 + READ) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("gain", [-1e-3, 0.0, 2.0, math.nan])
def test_check_noise_argument_when_the_profile_is_not_plausible_then_usage_error(gain: float):
    with pytest.raises(UsageError, match="not plausible"):
        check_noise_argument(NoiseProfile.uniform(gain, 0.0))
