from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burstfix.errors import UnsupportedSensorError
from burstfix.raw.cfa import pack, pad_to_rggb, rggb_padding, unpack
from burstfix.types import CFA_PATTERNS
from tests.scenes import draw_scene, mosaic_of

sizes = st.integers(2, 19)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CFA_PATTERNS), sizes, sizes)
def test_pad_to_rggb_when_padded_then_every_sample_has_its_colour_and_cropping_gives_the_mosaic_back(
    cfa, height, width
):
    # Each colour has its own number, so that a sample of the wrong colour shows.
    colours = torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, height, width)
    padded = pad_to_rggb(mosaic_of(colours, cfa), cfa)
    assert torch.equal(padded.mosaic, mosaic_of(torch.ones(3, *padded.mosaic.shape) * colours[:, :1, :1]))
    assert padded.mosaic.shape[0] % 2 == 0 and padded.mosaic.shape[1] % 2 == 0

    mosaic = torch.randn(2, height, width)
    padded = pad_to_rggb(mosaic, cfa)
    inside = padded.mosaic[:, padded.top : padded.top + height, padded.left : padded.left + width]
    assert torch.equal(inside, mosaic)
    geometry = rggb_padding(cfa, height, width)
    assert (geometry.top, geometry.left) == (padded.top, padded.left)
    assert padded.mosaic.shape[-2:] == (
        height + geometry.top + geometry.bottom,
        width + geometry.left + geometry.right,
    )


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CFA_PATTERNS), sizes, sizes)
def test_unpack_when_packed_before_then_nothing_changed(cfa, height, width):
    mosaic = pad_to_rggb(torch.randn(height, width), cfa).mosaic
    packed = pack(mosaic)
    assert packed.shape == (4, mosaic.shape[0] // 2, mosaic.shape[1] // 2)
    assert torch.equal(unpack(packed), mosaic)
    assert torch.equal(unpack(pack(mosaic[None, None])), mosaic[None, None])


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_pack_when_the_mosaic_was_padded_then_planes_are_red_green_green_blue(cfa):
    rgb = draw_scene(20, 26)
    padded = pad_to_rggb(mosaic_of(rgb, cfa), cfa)
    packed = pack(padded.mosaic)
    top, left = padded.top, padded.left
    # The packed pixel (2, 3) begins at row 4 - top, column 6 - left of the picture.
    y, x = 4 - top, 6 - left
    expected = [rgb[0, y, x], rgb[1, y, x + 1], rgb[1, y + 1, x], rgb[2, y + 1, x + 1]]
    assert packed[:, 2, 3].tolist() == [float(value) for value in expected]


def test_rggb_padding_when_the_pattern_is_no_bayer_pattern_then_it_says_so():
    with pytest.raises(UnsupportedSensorError, match="RGBW"):
        rggb_padding("RGBW", 4, 4)
