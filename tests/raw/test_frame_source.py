"""Geometry of packed planes: every window is a slice of the whole, and padding mirrors the frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burstfix.cfa import CFA_PATTERNS, LINEAR, MONOCHROME, CfaLayout
from burstfix.raw.frame_source import FrameSource, Region
from burstfix.types import ColorProfile, Frame, FrameMetadata, Levels

KINDS = (*CFA_PATTERNS, MONOCHROME, LINEAR)
BLACK = np.array([[64, 60], [66, 63]], np.float32)


def frame_of(cfa: str, height: int, width: int, seed: int = 0) -> Frame:
    rng = np.random.default_rng(seed)
    shape = (height, width, 3) if cfa == LINEAR else (height, width)
    levels = Levels(
        BLACK, 1023.0, rng.normal(0, 2, height).astype(np.float32), rng.normal(0, 2, width).astype(np.float32)
    )
    metadata = FrameMetadata(
        Path("drawn.dng"), height, width, cfa, levels, ColorProfile(np.eye(3), np.ones(3))
    )
    return Frame(rng.integers(0, 1024, shape).astype(np.uint16), metadata)


def padded_channels(frame: Frame) -> np.ndarray:
    """Return (channels, H, W), normalised and padded with numpy to RGGB phase and even size."""
    levels, (height, width) = frame.metadata.levels, frame.mosaic.shape[:2]
    black = np.tile(levels.black, (-(-height // 2), -(-width // 2)))[:height, :width]
    assert levels.black_rows is not None and levels.black_cols is not None
    black = black + levels.black_rows[:, None] + levels.black_cols
    channels = frame.mosaic[None] if frame.mosaic.ndim == 2 else frame.mosaic.transpose(2, 0, 1)
    values = (channels - black) / (levels.white - black)
    top, left = {"RGGB": (0, 0), "GRBG": (0, 1), "GBRG": (1, 0), "BGGR": (1, 1)}.get(
        frame.metadata.cfa, (0, 0)
    )
    return np.pad(values, ((0, 0), (top, (height + top) % 2), (left, (width + left) % 2)), mode="reflect")


kinds = st.sampled_from(KINDS)
sizes = st.integers(2, 21)


@settings(max_examples=60, deadline=None)
@given(kinds, sizes, sizes)
def test_read_when_the_whole_is_read_then_planes_are_phases_of_the_mirrored_frame(cfa, height, width):
    frame = frame_of(cfa, height, width)
    source = FrameSource(frame)
    channels = padded_channels(frame)
    expected = np.concatenate([[channel[y::2, x::2] for y in (0, 1) for x in (0, 1)] for channel in channels])
    got = source.read(source.whole)
    assert got.shape == (source.layout.planes, source.height, source.width)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(kinds, sizes, sizes, st.data())
def test_read_when_a_window_is_read_then_it_is_a_slice_of_the_whole(cfa, height, width, data):
    source = FrameSource(frame_of(cfa, height, width))
    top, left = data.draw(st.integers(0, source.height - 1)), data.draw(st.integers(0, source.width - 1))
    bottom = data.draw(st.integers(top + 1, source.height))
    right = data.draw(st.integers(left + 1, source.width))
    region = Region(top, left, bottom, right)
    assert torch.equal(source.read(region), source.read(source.whole)[:, top:bottom, left:right])
    matching = source.read_for_matching(source.whole)[:, top:bottom, left:right]
    assert torch.equal(source.read_for_matching(region), matching)
    assert len(matching) == 4


@pytest.mark.parametrize("cfa", KINDS)
def test_read_when_each_colour_has_its_own_value_then_planes_have_the_colours_of_the_layout(cfa):
    height, width = 9, 11
    values = np.array([100, 200, 300], np.uint16)
    if cfa == LINEAR:
        mosaic = np.broadcast_to(values, (height, width, 3)).copy()
    elif cfa == MONOCHROME:
        mosaic = np.full((height, width), values[0])
    else:
        mosaic = np.empty((height, width), np.uint16)
        for k, letter in enumerate(cfa):
            mosaic[k // 2 :: 2, k % 2 :: 2] = values["RGB".index(letter)]
    levels = Levels(np.zeros((1, 1), np.float32), 1000.0)
    metadata = FrameMetadata(Path("a.dng"), height, width, cfa, levels, ColorProfile(np.eye(3), np.ones(3)))
    source = FrameSource(Frame(mosaic, metadata))
    layout = CfaLayout.of(cfa)
    planes = source.read(source.whole)
    for plane, color in zip(planes, layout.colors, strict=True):
        assert torch.all(plane == values[color] / 1000.0)
    bayer = source.read_for_matching(source.whole)[:, 0, 0].tolist()
    expected = [0.1, 0.2, 0.2, 0.3] if cfa != MONOCHROME else [0.1] * 4
    assert bayer == pytest.approx(expected)


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_read_when_pixels_are_repaired_then_only_they_and_their_mirror_images_change(cfa):
    frame = frame_of(cfa, 13, 15)
    places = np.array([[0, 0], [1, 1], [6, 7], [12, 14]], np.int32)
    before = FrameSource(frame)
    after = FrameSource(frame, places)
    changed = torch.nn.functional.pixel_shuffle(
        (before.read(before.whole) != after.read(after.whole)).float(), 2
    )[0]
    padding = before.padding
    inside = changed[padding.top : padding.top + 13, padding.left : padding.left + 15]
    assert {tuple(p) for p in inside.nonzero().tolist()} <= {tuple(p) for p in places.tolist()}
    assert inside.sum() > 0
