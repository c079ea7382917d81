"""Frames reduced for previews."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from burstfix.raw.reduce import reduce_frame
from burstfix.types import ColorProfile, Frame, FrameMetadata, Levels, NoiseProfile


def frame(cfa: str, mosaic: np.ndarray) -> Frame:
    levels = Levels(np.full((2, 2), 64, np.float32), 4095.0)
    height, width = mosaic.shape[:2]
    color = ColorProfile(np.eye(3), np.ones(3))
    metadata = FrameMetadata(Path("a.dng"), height, width, cfa, levels, color)
    return Frame(mosaic, replace(metadata, noise=NoiseProfile.uniform(1.6e-3, 3.2e-5)))


@pytest.mark.parametrize("cfa", ["RGGB", "GRBG", "GBRG", "BGGR", "monochrome"])
@pytest.mark.parametrize("size", [(64, 48), (67, 53)])
def test_reduced_frame_when_each_colour_has_a_value_then_pattern_and_values_are_kept(
    cfa: str, size: tuple[int, int]
) -> None:
    tile = np.array([[100, 200], [300, 400]], np.uint16)
    mosaic = np.tile(tile, (40, 40))[: size[0], : size[1]]
    reduced = reduce_frame(frame(cfa, mosaic))
    assert reduced.mosaic.shape == (size[0] // 8 * 2, size[1] // 8 * 2)
    assert (reduced.metadata.height, reduced.metadata.width) == reduced.mosaic.shape
    expected = np.tile(tile, (20, 20))[: reduced.metadata.height, : reduced.metadata.width]
    np.testing.assert_array_equal(reduced.mosaic, expected)


def test_reduced_frame_when_pixels_are_averaged_then_the_profile_matches_the_noise() -> None:
    noise = np.random.default_rng(0).normal(2000, 400, (512, 512))
    reduced = reduce_frame(frame("RGGB", noise.astype(np.uint16)))
    assert np.var(reduced.mosaic) == pytest.approx(400**2 / 16, rel=0.05)
    assert reduced.metadata.noise == NoiseProfile.uniform(1e-4, 2e-6)


def test_reduced_frame_when_linear_then_it_has_three_channels() -> None:
    mosaic = np.broadcast_to(np.array([1, 2, 3], np.uint16), (16, 24, 3)).copy()
    reduced = reduce_frame(frame("linear", mosaic)).mosaic
    assert reduced.shape == (4, 6, 3) and (reduced == [1, 2, 3]).all()
