"""Noise that remains in a merged picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from burstfix.analysis.remaining_noise import noise_left
from burstfix.types import ColorProfile, FrameMetadata, Levels, LinearImage
from tests.scenes import add_noise, draw_scene, mosaic_of

SIDE = 256


def linear(data: torch.Tensor, gain: float, read: float, cfa: str = "RGGB", frames: int = 5) -> LinearImage:
    levels = Levels(np.zeros((1, 1), np.float32), 1023.0)
    metadata = FrameMetadata(Path("a.dng"), SIDE, SIDE, cfa, levels, ColorProfile(np.eye(3), np.ones(3)))
    noise = {"source": "file", "shot_gain": [gain] * 4, "read_variance": [read] * 4}
    return LinearImage(data.numpy(), metadata, {"noise": noise, "frames": ["f"] * frames})


def flat(shot_gain: float, read_variance: float) -> torch.Tensor:
    """Return (3, SIDE, SIDE) with horizontal steps of brightness and independent noise."""
    steps = torch.linspace(0.05, 0.8, 16).repeat_interleave(SIDE // 16)
    return add_noise(steps.expand(3, SIDE, SIDE).contiguous(), shot_gain, read_variance, 0)


def deviation(gain: float, read: float) -> float:
    return (0.3 * gain + read) ** 0.5


def test_remaining_noise_when_the_picture_is_noisier_than_the_frames_then_it_is_that_of_the_frames():
    left = noise_left(linear(flat(4e-3, 4e-4), gain=1e-3, read=1e-5))
    assert left is not None
    assert left.shot_gain == pytest.approx((1e-3,) * 4)
    assert left.read_variance == pytest.approx((1e-5,) * 4)


@pytest.mark.parametrize("cfa", ["RGGB", "GBRG"])
@pytest.mark.parametrize("kind", ["rgb", "mosaic"])
def test_remaining_noise_when_merging_removed_noise_then_the_remaining_noise_is_measured(kind: str, cfa: str):
    data = flat(1e-3, 1e-5)
    data = mosaic_of(data, cfa)[None] if kind == "mosaic" else data
    left = noise_left(linear(data, gain=5e-3, read=5e-5, cfa=cfa))
    assert left is not None
    for gain, read in zip(left.shot_gain, left.read_variance, strict=True):
        assert deviation(gain, read) == pytest.approx(deviation(1e-3, 1e-5), rel=0.15)


def test_remaining_noise_when_everything_is_clipped_then_it_is_that_of_the_mean_of_the_frames():
    left = noise_left(linear(torch.ones(3, SIDE, SIDE), gain=1e-3, read=1e-5, frames=4))
    assert left is not None
    assert left.shot_gain == pytest.approx((2.5e-4,) * 4)


def test_remaining_noise_when_the_noise_of_the_frames_is_unknown_then_it_is_none():
    image = linear(draw_scene(SIDE, SIDE), 1e-3, 1e-5)
    assert noise_left(LinearImage(image.data, image.metadata)) is None
